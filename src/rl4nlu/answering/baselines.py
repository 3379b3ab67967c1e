"""Baselines that train nothing: the majority label, random labels, and the choice of demonstrations for few-shot prompts.

Also here, for every method: prompts that fit the model. Demonstrations are dropped whole, the last one first; a row
that is too long by itself is shortened at its passage's end. Both are counted, and nothing is cut silently.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..base.errors import ConfigError

if TYPE_CHECKING:
    from ..tasks.rows import Row
    from ..tasks.task import Task

    Label = str | float


# 1. Without a model ------------------------------------------------------------------------------------------------


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


# 2. How many demonstrations ----------------------------------------------------------------------------------------


def best_shots(candidates: Sequence[int], score: Callable[[int], float]) -> tuple[int, dict[int, float]]:
    """The number of demonstrations with the best validation score (ties: the fewest), and the scores of all."""
    scores = {k: score(k) for k in sorted(set(candidates))}
    return max(scores, key=lambda k: (scores[k], -k)), scores
