"""Answers without a model: the majority label, and random labels or texts."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..base.errors import ConfigError
from ..tasks.rows import load_rows, rows_of
from .answer import Answer, Answerer, Asked, Shots
from .decoder import judge_texts, points_of

if TYPE_CHECKING:
    from ..tasks.rows import Row
    from ..tasks.task import Task

    Label = str | float


@contextmanager
def open_answerer(asked: Asked) -> Iterator[Answerer]:
    """The guesses of `majority` or `random`."""

    def guess(task: Task, rows: list[Row]) -> tuple[list[Answer], Shots]:
        if asked.spec.method == "random":
            if task.answer == "text":
                return random_texts(asked, task, rows), Shots()
            return [Answer(label=random_label(task, asked.spec.seed, row.id)) for row in rows], Shots()
        label = majority_label(task, load_rows(asked.data, task.trained_with or task.name, "train"))
        return [Answer(label=label)] * len(rows), Shots()

    yield guess


def random_texts(asked: Asked, task: Task, rows: Sequence[Row]) -> list[Answer]:
    """For every row the first reference of a training row, drawn by the run's seed and the row's id; judged as all texts are.

    Raises:
        ConfigError: there are no training rows.
    """
    pool = rows_of(asked.data, task.trained_with or task.name, "train")
    drawn = [random.Random(f"{asked.spec.seed} {row.id}").choice(pool).answers or [] for row in rows]
    texts = [references[0] for references in drawn]
    if "judge" not in task.metrics or task.name not in asked.spec.judges:
        return [Answer(label=text) for text in texts]
    points = points_of(asked.spec.judges[task.name])
    judged = judge_texts(asked.spec, task, rows, texts)
    return [Answer(label=text, measured={"judge": score * points}) for text, score in zip(texts, judged, strict=True)]


def majority_label(task: Task, rows: Sequence[Row]) -> Label:
    """The most frequent training label (ties: the first in the task's order); for numbers, their mean.

    Raises:
        ConfigError: there are no labelled rows.
    """
    labels = [row.label for row in rows if row.label is not None]
    if not labels:
        raise ConfigError(f"task {task.name}: majority needs labelled training rows, and there are none")
    if not task.labels:
        return sum(float(label) for label in labels) / len(labels)
    counts = Counter(str(label) for label in labels)
    return max(task.labels, key=lambda label: counts[label])


def random_label(task: Task, seed: int, row: str) -> Label:
    """A uniformly random label (a uniform number between the task's bounds) that depends on `seed` and the row's id."""
    chance = random.Random(f"{seed} {row}")
    if task.labels:
        return chance.choice(list(task.labels))
    return chance.uniform(task.low, task.high)
