"""One clear message for what goes wrong outside of the code: a full disk, too little memory, numbers that are none."""

from __future__ import annotations

import errno
import os
import shutil
import signal

from ..base.errors import ConfigError, LeaseLost, Stopped

FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file is too large",
}
CLOSED = {
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission is denied",
    errno.EPERM: "it is forbidden",
}
NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "Cannot allocate memory", "unable to mmap")
"""How torch, safetensors and the system say that memory is used up."""


def unwritable(error: BaseException) -> int | None:
    """The error number of what could not be written; safetensors (in Rust) and `shutil.copytree` have it in their text alone."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno if error.errno in FULL | CLOSED else None
    return next((number for number in FULL | CLOSED if os.strerror(number) in str(error)), None)


def explained(error: BaseException) -> tuple[str, int] | None:
    """What to tell the user instead of a traceback, and the exit status; None where only a traceback helps.

    Status 2: the input is at fault. 1: the machine, or the numbers; the same command goes on once that is mended.
    143: stopped by SIGTERM, as shells count it.
    """
    again = "nothing that stood was changed; the same command goes on once this is mended"
    if isinstance(error, Stopped):
        return str(error), 128 + signal.SIGTERM
    if isinstance(error, ConfigError):
        return f"error: {error}", 2
    if isinstance(error, FloatingPointError | LeaseLost):
        return f"error: {error}", 1
    number = unwritable(error)
    if number is not None:
        where = getattr(error, "filename2", None) or getattr(error, "filename", None) or "a file"
        if isinstance(error, shutil.Error):  # of a folder: (source, target, why) for each of its files
            where = error.args[0][0][1]
        advice = "make room there" if number in FULL else "make the folder writable, or choose another"
        return f"error: {where} cannot be written: {(FULL | CLOSED)[number]}: {advice}; {again}", 1
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError | OSError) and any(text in str(error) for text in NO_MEMORY)
    ):
        told = str(error).splitlines()[0] if str(error) else type(error).__name__
        return (
            f"error: out of memory ({told}): give the job more (resources mem_mb of the rule, or a larger GPU), or set smaller "
            f"micro_batch_size, ppo.micro_batch_tokens or evaluation.batch_tokens; {again}",
            1,
        )
    return None
