"""Rows that a model already answered, so that a restart asks for what is missing."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .checkpoint import _asked_to_stop
from .errors import Stopped
from .files import digest_of

if TYPE_CHECKING:
    pass


# ------------------------------------------------------------------------------------------------------- answered rows


class Journal:
    """Rows already answered, appended batch by batch: `{digest of the rest} [part, {row: answer}, seconds]` a line.

    A *part* is one list of rows asked in one way. Batches are made of all rows of a part, answered or not, and a batch
    is written whole: what is left is therefore asked in the very batches of an undisturbed run, and answered with
    the same bits. A damaged line, and what follows it, is dropped and asked again.
    """

    def __init__(self, path: Path | None, digest: str = "") -> None:
        """Read the lines of `path` that are whole and of this `digest`; without a path nothing is kept."""
        self.path, self.digest = path, digest
        self.heard: Callable[[str, int], None] = lambda part, rows: None  # is told of every batch that is answered
        self._known: dict[str, dict[int, Any]] = {}
        self._seconds: dict[str, float] = {}
        self._clock = time.perf_counter()
        if path is None or not path.is_file():
            return
        good = 0
        for line in path.read_bytes().splitlines(keepends=True):
            checksum, _, text = line.rstrip(b"\n").partition(b" ")
            if not line.endswith(b"\n") or checksum.decode(errors="replace") != self._checksum(text):
                print(
                    f"{path}: damaged, or of another run, from byte {good} on; these rows are asked again", flush=True
                )
                os.truncate(path, good)
                break
            part, rows, seconds = json.loads(text)
            self._known.setdefault(part, {}).update((int(row), answer) for row, answer in rows.items())
            self._seconds[part] = self._seconds.get(part, 0.0) + seconds
            good += len(line)
        print(f"{path}: {sum(map(len, self._known.values()))} rows were answered before", flush=True)

    def _checksum(self, text: bytes) -> str:
        return digest_of([self.digest, text.decode(errors="replace")])

    def known(self, part: str) -> dict[int, Any]:
        """The answers of a part that is about to be asked, by row number."""
        self._clock = time.perf_counter()
        return self._known.setdefault(part, {})

    def seconds(self, prefix: str) -> float:
        """Time that earlier processes took for the parts whose names begin with `prefix`."""
        return sum(seconds for part, seconds in self._seconds.items() if part.startswith(prefix))

    def add(self, part: str, rows: Sequence[int], answers: Sequence[Any]) -> None:
        """Append one batch of answers (values that JSON holds without loss).

        Raises:
            Stopped: the process was asked to stop.
        """
        now = time.perf_counter()
        found = dict(zip(rows, answers, strict=True))
        self._known.setdefault(part, {}).update(found)
        self.heard(part, len(rows))
        if self.path is not None:
            text = json.dumps([part, found, round(now - self._clock, 4)])
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with self.path.open("a", encoding="utf-8") as handle:
                    handle.write(f"{self._checksum(text.encode())} {text}\n")
                    handle.flush()
                    os.fsync(handle.fileno())
            except OSError as error:
                error.filename = error.filename or str(self.path)
                raise
            if _asked_to_stop.is_set():
                raise Stopped(f"stopped by SIGTERM, rows answered so far are in {self.path}; start it again to go on")
        self._clock = now

    def remove(self) -> None:
        """Drop the file, once what was made from it stands."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
