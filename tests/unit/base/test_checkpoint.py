"""State that survives kills: what is damaged, foreign or half-written is never used, and what was saved comes back."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from interruptions import heeding  # noqa: F401

from rl4nlu.base.checkpoint import Checkpoint, random_state, restore_random, restore_weights, trained_weights
from rl4nlu.base.errors import Stopped
from rl4nlu.base.files import REPOSITORY


def state(step: int) -> dict[str, Any]:
    return {
        "step": step,
        "weights": {"a": torch.full((3,), float(step))},
        "history": [{"loss": 0.5, "validation": None}],
    }


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A folder with the states of steps 2 and 3."""
    for step in (1, 2, 3):
        Checkpoint(tmp_path / "run.state", "mine").save(state(step))
    return tmp_path / "run.state"


def step_in(folder: Path, digest: str = "mine") -> int | None:
    found = Checkpoint(folder, digest).load()
    return found["step"] if found else None


def test_a_state_comes_back_as_it_was_and_the_last_two_are_kept(saved: Path) -> None:
    assert len(list(saved.iterdir())) == 2
    found = Checkpoint(saved, "mine").load()
    assert found is not None
    assert found["history"] == state(3)["history"]
    assert torch.equal(found["weights"]["a"], torch.full((3,), 3.0))


@pytest.mark.parametrize("fault", ["truncated", "empty", "one bit", "renamed"])
def test_a_damaged_state_is_told_and_the_one_before_is_used(saved: Path, fault: str, capsys: Any) -> None:
    newest = max(saved.iterdir())
    content = bytearray(newest.read_bytes())
    if fault == "truncated":
        newest.write_bytes(content[:-20])
    elif fault == "empty":
        newest.write_bytes(b"")
    elif fault == "one bit":
        content[len(content) // 2] ^= 1
        newest.write_bytes(content)
    else:
        newest.rename(newest.with_name("000007-0123456789abcdef.pt"))
    assert step_in(saved) == 2
    told = [line for line in capsys.readouterr().out.splitlines() if "is damaged" in line]
    assert len(told) == 1
    assert str(saved) in told[0]
    assert step_in(saved) == 2, "a damaged state was put aside"
    assert "is damaged" not in capsys.readouterr().out
    Checkpoint(saved, "mine").save(state(4))
    assert step_in(saved) == 4
    max(saved.glob("*.pt")).write_bytes(b"")
    assert step_in(saved) == 2, "the good one before stayed, not the damaged one"


def test_without_a_good_state_training_begins_anew(saved: Path) -> None:
    for path in saved.iterdir():
        path.write_bytes(b"rubbish")
    assert step_in(saved) is None
    assert Checkpoint(saved / "nothing", "mine").load() is None
    assert Checkpoint(None).load() is None


def test_a_foreign_state_is_told_and_not_used(saved: Path, capsys: Any) -> None:
    other = Checkpoint(saved.parent / "other.state", "theirs")
    other.save(state(9))
    (foreign,) = (saved.parent / "other.state").iterdir()
    foreign.rename(saved / foreign.name.replace("000000", "000009"))
    assert step_in(saved) == 3
    assert "belongs to another run (digest theirs, not mine)" in capsys.readouterr().out
    assert step_in(saved.parent / "other.state", "theirs") is None


def test_parts_of_a_run_do_not_take_each_others_states(tmp_path: Path) -> None:
    whole = Checkpoint(tmp_path, "mine")
    whole.part("candidate0").save(state(5))
    assert whole.part("candidate1").load() is None
    (tmp_path / "candidate0").rename(tmp_path / "candidate1")
    assert whole.part("candidate1").load() is None
    whole.remove()
    assert not tmp_path.exists()


def test_a_failing_write_leaves_the_states_before_and_no_half_file(saved: Path, monkeypatch: Any) -> None:
    before = sorted(saved.iterdir())
    genuine = Path.open

    class Full:
        def __init__(self, handle: Any) -> None:
            self.handle, self.written = handle, 0

        def __enter__(self) -> "Full":
            return self

        def __exit__(self, *_: Any) -> None:
            self.handle.close()

        def write(self, data: Any) -> int:
            self.written += len(data)
            if self.written > 500:
                raise OSError(28, "No space left on device")
            return int(self.handle.write(data))

    monkeypatch.setattr(
        Path, "open", lambda self, mode="r", **k: Full(genuine(self, mode)) if "w" in mode else genuine(self, mode)
    )
    with pytest.raises(OSError, match="No space"):
        Checkpoint(saved, "mine").save(state(4))
    assert sorted(saved.iterdir()) == before


@pytest.mark.parametrize("weights", [{"a": [1.0, float("nan")]}, [[1.0], [float("inf")]]])
def test_a_state_that_is_not_finite_is_not_saved_and_told(tmp_path: Path, weights: Any, capsys: Any) -> None:
    kept = Checkpoint(tmp_path, "x")
    kept.save({"step": 1, "weights": [torch.ones(2)]})
    tensors = (
        {n: torch.tensor(w) for n, w in weights.items()}
        if isinstance(weights, dict)
        else [torch.tensor(w) for w in weights]
    )
    kept.save({"step": 2, "weights": tensors})
    assert "step 2: weights are no longer finite; this state is not saved" in capsys.readouterr().out
    found = kept.load()
    assert found is not None
    assert found["step"] == 1


def test_saving_waits_for_its_time(tmp_path: Path) -> None:
    kept = Checkpoint(tmp_path, "mine", every=1000.0)
    kept.keep(lambda: state(1))
    assert not list(tmp_path.iterdir())
    kept._saved -= 1000.0
    kept.keep(lambda: state(2))
    kept.keep(lambda: state(3))
    assert step_in(tmp_path) == 2


@pytest.mark.usefixtures("heeding")
def test_on_sigterm_the_step_ends_its_state_is_saved_and_one_line_told(tmp_path: Path) -> None:
    kept = Checkpoint(tmp_path, "mine")
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(Stopped, match=rf"stopped by SIGTERM after step 1: saved in {tmp_path}"):
        kept.keep(lambda: state(1))
    assert step_in(tmp_path) == 1


PROGRAM = """
import sys, time
from pathlib import Path
import torch
from rl4nlu.base.checkpoint import Checkpoint, stop_on_sigterm
from rl4nlu.jobs.programs import main_of

def main():
    stop_on_sigterm()
    kept = Checkpoint(Path(sys.argv[1]), "mine")
    first = (kept.load() or {"step": 0})["step"]
    for step in range(first, 1000):
        print("step", step, flush=True)
        time.sleep(0.02)
        kept.keep(lambda: {"step": step + 1})

main_of(main)
"""


def test_a_program_stops_with_one_line_and_status_143_and_goes_on(tmp_path: Path) -> None:
    def run(until: str) -> tuple[int, list[str], str]:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(tmp_path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY / "src")},
        )
        lines = []
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.strip())
            if line.strip() == until:
                process.terminate()
        error = process.communicate()[1]
        return process.returncode, lines, error

    status, lines, error = run("step 4")
    assert status == 143
    last = int(lines[-1].split()[1])
    assert error == f"stopped by SIGTERM after step {last + 1}: saved in {tmp_path}; start it again to go on\n"
    status, lines, _ = run(f"step {last + 5}")
    assert status == 143
    assert lines[0].endswith(f"going on after step {last + 1}")
    assert lines[1] == f"step {last + 1}"


def test_random_numbers_go_on_where_they_were() -> None:
    generator = torch.Generator().manual_seed(3)
    random.seed(1)
    np.random.seed(2)
    torch.manual_seed(4)

    def drawn() -> list[float]:
        return [
            random.random(),
            random.gauss(0, 1),
            float(np.random.standard_normal()),
            float(torch.rand(())),
            float(torch.rand((), generator=generator)),
        ]

    drawn()  # an odd number of normal draws leaves a second one waiting
    kept = random_state(generator)
    expected = [drawn(), drawn()]
    restore_random(kept, generator)
    assert [drawn(), drawn()] == expected


def test_random_state_survives_the_file(tmp_path: Path) -> None:
    kept = random_state(torch.Generator().manual_seed(1))
    Checkpoint(tmp_path, "mine").save({"step": 1, "random": kept})
    expected = random.random()
    found = Checkpoint(tmp_path, "mine").load()
    assert found is not None
    restore_random(found["random"], torch.Generator())
    assert random.random() == expected


def test_only_trained_weights_are_kept_and_come_back() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    module[0].requires_grad_(False)
    kept = {name: weight.clone() for name, weight in trained_weights(module).items()}
    assert set(kept) == {"1.weight", "1.bias"}
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(1)
    restore_weights(module, kept)
    assert torch.equal(module[1].weight, kept["1.weight"])
    with pytest.raises(KeyError):
        restore_weights(module, {})
