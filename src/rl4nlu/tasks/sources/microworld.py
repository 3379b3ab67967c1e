"""Rows that the microworld generates: official field names and label forms, with a derivation for every label."""

from __future__ import annotations

from typing import Any

from ...base.errors import ConfigError
from ...config import Data
from ..task import Microworld, Task
from .layouts import Raw, SourceSplit

ROWS_IN_NEST = {"multirc": 2, "record": 2}
"""Fewest records that a generated row unfolds into, where its layout is nested."""


def read(task: Task, source: Microworld, data: Data) -> tuple[dict[str, SourceSplit], dict[str, Any]]:
    """Generated rows of each split, and what they were generated from.

    Train holds the validation rows as well, which are carved from it like any source's. Nested layouts make at
    least two records a row, so half as many rows are asked for; the caps of `data` cut what is too many.

    Raises:
        ConfigError: no such generator or knob, or the world has too few distinct rows.
    """
    from dataclasses import asdict

    from ... import microworld

    name = source.task or task.name
    train = data.train_rows + data.validation_rows if data.train_rows else source.train_rows
    wanted = {"test": data.test_rows or source.test_rows}
    if task.trained_with is None:
        wanted = {"train": train, **wanted}
    knobs = {"knobs": microworld.Knobs(**source.knobs)} if source.knobs else {}  # type: ignore[arg-type]
    readings = {}
    for split, n in wanted.items():
        n = -(-n // ROWS_IN_NEST.get(task.layout, 1))
        try:
            rows = microworld.rows(name, split, n, data.seed, **knobs)  # type: ignore[arg-type]
        except (KeyError, ValueError) as error:
            raise ConfigError(f"task {task.name}: sources.microworld: {error}") from None
        readings[split] = SourceSplit(
            [Raw(f"microworld/{name}/{split}:{i}", row) for i, row in enumerate(rows)], source
        )
    return readings, {"generator": name, "knobs": asdict(microworld.Knobs(**source.knobs))}  # type: ignore[arg-type]
