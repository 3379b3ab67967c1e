"""Stops a training in its middle, as a scheduler or a fault does, and compares what another process makes of it."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rl4nlu.base import checkpoint
from rl4nlu.base.checkpoint import Checkpoint
from rl4nlu.base.errors import Stopped

HOW = ("sigterm", "crash")
"""SIGTERM, on which the state is saved; or a fault some steps behind the last saved state."""
TIMES = {"seconds", "cpu_seconds", "samples_per_second", "samples_per_cpu_second", "wall_seconds"}


class Crash(Exception):
    """Stands for `kill -9`: nothing is saved any more."""


@pytest.fixture
def heeding() -> Any:
    """SIGTERM is heeded inside the test, and forgotten behind it."""
    before = signal.getsignal(signal.SIGTERM)
    checkpoint.stop_on_sigterm()
    yield
    signal.signal(signal.SIGTERM, before)
    checkpoint._asked_to_stop.clear()


def interrupted(train: Callable[[Checkpoint], Any], folder: Path, how: str, steps: tuple[int, ...]) -> Any:
    """What `train` returns after being stopped behind the given steps, each counted from where it went on."""
    for step in steps:
        calls = 0
        genuine = Checkpoint.keep

        def keep(self: Checkpoint, state: Any, step: int = step, genuine: Any = genuine) -> None:
            nonlocal calls
            calls += 1
            if calls == step and how == "sigterm":
                os.kill(os.getpid(), signal.SIGTERM)
            if calls == step and how == "crash":
                raise Crash
            genuine(self, state)

        # a fault loses the step that it meets: all others are saved at once
        place = Checkpoint(folder, "digest", 1e9 if how == "sigterm" else 0.0)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Checkpoint, "keep", keep)
            with pytest.raises(Stopped if how == "sigterm" else Crash):
                train(place)
        checkpoint._asked_to_stop.clear()
    return train(Checkpoint(folder, "digest", 1e9))


def without_times(value: Any) -> Any:
    """A record without what a clock says."""
    if isinstance(value, dict):
        return {key: without_times(inner) for key, inner in value.items() if key not in TIMES}
    return [without_times(inner) for inner in value] if isinstance(value, list) else value


def lines_of(path: Path) -> list[Any]:
    """A history without its times."""
    return [without_times(json.loads(line)) for line in path.read_text().splitlines()]
