"""Pieces of work: made once, put in place whole, and others made on the way."""

import os
import random
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from rl4nlu.base.errors import LeaseLost, Stopped
from rl4nlu.base.files import read_json, write_json, write_text
from rl4nlu.base.leases import Lease, take, wait_for
from rl4nlu.jobs import pieces
from rl4nlu.jobs.pieces import Piece, put_in_place, work_through


class Workshop:
    """Pieces by name, whose making writes down who was made and what chance said."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.made, self.drawn, self.warm = folder, [], {}, 0
        self.faults: dict[str, BaseException] = {}

    def piece(self, name: str, **more) -> Piece:
        def make(partial: Path) -> dict:
            if name in self.faults:
                raise self.faults[name]
            self.made.append(name)
            self.drawn[name] = random.random()
            write_text(partial / "adapter" / "weights", name)
            write_text(partial / "scratch", "of no use later")
            return {"facts": name}

        folder = self.folder / "work" / "sft" / f"key-{name}"
        return Piece("training", name, f"key-{name}", folder, self.out(name), make, kept=("adapter",), **more)

    def out(self, name: str) -> Path:
        return self.folder / "results" / name

    def work(self, own: str, *others: str, batch: bool = True) -> None:
        """A process for `own`."""

        def warm_up() -> None:
            self.warm += 1

        rest = (lambda: [self.piece(name) for name in (own, *others)]) if batch else None
        work_through(self.piece(own), rest, warm_up)


@pytest.fixture
def shop(tmp_path):
    return Workshop(tmp_path)


def test_a_process_makes_its_own_piece_puts_it_in_place_and_leaves_the_others_in_work(shop):
    shop.work("a", "b", "c")
    assert shop.made == ["a", "b", "c"]
    assert sorted(path.name for path in shop.out("a").iterdir()) == ["adapter", "run.json"]
    assert not shop.out("b").exists()
    assert sorted(path.name for path in (shop.folder / "work" / "sft").iterdir()) == ["key-b", "key-c"]
    record = read_json(shop.out("a") / "run.json")
    assert record["key"] == "key-a"
    assert record["facts"] == "a"
    assert record["wall_seconds"] < 5


def test_a_later_job_finds_its_piece_puts_it_in_place_and_says_who_made_it(shop, capsys):
    shop.work("a", "b")
    shop.work("b", "c")
    assert shop.made == ["a", "b"]
    assert shop.warm == 1
    assert (shop.out("b") / "adapter" / "weights").read_text() == "b"
    assert f"made by process {os.getpid()} on" in (said := capsys.readouterr().out)
    assert "in the job of a, finished 20" in said
    assert read_json(shop.out("b") / "run.json")["job"]["run"] == "a"
    assert not list((shop.folder / "work" / "sft").iterdir())
    assert [path.name for path in (shop.folder / "work" / "leases").iterdir()] == [".guard"]


def test_without_a_batch_only_the_own_piece_is_made(shop):
    shop.work("a", "b", batch=False)
    assert shop.made == ["a"]


def test_what_is_in_place_is_not_made_again(shop, capsys):
    shop.work("a")
    shop.work("b", "a", "c")
    shop.work("a")
    assert shop.made == ["a", "b", "c"]
    assert "it is in place: made by process" in capsys.readouterr().out


def test_another_key_in_place_is_replaced(shop):
    write_json(shop.out("a") / "run.json", {"key": "of other settings"})
    write_text(shop.out("a") / "adapter" / "of other settings", "")
    shop.work("a")
    assert read_json(shop.out("a") / "run.json")["key"] == "key-a"
    assert [path.name for path in (shop.out("a") / "adapter").iterdir()] == ["weights"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, Stopped])
def test_a_process_that_is_stopped_leaves_what_it_finished_and_the_next_makes_only_the_rest(shop, stop):
    shop.faults["c"] = stop()
    with pytest.raises(stop):
        shop.work("a", "b", "c", "d")
    assert not shop.out("a").exists()  # Snakemake deletes the outputs of a job that is stopped
    shop.faults.clear()
    shop.work("a", "b", "c", "d")
    assert shop.made == ["a", "b"]
    shop.work("c", "a", "b", "d")
    assert shop.made == ["a", "b", "c", "d"]


def test_a_piece_that_fails_in_anothers_job_is_left_to_its_own(shop, capsys):
    shop.faults["b"] = ValueError("no such luck\nat all")
    shop.work("a", "b", "c")
    assert shop.made == ["a", "c"]
    assert "left to its own job: training b (ValueError: no such luck)" in capsys.readouterr().out
    with pytest.raises(ValueError, match="no such luck"):
        shop.work("b")
    assert not list((shop.folder / "work" / "leases").glob("*.lease"))


def test_a_piece_that_another_process_holds_is_passed_over(shop):
    lease = take(shop.piece("b").leases, "key-b", "b", "training")
    assert isinstance(lease, Lease)
    shop.work("a", "b", "c")
    assert shop.made == ["a", "c"]
    lease.release()


def test_while_another_process_makes_the_own_piece_others_are_made(shop, capsys):
    held = take(shop.piece("a").leases, "key-a", "a", "training")
    first = shop.piece("b")

    def make(partial: Path) -> dict:
        made = first.make(partial)
        shop.piece("a").folder.mkdir(parents=True)
        write_json(shop.piece("a").folder / "run.json", {"key": "key-a"})
        write_text(shop.piece("a").folder / "adapter" / "weights", "another process's")
        held.release()
        return made

    work_through(shop.piece("a"), lambda: [replace(first, make=make), shop.piece("c")], lambda: None)
    assert shop.made == ["b"]  # c has a job of its own, which need not wait for this one
    assert (shop.out("a") / "adapter" / "weights").read_text() == "another process's"
    assert "waiting" not in capsys.readouterr().out


def test_a_process_that_can_make_nothing_meanwhile_waits_for_its_own_piece(shop, monkeypatch):
    held, said = take(shop.piece("a").leases, "key-a", "a", "training"), []

    def say(line: str) -> None:
        said.append((line, list(shop.made)))
        if line.startswith("waiting"):
            held.release()

    monkeypatch.setattr(pieces, "wait_for", partial(wait_for, say=say))
    shop.work("a", "b")
    assert said[0][0].startswith("waiting: training a is in the hands of process")
    assert said[0][1] == ["b"]
    assert shop.made == ["b", "a"]


def test_a_piece_whose_lease_was_lost_is_put_nowhere(shop):
    own = shop.piece("a")

    def make(partial: Path) -> dict:
        (own.leases / "key-a.lease").unlink()
        return {}

    own = Piece("training", "a", "key-a", own.folder, own.out, make)
    with pytest.raises(LeaseLost):
        work_through(own, None, lambda: None)
    assert not own.folder.exists()
    assert not own.out.exists()


def test_chance_begins_afresh_for_every_piece(shop):
    shop.work("a", "b")
    assert shop.drawn["a"] == shop.drawn["b"]


def test_what_follows_from_a_piece_is_made_while_its_folder_stands(shop):
    seen = []

    def follower(of: str) -> Piece:
        def make(partial: Path) -> dict:
            seen.append((of, (shop.folder / "work" / "sft" / f"key-{of}" / "adapter").is_dir()))
            seen.append((of, isinstance(take(shop.piece(of).leases, f"key-{of}", of, "training"), Lease)))
            write_text(partial / "sst2" / "metrics.json", "{}")
            return {}

        folder = shop.folder / "work" / "evaluate" / f"scores-{of}"
        return Piece("evaluation", of, f"scores-{of}", folder, shop.out(of) / "evaluation", make, proof="scores.json")

    others = [shop.piece(name, then=lambda name=name: follower(name)) for name in ("a", "b")]
    work_through(others[0], lambda: others, lambda: None)
    assert seen == [("a", True), ("a", False), ("b", True), ("b", False)]
    work_through(follower("a"), None, lambda: pytest.fail("there is nothing to make"))
    assert sorted(path.name for path in (shop.out("a") / "evaluation").iterdir()) == ["scores.json", "sst2"]


def test_the_cost_is_that_of_the_piece_alone(shop):
    def spin() -> None:
        until = time.process_time() + 0.3
        while time.process_time() < until:
            pass

    own, other = shop.piece("a"), shop.piece("b")
    costly = replace(own, make=lambda partial: (spin(), own.make(partial))[1])
    work_through(costly, lambda: [other], spin)
    assert 0.3 <= read_json(shop.out("a") / "run.json")["cpu_seconds"] < 0.6
    assert read_json(other.folder / "run.json")["cpu_seconds"] < 0.3


def test_a_job_that_is_killed_while_it_puts_in_place_can_do_so_again(shop, monkeypatch):
    shop.work("b", "a")
    state = shop.piece("a").folder.with_name("key-a.state")
    write_text(state / "0.pt", "")
    monkeypatch.setattr(pieces.shutil, "copy2", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        put_in_place(shop.piece("a"))
    monkeypatch.undo()
    assert not shop.piece("a").is_in_place()
    assert state.is_dir()
    put_in_place(shop.piece("a"))
    assert shop.piece("a").is_in_place()
    assert not state.exists()
