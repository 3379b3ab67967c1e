"""One GPU a job: where several are visible and nothing has dealt them out, a job claims a free one.

A claim is a lock of the operating system on a small file, so that it ends with its process, however that ends.
Nothing here imports torch: `CUDA_VISIBLE_DEVICES` must be set before torch looks for devices.
"""

from __future__ import annotations

import fcntl
import gc
import os
import platform
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import IO, Any

RECORDED_PACKAGES = ("torch", "transformers", "peft", "trl", "tokenizers", "datasets", "numpy", "scikit-learn", "scipy")


def git_commit(folder: Path) -> str | None:
    """The checkout's commit, with '+' where tracked files are changed; None outside a checkout."""
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=True)
        changed = subprocess.run(["git", "diff", "--quiet", "HEAD"], cwd=folder, capture_output=True).returncode
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.stdout.strip() + ("+" if changed else "")


def environment(folder: Path) -> dict[str, Any]:
    """Where and with what this process runs: versions, host, device, commit, scheduler's job id.

    The device is read only where torch is already loaded, so that light programs stay light.
    """
    versions = {}
    for package in RECORDED_PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    device = "cpu"
    if (torch := sys.modules.get("torch")) is not None and torch.cuda.is_available():
        device = torch.cuda.get_device_name()
    return {
        "python": platform.python_version(),
        "versions": versions,
        "host": socket.gethostname(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "device": device,
        "slurm_job_id": os.environ.get("SLURM_JOB_ID"),
        "git_commit": git_commit(folder),
    }


def reset_peak_memory() -> None:
    """Measure peaks from here on, where the system lets a process do so (Linux); memory that it holds already counts."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    if (torch := sys.modules.get("torch")) is not None and torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak_memory_mb() -> dict[str, float]:
    """Peak resident memory of this process and, where torch drives a GPU, of its allocator; in MB."""
    peaks = {"cpu_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)}
    if (torch := sys.modules.get("torch")) is not None and torch.cuda.is_available():
        peaks["gpu_mb"] = round(torch.cuda.max_memory_allocated() / 2**20, 1)
    return peaks


_claims: list[IO[str]] = []
"""Lock files of this process; closing one would give its device back."""


def visible_devices(count: int | None = None) -> list[str]:
    """Names of the GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` writes them; torch is not imported.

    `count` stands for the number of the machine's GPUs; by default the driver's own program lists them.
    """
    if (named := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name.strip() for name in named.split(",") if name.strip() not in ("", "-1")]
    return [str(n) for n in range(_count_gpus() if count is None else count)]


def _count_gpus() -> int:
    try:
        listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return 0
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())


def visible_gpus() -> int:
    """Number of GPUs that a program started here may use."""
    return len(visible_devices())


def lock_folder() -> Path:
    """Where this user's claims lie on this machine; a Slurm job numbers its devices by itself and has a folder of its own."""
    job = os.environ.get("SLURM_JOB_ID")
    return Path(tempfile.gettempdir()) / f"rl4nlu-gpus-{os.getuid()}{f'-{job}' if job else ''}"


def claim_device(
    count: int | None = None,
    folder: Path | None = None,
    say: Callable[[str], None] = lambda line: print(line, flush=True),
) -> str | None:
    """Keep this process to one GPU that no other one has claimed; its name, or None where there are none to choose from.

    Waits, saying so once, while all are claimed. A job of a scheduler sees the GPU that it was given, and keeps it.

    Args:
        count: number of the machine's GPUs; by default they are counted.
        folder: of lock files; default: `lock_folder()`.
        say: takes the line about waiting.
    """
    devices = visible_devices(count)
    if len(devices) < 2:
        return None
    folder = folder or lock_folder()
    folder.mkdir(parents=True, exist_ok=True)
    told = False
    while True:
        for device in devices:
            handle = (folder / f"{device.replace('/', '-')}.lock").open("w")
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                handle.close()
                continue
            handle.write(f"{os.getpid()}\n")
            handle.flush()
            _claims.append(handle)
            os.environ["CUDA_VISIBLE_DEVICES"] = device
            return device
        if not told:
            say(f"waiting: all of the {len(devices)} GPUs ({', '.join(devices)}) are claimed")
            told = True
        time.sleep(0.5)


def describe_device() -> str:
    """The device of a job's log, told without torch: "cpu", or the names of the GPUs that it sees."""
    devices = visible_devices()
    return f"GPU {', '.join(devices)}" if devices else "cpu"


def free_memory() -> None:
    """Give back the memory of models that nobody uses any more: trainers hold theirs in reference cycles."""
    gc.collect()
    if (torch := sys.modules.get("torch")) is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
