"""One GPU a job: where several are visible and nothing has dealt them out, a job claims a free one.

A claim is a lock of the operating system on a small file, so that it ends with its process, however that ends.
Nothing here imports torch: `CUDA_VISIBLE_DEVICES` must be set before torch looks for devices.
"""

from __future__ import annotations

import fcntl
import gc
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

_claims: list[IO[str]] = []
"""Lock files of this process; closing one would give its device back."""


def visible_devices(count: int | None = None) -> list[str]:
    """Names of the GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` writes them.

    `count` stands for the number of the machine's GPUs; by default they are counted.
    """
    if (named := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name.strip() for name in named.split(",") if name.strip() not in ("", "-1")]
    return [str(n) for n in range(len(list(Path("/dev").glob("nvidia[0-9]*"))) if count is None else count)]


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
