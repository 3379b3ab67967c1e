"""How far a job is, how fast it goes and when it will be done: a bar on a terminal, a line now and then in a log; and a stopwatch.

steps = Progress("ppo micro-llama/ppo/sst2/main/seed0", 50, "roll-outs")
for ...:
    steps.advance(reward=0.5)
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, TextIO

WIDTH = 24
"""Characters of the bar."""

FIRST, LATER = 5.0, 60.0
"""Seconds until a log's first line; the time between two of them doubles from there up to the second number."""

REDRAW = 0.2
"""Seconds between two drawings of a bar."""


def duration(seconds: float) -> str:
    """Seconds as people read them: 8 s, 3:20, 1:02:30."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def rate(done: float, seconds: float, unit: str) -> str:
    """`done` a second, or a minute or an hour where that reads better."""
    for length, name in ((1.0, "s"), (60.0, "min")):
        if done * length >= seconds:
            return f"{done * length / max(seconds, 1e-9):.3g} {unit}/{name}"
    return f"{done * 3600 / seconds:.3g} {unit}/h"


class Progress:
    """Counts the steps of one piece of work; `done` of a job that goes on from a checkpoint are not part of the rate."""

    def __init__(
        self,
        what: str,
        total: int,
        unit: str = "steps",
        done: int = 0,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.what, self.total, self.unit = what, total, unit
        self.done = self.from_the_start = done
        self.stream, self.clock = stream or sys.stderr, clock
        self.terminal = self.stream.isatty()
        self.started = clock()
        self.pause = REDRAW if self.terminal else FIRST
        self.next = self.started + (0.0 if self.terminal else self.pause)
        self.closed = False

    def advance(self, steps: int = 1, **numbers: float) -> None:
        """Count `steps` more; `numbers` (a loss, a reward) are shown beside them. After the last step the line is final."""
        self.done += steps
        now = self.clock()
        if self.done >= self.total:
            self.close(**numbers)
        elif now >= self.next:
            self._write(self.line(now, **numbers))
            if not self.terminal:
                self.pause = min(2 * self.pause, LATER)
            self.next = now + self.pause

    def reach(self, done: int, **numbers: float) -> None:
        """Count up to `done`, if it is not that far yet."""
        if done > self.done:
            self.advance(done - self.done, **numbers)

    def skip(self, done: int) -> None:
        """Begin at `done`: so much was done by an earlier process, and is no part of the rate."""
        self.done = self.from_the_start = done

    def line(self, now: float, **numbers: float) -> str:
        """`what: 12 of 50 roll-outs (24 %) · 1.2 roll-outs/s · 32 s left · reward 0.5`."""
        seconds, done = now - self.started, self.done - self.from_the_start
        parts = [f"{self.what}: {self.done} of {self.total} {self.unit} ({100 * self.done // max(self.total, 1)} %)"]
        if done and seconds > 0:
            parts.append(rate(done, seconds, self.unit))
            left = (self.total - self.done) * seconds / done
            parts.append(f"{duration(left)} left" if self.done < self.total else f"in {duration(seconds)}")
        parts += [f"{name} {value:.4g}" for name, value in numbers.items()]
        return " · ".join(parts)

    def close(self, **numbers: float) -> None:
        """Write the last line, once."""
        if not self.closed:
            self.closed = True
            self._write(self.line(self.clock(), **numbers), end="\n")

    def _write(self, line: str, end: str = "") -> None:
        if self.terminal:
            full = WIDTH * self.done // max(self.total, 1)
            self.stream.write(f"\r\033[K[{'#' * full}{'.' * (WIDTH - full)}] {line}{end}")
        else:
            self.stream.write(f"{line}\n")
        self.stream.flush()


class Stopwatch:
    """Counts wall seconds, and CPU seconds of this process, while it runs: of training, say, without its validation."""

    def __init__(self, spent: Mapping[str, Any] | None = None) -> None:
        """It runs at once, and counts on from what `spent` of an earlier process says."""
        self.seconds: float = spent["seconds"] if spent else 0.0
        self.cpu_seconds: float = spent["cpu_seconds"] if spent else 0.0
        self.go_on()

    def go_on(self) -> None:
        """Run from now on."""
        self._since: tuple[float, float] | None = (time.perf_counter(), time.process_time())

    def pause(self) -> None:
        """Stop until `go_on`; nothing happens where it stands."""
        if self._since:
            self.seconds += time.perf_counter() - self._since[0]
            self.cpu_seconds += time.process_time() - self._since[1]
        self._since = None

    def spent(self) -> dict[str, float]:
        """What it counted up to the last pause: `seconds` and `cpu_seconds`."""
        return {"seconds": round(self.seconds, 3), "cpu_seconds": round(self.cpu_seconds, 3)}
