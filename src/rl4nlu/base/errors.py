"""The kinds of failure that end in one message instead of a traceback, and the nearest known name."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


class Stopped(Exception):
    """The process was asked to stop (SIGTERM) and did, with its work saved; the message is for the log."""


class LeaseLost(RuntimeError):
    """Another process has taken the lease over, as if this one had died."""


class ConfigError(ValueError):
    """A config, task or model file says something that it may not; the message is for the user."""


class Diverged(FloatingPointError):
    """Training left the finite numbers: the learning rate is too high."""


def nearest(name: str, known: list[str] | tuple[str, ...]) -> str:
    """' - did you mean X?' for the nearest of `known`, or an empty string."""
    close = difflib.get_close_matches(str(name), [str(k) for k in known], n=1, cutoff=0.5)
    return f" - did you mean {close[0]!r}?" if close else ""
