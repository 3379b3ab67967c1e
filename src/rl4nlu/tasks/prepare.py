"""Rows of a task, whatever their source: read, validation carved from train, capped, written in one schema.

`data/<task>/{train,validation,test}.jsonl` hold one record a line; `record.json` says where they come from, how many
there are, what was dropped, and the digest of each file. *Test* is the official dev, whose labels are public: it is
only reported. *Validation* is carved from train, and everything that is chosen is chosen on it.
The same seed makes the same files, to the byte.
"""

from __future__ import annotations

import random
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from ..base.errors import ConfigError
from ..base.files import file_digest, write_json, write_jsonl
from ..config import Data
from .available import source_of, why_absent
from .rows import SPLITS, Row
from .sources.layouts import to_rows
from .task import Task
from .units import text_kept_apart

MOST_CARVED = 5
"""Validation takes at most one in so many training rows, so that the small tasks keep something to learn from."""

SHOWN_DROPPED = 100
"""Dropped rows that the record lists one by one; all are counted."""


def code_of(task: Task, data: Data) -> tuple[str, ...]:
    """Modules below the package whose logic prepares a task's rows, for `base.code`: only the reader of its own source."""
    return ("tasks.prepare", f"tasks.sources.{source_of(task, data)[0]}")


def values_read(task: Task, data: Data) -> dict[str, Any]:
    """Settings that the rows depend on, but for where files lie: of the task, of its own source alone, and of `data`."""
    name, source = source_of(task, data)
    kept = {"name", "suite", "fields", "layout", "labels", "answer", "low", "high", "trained_with", "carve_by"}
    return {
        "task": task.model_dump(mode="json", include=kept),
        "source": [name, source and source.model_dump(mode="json", exclude={"root"})],
        "data": data.model_dump(mode="json", exclude={"source", "data_root", "skip_absent"}),
    }


def carve(task: Task, rows: list[Row], wanted: int, seed: int) -> tuple[list[Row], list[Row]]:
    """(train, validation): whole units of `rows`, drawn by `seed`; both keep the order of `rows`.

    A unit is what must not stand in both: rows with one text that is kept apart (`units`; MultiRC and ReCoRD: the passage). At most a fifth of the rows are taken, and at least one unit.

    Raises:
        ConfigError: all rows are one unit.
    """
    unit = partial(text_kept_apart, task)
    sizes: dict[str, int] = {}
    for row in rows:
        sizes[unit(row)] = sizes.get(unit(row), 0) + 1
    if len(sizes) < 2:
        raise ConfigError(
            f"task {task.name}: validation cannot be carved from {len(rows)} training rows that share one text"
        )
    chosen = _draw(sizes, min(wanted, len(rows) // MOST_CARVED), random.Random(f"carve|{task.name}|{seed}"))
    return [r for r in rows if unit(r) not in chosen], [r for r in rows if unit(r) in chosen]


def _draw(sizes: dict[str, int], most: int, rng: random.Random) -> set[str]:
    """Names of units in a shuffled order, each taken that still fits in `most` rows; at least one."""
    chosen: set[str] = set()
    taken = 0
    for name in rng.sample(list(sizes), len(sizes)):
        if not chosen or taken + sizes[name] <= most:
            chosen.add(name)
            taken += sizes[name]
    return chosen


def sample_candidates(rows: list[Row], seed: int) -> tuple[list[Row], list[dict[str, str]]]:
    """ReCoRD's training rows: of each query one gold and one other candidate, drawn by `seed`, as paper 1's release does.

    Returns:
        The rows, and the queries that have no such pair, as {where, reason}.
    """
    by_query: dict[str, list[Row]] = {}
    for row in rows:
        by_query.setdefault(str(row.group), []).append(row)
    kept, dropped = [], []
    for query, candidates in by_query.items():
        rng = random.Random(f"candidates|{seed}|{query}")
        sides = [
            [row for row in candidates if (row.fields["candidate"] in (row.answers or [])) == gold]
            for gold in (True, False)
        ]
        if all(sides):
            kept += sorted((rng.choice(side) for side in sides), key=candidates.index)
        else:
            dropped.append(
                {"where": query, "reason": f"no {'other' if sides[0] else 'gold'} candidate among the entities"}
            )
    return kept, dropped


def cap(rows: list[Row], most: int | None, rng: random.Random) -> list[Row]:
    """At most `most` rows, drawn at random, in their old order; rows of one group stay together."""
    if most is None or len(rows) <= most:
        return rows
    sizes: dict[str, int] = {}
    for row in rows:
        sizes[row.group or row.id] = sizes.get(row.group or row.id, 0) + 1
    chosen = _draw(sizes, most, rng)
    return [row for row in rows if (row.group or row.id) in chosen]


def read(task: Task, data: Data) -> tuple[dict[str, list[Row]], list[dict[str, str]], dict[str, Any]]:
    """All rows of a task: by split of the source (train, test), those dropped, and where they come from.

    Raises:
        ConfigError: the task has no rows in the source, or they cannot be read.
    """
    if (line := why_absent(task, data)) is not None:
        raise ConfigError(f"{line} (data.skip_absent: true leaves such tasks out)")
    name, source = source_of(task, data)
    readings, origin = import_module(f"{__package__}.sources.{name}").read(task, source, data)
    splits: dict[str, list[Row]] = {"train": [], "test": []}
    dropped: list[dict[str, str]] = []
    for split, reading in readings.items():
        splits[split], lost = to_rows(task, reading)
        dropped += lost
        if not splits[split]:
            raise ConfigError(f"task {task.name}: source {name} has no {split} rows")
    return splits, dropped, {"source": name, **origin}


def prepare(task: Task, data: Data, out: Path) -> dict[str, Any]:
    """Write a task's rows to `out` (`data/<task>`) and return the record that is written beside them.

    A task that another one trains for (`trained_with`) has empty train and validation files.

    Raises:
        ConfigError: the rows are absent or cannot be read; the message names file, column or row.
    """
    found, dropped, origin = read(task, data)
    splits: dict[str, list[Row]] = {"train": [], "validation": [], "test": found["test"]}
    if found["train"]:
        splits["train"], splits["validation"] = carve(task, found["train"], data.validation_rows, data.seed)
    if task.layout == "record":
        splits["train"], lost = sample_candidates(splits["train"], data.seed)
        dropped += lost
    available = {split: len(rows) for split, rows in splits.items()}
    for split, most in (("train", data.train_rows), ("test", data.test_rows)):
        splits[split] = cap(splits[split], most, random.Random(f"cap|{task.name}|{split}|{data.seed}"))
    for split, rows in splits.items():
        write_jsonl(out / f"{split}.jsonl", (row.stored() for row in rows))
    record = {
        "task": task.name,
        "suite": task.suite,
        **origin,
        "rows": {split: len(rows) for split, rows in splits.items()},
        "groups": {split: len({row.group for row in rows if row.group}) for split, rows in splits.items()},
        "available": available,
        "digests": {split: file_digest(out / f"{split}.jsonl") for split in SPLITS},
        "caps": {"train": data.train_rows, "validation": data.validation_rows, "test": data.test_rows},
        "seed": data.seed,
        "carved_by": task.carve_by or "text",
        "test_is": "generated"
        if origin["source"] == "microworld"
        else "the official dev, or the file that the task names",
        "dropped": len(dropped),
        "dropped_rows": dropped[:SHOWN_DROPPED],
    }
    write_json(out / "record.json", record)
    return record
