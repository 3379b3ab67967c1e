"""Leases with real processes: one holder at a time, whoever dies, and however."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path

import pytest

from rl4nlu.base import leases
from rl4nlu.base.errors import LeaseLost
from rl4nlu.base.leases import Holder, Lease, take, wait_for

HOLD = """
import sys, time
from pathlib import Path
from rl4nlu.base.leases import take
lease = take(Path(sys.argv[1]), "k", "a/run", "training")
print(type(lease).__name__, flush=True)
time.sleep(60)
"""

RACE = """
import sys, time
from pathlib import Path
from rl4nlu.base.leases import wait_for
folder = Path(sys.argv[1])
while not (folder / "go").exists():
    time.sleep(0.001)
for turn in range(int(sys.argv[2])):
    lease = wait_for(folder, "k", "a/run", "training", say=lambda line: None)
    inside = folder / "inside"
    inside.touch(exist_ok=False)  # fails where another process is inside
    time.sleep(0.002)
    inside.unlink()
    lease.release()
print("fair", flush=True)
"""


def start(program: str, *arguments: object) -> subprocess.Popen:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.fixture
def held_by_another(tmp_path):
    """A folder in which another process holds the lease `k`; and that process."""
    process = start(HOLD, tmp_path)
    assert process.stdout.readline() == "Lease\n"
    yield tmp_path, process
    process.kill()
    process.wait()


def test_a_held_lease_is_refused_and_its_holder_named(held_by_another):
    folder, process = held_by_another
    found = take(folder, "k", "a/run", "training")
    assert isinstance(found, Holder)
    assert found.process == process.pid
    other = take(folder, "another key", "b/run", "training")
    assert isinstance(other, Lease)
    other.release()


def test_a_holder_that_is_killed_loses_its_lease_at_once_even_before_it_is_reaped(held_by_another, capsys):
    folder, process = held_by_another
    os.kill(process.pid, signal.SIGKILL)  # and not waited for: a zombie
    lease = wait_for(folder, "k", "a/run", "training")
    assert "has expired" in capsys.readouterr().out
    lease.release()
    assert [path.name for path in folder.iterdir()] == [".guard"]


def test_a_duplicate_waits_with_one_line_until_the_lease_is_given_up(tmp_path):
    lease = take(tmp_path, "k", "a/run", "training")
    code = HOLD.replace("take(", "wait_for(").replace("import take", "import wait_for")
    process = start(code, tmp_path)
    assert f"in the hands of process {os.getpid()}" in process.stdout.readline()
    time.sleep(0.5)
    lease.release()
    assert [process.stdout.readline() for _ in range(2)] == ["the wait is over\n", "Lease\n"]
    process.kill()
    process.wait()


def test_processes_that_race_hold_it_one_after_another(tmp_path):
    racers = [start(RACE, tmp_path, 15) for _ in range(3)]
    (tmp_path / "go").touch()
    assert [racer.communicate(timeout=120)[0] for racer in racers] == ["fair\n"] * 3


def test_racers_for_a_dead_holders_lease_get_it_one_after_another(tmp_path):
    for _ in range(3):
        dead = start(HOLD, tmp_path)
        assert dead.stdout.readline() == "Lease\n"
        racers = [start(RACE, tmp_path, 1) for _ in range(3)]
        dead.kill()
        (tmp_path / "go").touch()
        assert [r.communicate(timeout=60)[0].splitlines()[-1] for r in racers] == ["fair"] * 3
        dead.wait()
        (tmp_path / "go").unlink()


def elsewhere(folder: Path, seconds_ago: float) -> Path:
    """A lease whose holder lives on another host, last touched so long ago."""
    holder = replace(Holder.me("a/run", "training"), host="elsewhere pid:[1]", slurm_job_id="17")
    path = folder / "k.lease"
    path.write_text(json.dumps(asdict(holder)))
    os.utime(path, (time.time() - seconds_ago,) * 2)
    return path


def test_another_hosts_lease_expires_by_its_age_alone(tmp_path):
    elsewhere(tmp_path, leases.PATIENCE - 60)
    found = take(tmp_path, "k", "a/run", "training")
    assert isinstance(found, Holder)
    assert "Slurm job 17 on elsewhere" in str(found)
    elsewhere(tmp_path, leases.PATIENCE + 60)
    lease = take(tmp_path, "k", "a/run", "training")
    assert isinstance(lease, Lease)
    lease.release()


def test_a_lease_that_another_took_over_in_the_meantime_is_left_alone(tmp_path, monkeypatch):
    elsewhere(tmp_path, leases.PATIENCE + 60)
    guard = leases._guard

    @contextmanager
    def too_late(folder):
        holder = replace(Holder.me("a/run", "training"), host="quicker pid:[1]")
        (folder / "k.lease").write_text(json.dumps(asdict(holder)))
        with guard(folder):
            yield

    monkeypatch.setattr(leases, "_guard", too_late)
    found = take(tmp_path, "k", "a/run", "training")
    assert isinstance(found, Holder)
    assert found.host == "quicker pid:[1]"


def test_an_id_that_another_process_got_later_is_no_holder(tmp_path):
    holder = replace(Holder.me("a/run", "training"), birth="1")
    (tmp_path / "k.lease").write_text(json.dumps(asdict(holder)))
    lease = take(tmp_path, "k", "a/run", "training")
    assert isinstance(lease, Lease)
    lease.release()


def test_a_lease_that_a_crash_left_empty_expires_by_its_age(tmp_path):
    (tmp_path / "k.lease").touch()
    assert isinstance(take(tmp_path, "k", "a/run", "training"), Holder)
    os.utime(tmp_path / "k.lease", (0, 0))
    lease = take(tmp_path, "k", "a/run", "training")
    assert isinstance(lease, Lease)
    lease.release()


def test_a_holder_touches_its_lease(tmp_path, monkeypatch):
    monkeypatch.setattr(leases, "BEAT", 0.05)
    lease = take(tmp_path, "k", "a/run", "training")
    os.utime(lease.path, (0, 0))
    until = time.monotonic() + 60
    while not lease.path.stat().st_mtime and time.monotonic() < until:
        time.sleep(0.01)
    assert lease.path.stat().st_mtime > 0
    lease.release()


def test_a_second_release_leaves_the_next_lease_of_the_same_process_alone(tmp_path, monkeypatch):
    class OneSecond(datetime):  # in which both are taken
        @classmethod
        def now(cls, zone=None):
            return datetime(2026, 1, 1, tzinfo=zone)

    monkeypatch.setattr(leases, "datetime", OneSecond)
    first = take(tmp_path, "k", "a/run", "training")
    first.release()
    second = take(tmp_path, "k", "a/run", "training")
    assert second.holder == first.holder
    first.release()
    second.check()
    second.release()


def test_a_lease_that_was_taken_over_is_noticed_and_left_to_its_new_holder(tmp_path):
    lease = take(tmp_path, "k", "a/run", "training")
    lease.check()
    path = elsewhere(tmp_path, 0)
    with pytest.raises(LeaseLost, match="taken over by process"):
        lease.check()
    lease.release()
    assert path.is_file()
