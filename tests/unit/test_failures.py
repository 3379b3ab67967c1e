"""What goes wrong outside of the code ends in one clear message, with nothing half-written, and a re-run completes."""

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from rl4nlu.checkpoint import Stopped
from rl4nlu.config import REPOSITORY, ConfigError
from rl4nlu.failures import TrainingError, explained
from rl4nlu.records import write_jsonl

RUN = "micro-llama/sft/sst2/main/seed0"


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (ConfigError("config: no"), 2, "error: config: no"),
        (Stopped("stopped"), 143, "stopped"),
        (TrainingError("run a: roll-out 3: numbers are no longer finite"), 1, "roll-out 3"),
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
    """Prepared rows and a config of a run of five steps."""
    for split, n in (("train", 40), ("validation", 8)):
        rows = (
            {"id": f"{split}{i}", "fields": {"sentence": f"the film was {'good' if i % 2 else 'bad'} ."}, "label": str(i % 2),
             "group": None, "answers": None, "derivation": None} for i in range(n)
        )  # fmt: skip
        write_jsonl(tmp_path / "data" / "sst2" / f"{split}.jsonl", rows)
    (tmp_path / "data" / "sst2" / "record.json").write_text(json.dumps({"digests": {"train": "1", "validation": "2"}}))
    config = {"name": "tiny", "save_every_seconds": 0, "sft": {"prompts": 40, "batch_size": 8}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    return tmp_path


def train(place: Path, work: Path, out: Path, limit: int | None = None) -> tuple[int, str]:
    """Exit status and output of the program."""
    command = [sys.executable, str(REPOSITORY / "workflow" / "scripts" / "sft.py"), "--run", RUN]
    command += ["--config", str(place / "config.yaml"), "--data", str(place / "data")]
    command += ["--work", str(work), "--out", str(out)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src"), "OMP_NUM_THREADS": "1"}

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


def parts(folder: Path) -> list[str]:
    """Files that were begun and not ended (what a candidate writes is begun anew; the leases' lock is no part)."""
    return [str(path) for path in folder.rglob(".*") if not path.name.startswith((".candidate", ".guard"))]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 700 kB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def grow(folder: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=50m", str(folder)], check=True)


@pytest.mark.parametrize("full", ["work", "out"])
def test_a_full_disk_is_told_and_a_rerun_completes(place: Path, small_disk: Path, full: str) -> None:
    work, out = (small_disk / "work", place / "out") if full == "work" else (place / "work", small_disk / "out")
    if full == "out":
        (small_disk / "filler").write_bytes(b"x" * 690_000)
    status, output = train(place, work, out)
    assert status == 1, output
    assert "the disk is full" in told(output)
    assert str(small_disk) in told(output)
    assert not whole(out)
    assert parts(small_disk) == []
    grow(small_disk)
    status, output = train(place, work, out)
    assert status == 0, output
    assert whole(out)
    assert "going on after step" in output or full == "out", "what was saved was used"
    assert list((work / "sft").iterdir()) == []


def test_read_only_results_are_told_and_a_rerun_completes(place: Path, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(closed)]
    mounted = subprocess.run(mount, capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"no read-only file system can be mounted here: {mounted.stderr.strip()}")
    try:
        status, output = train(place, place / "work", closed / "out")
        assert status == 1, output
        assert "the file system is read-only" in told(output)
    finally:
        subprocess.run(["umount", str(closed)], check=True)
    status, output = train(place, place / "work", closed / "out")
    assert status == 0, output
    assert whole(closed / "out")
    assert "UserWarning" not in output
    assert "loss" not in output, "the finished run is put in place, not trained again"


def test_too_little_memory_is_told_and_a_rerun_completes(place: Path) -> None:
    """An address space that torch fits in, and a batch of some thousand rows does not."""
    config = yaml.safe_load((place / "config.yaml").read_text())
    (place / "config.yaml").write_text(yaml.safe_dump(config | {"sft": {"prompts": 20000, "batch_size": 20000}}))
    status, output = train(place, place / "work", place / "out", limit=4 * 2**30)
    assert status == 1, output
    assert "out of memory" in told(output)
    assert not whole(place / "out")
    (place / "config.yaml").write_text(yaml.safe_dump(config))
    assert train(place, place / "work", place / "out")[0] == 0
    assert whole(place / "out")


def test_a_poisoned_batch_is_told(place: Path) -> None:
    config: dict[str, Any] = {"name": "tiny", "sft": {"prompts": 40, "batch_size": 8, "learning_rates": [1e30]}}
    (place / "config.yaml").write_text(yaml.safe_dump(config))
    status, output = train(place, place / "work", place / "out")
    assert status == 2, output
    assert "the training loss is nan" in told(output)
    assert not whole(place / "out")
