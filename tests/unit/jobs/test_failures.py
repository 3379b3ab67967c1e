"""What goes wrong outside of the code ends in one clear message, with nothing half-written, and a re-run completes."""

import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from interruptions import lines_of, without_times

from rl4nlu.base.errors import ConfigError, Diverged, Stopped
from rl4nlu.base.files import REPOSITORY, write_jsonl
from rl4nlu.base.machine import KERNELS
from rl4nlu.jobs.failures import explained

RUN = "micro-llama/sft/sst2/main/seed0"


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (ConfigError("config: no"), 2, "error: config: no"),
        (Stopped("stopped"), 143, "stopped"),
        (Diverged("run a: roll-out 3: numbers are no longer finite"), 1, "roll-out 3"),
        (FloatingPointError("the model's logits are NaN"), 1, "NaN"),
        (OSError(28, "No space left on device", "/x/y"), 1, "/x/y cannot be written: the disk is full"),
        (OSError(30, "Read-only file system", "/x/y"), 1, "the file system is read-only"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), 1, "the disk is full"),
        (shutil.Error([("a", "b", "[Errno 28] No space left on device: 'b'")]), 1, "the disk is full"),
        (PermissionError(13, "Permission denied", "/x/y"), 1, "permission is denied"),
        (MemoryError(), 1, "out of memory (MemoryError)"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), 1, "out of memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), 1, "micro_batch_tokens"),
    ],
)
def test_the_machines_faults_are_told_in_one_line(error: Exception, status: int, said: str) -> None:
    found = explained(error)
    assert found is not None
    assert found[1] == status
    assert said in found[0]
    assert "\n" not in found[0]


@pytest.mark.parametrize(
    "error", [RuntimeError("shape mismatch"), FileNotFoundError(2, "No such file", "/x"), KeyError(1)]
)
def test_faults_of_the_code_keep_their_traceback(error: Exception) -> None:
    assert explained(error) is None


# --------------------------------------------------------------------- the real conditions, with the stage's own program


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return prepared(tmp_path)


def prepared(folder: Path) -> Path:
    """Prepared rows and a config of a run of 100 steps, whose loss is looked at after every second one, in `folder`."""
    for split, n in (("train", 40), ("validation", 8)):
        rows = (
            {"id": f"{split}{i}", "fields": {"sentence": f"the film was {'good' if i % 2 else 'bad'} ."}, "label": str(i % 2),
             "group": None, "answers": None, "derivation": None} for i in range(n)
        )  # fmt: skip
        write_jsonl(folder / "data" / "sst2" / f"{split}.jsonl", rows)
    (folder / "data" / "sst2" / "record.json").write_text(json.dumps({"digests": {"train": "1", "validation": "2"}}))
    config = {"name": "tiny", "save_every_seconds": 0, "sft": {"prompts": 800, "batch_size": 8}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


def train(place: Path, work: Path, out: Path, limit: int | None = None, before: Path | None = None) -> tuple[int, str]:
    """Exit status and output of the program.

    Args:
        place: folder of config and rows.
        work, out: its own folders.
        limit: of its address space, in bytes.
        before: a folder whose modules are imported first.
    """
    command = [sys.executable, str(REPOSITORY / "workflow" / "scripts" / "sft.py"), "--run", RUN]
    command += ["--config", str(place / "config.yaml"), "--data", str(place / "data")]
    command += ["--work", str(work), "--out", str(out)]
    folders = [str(folder) for folder in (before, REPOSITORY / "src") if folder]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folders), "OMP_NUM_THREADS": "1"}
    environment |= KERNELS["portable"]  # what is put before the program imports torch before it pins them

    def narrow() -> None:
        if limit:
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    done = subprocess.run(command, capture_output=True, text=True, env=environment, preexec_fn=narrow)
    return done.returncode, done.stdout + done.stderr


def told(output: str) -> str:
    """The one message."""
    assert "Traceback" not in output, output
    (line,) = [line for line in output.splitlines() if line.startswith("error: ")]
    return line


def whole(out: Path) -> bool:
    return (out / "run.json").is_file() and (out / "adapter" / "adapter_model.safetensors").is_file()


def numbers(out: Path) -> list[Any]:
    """What training left, clocks apart: facts, history, weights."""
    facts = without_times(json.loads((out / "run.json").read_text())["facts"])
    weights = (out / "adapter" / "adapter_model.safetensors").read_bytes()
    return [facts, lines_of(out / "history.jsonl"), hashlib.sha256(weights).hexdigest()]


def parts(folder: Path) -> list[str]:
    """Files that were begun and not ended (what a candidate writes is begun anew; the leases' lock is no part)."""
    return [str(path) for path in folder.rglob(".*") if not path.name.startswith((".candidate", ".guard"))]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The numbers of the run that nothing happens to."""
    place = prepared(tmp_path_factory.mktemp("undisturbed"))
    status, output = train(place, place / "work", place / "out")
    assert status == 0, output
    return numbers(place / "out")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 700 kB."""
    folder = tmp_path / "small"
    with mounted(folder, "size=700k"):
        yield folder


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """A file system in memory at `folder`; the test is skipped where none may be mounted."""
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"no file system with {options} can be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("full", ["work", "out"])
def test_a_full_disk_is_told_and_a_rerun_completes(
    place: Path, small_disk: Path, full: str, undisturbed: list[Any]
) -> None:
    work, out = (small_disk / "work", place / "out") if full == "work" else (place / "work", small_disk / "out")
    if full == "out":
        (small_disk / "filler").write_bytes(b"x" * 690_000)
    status, output = train(place, work, out)
    assert status == 1, output
    assert "the disk is full" in told(output)
    assert str(small_disk) in told(output)
    assert not whole(out)
    assert parts(small_disk) == []
    subprocess.run(["mount", "-o", "remount,size=50m", str(small_disk)], check=True)
    status, output = train(place, work, out)
    assert status == 0, output
    assert "going on after step" in output or full == "out", "what was saved was used"
    assert numbers(out) == undisturbed
    assert list((work / "sft").iterdir()) == []


def test_read_only_results_are_told_and_a_rerun_completes(place: Path, undisturbed: list[Any]) -> None:
    closed = place / "closed"
    with mounted(closed, "ro"):
        status, output = train(place, place / "work", closed / "out")
        assert status == 1, output
        assert "the file system is read-only" in told(output)
    status, output = train(place, place / "work", closed / "out")
    assert status == 0, output
    assert numbers(closed / "out") == undisturbed
    assert "loss" not in output, "the finished run is put in place, not trained again"


def test_too_little_memory_is_told_and_a_rerun_completes(place: Path, tmp_path: Path) -> None:
    """An address space that torch fits in, and a batch of some thousand rows does not; the same command does without the limit."""
    config = yaml.safe_load((place / "config.yaml").read_text())
    (place / "config.yaml").write_text(yaml.safe_dump(config | {"sft": {"prompts": 4000, "batch_size": 4000}}))
    status, output = train(place, place / "work", place / "out", limit=3 * 2**30)
    assert status == 1, output
    assert "out of memory" in told(output)
    assert not whole(place / "out")
    assert parts(place) == []
    status, output = train(place, place / "work", place / "out")
    assert status == 0, output
    train(place, place / "other", tmp_path / "other-out")
    assert numbers(place / "out") == numbers(tmp_path / "other-out")


POISON = """
import torch.nn.functional as functional

calls, genuine = 0, functional.cross_entropy

def poisoned(*given, **named):
    global calls
    calls += 1
    return genuine(*given, **named) * (float("nan") if calls == 3 else 1.0)

functional.cross_entropy = poisoned
"""


def test_a_poisoned_batch_is_told_never_saved_and_a_rerun_completes(place: Path, undisturbed: list[Any]) -> None:
    """The third batch's loss is no number, and with it all weights after it; they could be saved before it is noticed."""
    (place / "poison").mkdir()
    (place / "poison" / "sitecustomize.py").write_text(POISON)
    status, output = train(place, place / "work", place / "out", before=place / "poison")
    assert status == 1, output
    assert "step 4: the training loss is nan" in told(output)
    assert "step 3: weights are no longer finite; this state is not saved" in output
    assert "lower sft.learning_rates" in told(output)
    assert not whole(place / "out")
    status, output = train(place, place / "work", place / "out")
    assert status == 0, output
    assert "going on after step 2" in output
    assert numbers(place / "out") == undisturbed


def test_a_truncated_checkpoint_is_told_and_the_one_before_is_used(place: Path, undisturbed: list[Any]) -> None:
    (place / "poison").mkdir()  # stops the program behind its fourth step
    (place / "poison" / "sitecustomize.py").write_text(
        POISON.replace('float("nan") if calls == 3 else 1.0', "1.0 if calls < 5 else exit(9)")
    )
    status, output = train(place, place / "work", place / "out", before=place / "poison")
    assert status == 9, output
    older, newest = sorted((place / "work").glob("sft/*.state/*/*.pt"))
    newest.write_bytes(newest.read_bytes()[:-1000])
    status, output = train(place, place / "work", place / "out")
    assert status == 0, output
    assert f"{newest}: is damaged" in output
    assert f"{older}: going on after step 3" in output
    assert numbers(place / "out") == undisturbed
    assert list((place / "work" / "sft").iterdir()) == []
