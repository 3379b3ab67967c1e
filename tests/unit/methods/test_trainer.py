"""History, clock and choice of the learning rate, with a trainer made of plain calls."""

import json
import weakref
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rl4nlu.base.errors import Diverged
from rl4nlu.methods import trainer as history
from rl4nlu.methods.candidates import best_of
from rl4nlu.methods.trainer import Recorder


def trained(
    score: float,
    losses: tuple[float, ...] = (2.0, 1.0, 0.5),
    every: int = 0,
    validate: Callable[[], float] | None = None,
    step_done: Callable[[], None] = lambda: None,
) -> Recorder:
    """A recorder after one step a loss, four examples each but the last, which has two."""
    recorder = Recorder("sft", 4 * len(losses) - 2, 4, validate or (lambda: score), every)
    state = SimpleNamespace(global_step=0, max_steps=len(losses))
    recorder.on_train_begin(SimpleNamespace(learning_rate=1e-3), state, None)
    for step, loss in enumerate(losses, 1):
        state.global_step = step
        step_done()
        control = SimpleNamespace(should_log=False)
        recorder.on_step_end(None, state, control)
        if control.should_log or step == 1:  # the trainer itself logs step 1
            recorder.on_log(None, state, control, {"loss": loss, "learning_rate": 0.1})
    return recorder


def test_lines_are_written_where_validation_is_scored_and_at_the_end() -> None:
    assert [(r["step"], r["examples"], r["validation"]) for r in trained(7.0).history] == [(1, 4, None), (3, 10, 7.0)]
    lines = [(r["step"], r["validation"]) for r in trained(7.0, (1.0,) * 5, every=2).history]
    assert lines == [(1, None), (2, 7.0), (4, 7.0), (5, 7.0)]


def test_the_clock_leaves_validation_out(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def take(seconds: float) -> float:
        now[0] += seconds
        return 7.0

    clock = SimpleNamespace(perf_counter=lambda: now[0], process_time=lambda: now[0] / 2)
    monkeypatch.setattr(history, "time", clock)
    recorder = trained(7.0, every=1, validate=lambda: take(100.0), step_done=lambda: take(1.0))
    assert (recorder.seconds, recorder.cpu_seconds) == (3.0, 1.5)
    assert recorder.facts()["validation"] == 7.0
    assert recorder.facts()["loss"] == 0.5


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_the_run(loss: float) -> None:
    with pytest.raises(Diverged, match=r"step 1: .* at a learning rate of 0.1: lower sft.learning_rates"):
        trained(1.0, (loss, 1.0))


def choose(outcomes: list[float | None], out: Path) -> tuple[dict, list[str]]:
    """`best_of` over candidates 1, 2, ... with these validation scores (None: diverges); what it returns and leaves."""

    def attempt(rate: float, folder: Path) -> Recorder:
        folder.mkdir(parents=True)
        (folder / "weights").write_text(str(rate))
        score = outcomes[int(rate) - 1]
        return trained(score) if score is not None else trained(0.0, (float("nan"),))

    facts = best_of([float(i + 1) for i in range(len(outcomes))], attempt, out, "kept")
    return facts, sorted(p.name for p in out.iterdir())


@pytest.mark.parametrize(
    ("outcomes", "best"),
    [([5.0], 1), ([5.0, 6.0, 4.0], 2), ([5.0, 5.0], 1), ([None, -3.0, -2.0], 3), ([0.0, None], 1), ([-1.0, 0.0], 2)],
)
def test_the_best_on_validation_is_kept_and_the_first_of_equals(
    outcomes: list[float | None], best: int, tmp_path: Path
) -> None:
    facts, left = choose(outcomes, tmp_path)
    assert left == ["history.jsonl", "kept"]
    assert (tmp_path / "kept" / "weights").read_text() == str(float(best))
    assert facts["learning_rate"] == best
    assert [c["validation"] for c in facts["candidates"]] == outcomes
    last = json.loads((tmp_path / "history.jsonl").read_text().splitlines()[-1])
    assert last["validation"] == outcomes[best - 1]


def test_if_all_diverge_the_last_message_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(Diverged, match="training loss is nan"):
        choose([None, None], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_only_one_backbone_is_in_memory_at_a_time(tmp_path: Path) -> None:
    """What a candidate's recorder refers to, in a cycle as trainers do, is gone before the next one begins."""
    loaded: list[weakref.ref[Any]] = []

    class Backbone:
        def __init__(self) -> None:
            self.trainer = self

    def attempt(rate: float, folder: Path) -> Recorder:
        assert [one() for one in loaded if one() is not None] == []
        backbone = Backbone()
        loaded.append(weakref.ref(backbone))
        folder.mkdir(parents=True)
        recorder = trained(rate, (float("nan"),) if rate == 2 else (1.0, 1.0))
        recorder.validate = lambda: float(backbone is None)
        return recorder

    best_of([1.0, 2.0, 3.0], attempt, tmp_path, "kept")
    assert len(loaded) == 3
