"""Rows that the microworld generates: official field names and label forms, with a derivation for every label.

The generator makes rows that differ as a whole. Here no text that is kept apart (`units.text_kept_apart`) stands in test
and in what train and validation are carved from: test is generated first, and train without the texts that it has.
"""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from ...base.errors import ConfigError
from ...config import Data
from ..parts.columns import Microworld
from ..task import Task
from ..units import text_kept_apart
from .layouts import UNFOLD, Raw, SourceSplit, to_rows

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
    knobs = microworld.Knobs(**source.knobs)  # type: ignore[arg-type]

    def generate(split: str, taken: Set[str] = frozenset()) -> SourceSplit:
        """A split's rows, without texts that are taken."""

        def is_taken(row: dict[str, Any]) -> bool:
            return bool(taken) and any(
                text_kept_apart(task, made) in taken for made in UNFOLD[task.layout](task, source, Raw("", row))
            )

        n = -(-wanted[split] // ROWS_IN_NEST.get(task.layout, 1))
        try:
            rows = microworld.rows(name, split, n, data.seed, knobs, is_taken)
        except (KeyError, ValueError) as error:
            raise ConfigError(f"task {task.name}: sources.microworld: {error}") from None
        return SourceSplit([Raw(f"microworld/{name}/{split}:{i}", row) for i, row in enumerate(rows)], source)

    readings = {"test": generate("test")}
    if "train" in wanted:
        tested = {text_kept_apart(task, row) for row in to_rows(task, readings["test"])[0]}
        readings = {"train": generate("train", tested), **readings}
    return readings, {"generator": name, "knobs": asdict(knobs)}
