"""A run's intervals over examples, and the correction of tests for their number.

The 95 % intervals are percentile bootstraps over the units that were drawn: rows, or groups where rows belong
together (a ReCoRD query, an AX-g pair), and all of these that share a text (a MultiRC passage; `tasks.units`).
They are about one trained model and other rows; what is said of methods counts seeds, too (`inference`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..tasks.metrics import Prediction, summarise
from .inference import TAILS, resample

if TYPE_CHECKING:
    from ..tasks.rows import Row
    from ..tasks.task import Task


def bootstrap(
    task: Task,
    rows: Sequence[Row],
    predictions: Sequence[Prediction],
    draws: int,
    seed: int,
    confidence: Sequence[float] | None = None,
) -> dict[str, tuple[float, float]]:
    """The percentile bootstrap's 95 % intervals of the task's metrics over its rows (groups, where rows belong together).

    Empty for 0 draws.
    """
    drawn = resample(summarise(task, rows, [predictions], [confidence]), draws, seed).drawn
    bounds = {name: np.percentile(drawn[name], TAILS) for name in task.metrics if name in drawn}
    return {name: (float(low), float(high)) for name, (low, high) in bounds.items()}


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's (1979) step-down adjusted p-values, in the given order."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, running = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted


def mean_sd(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation; no deviation from a single value."""
    mean = float(np.mean(values))
    return mean, float(np.std(values, ddof=1)) if len(values) > 1 else None
