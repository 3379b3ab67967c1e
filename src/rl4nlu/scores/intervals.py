"""A run's intervals over examples, and the correction of tests for their number.

The 95 % intervals are percentile bootstraps over the units that were drawn: rows, or groups where rows belong
together (a ReCoRD query, an AX-g pair), and all of these that share a text (a MultiRC passage; `tasks.units`).
Drawing n units with replacement is a multinomial draw over *distinct* units, and every metric here is a function of
how often each distinct unit was drawn; so no resample is ever written out row by row, and a thousand of them cost
milliseconds. They are about one trained model and other rows; what is said of methods counts seeds, too (`inference`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..tasks.metrics import Prediction, summarise
from ..tasks.units import Summary

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..tasks.rows import Row
    from ..tasks.task import Task

    Array = NDArray[np.float64]


TAILS = (2.5, 97.5)
"""Percentiles of the resamples that bound a 95 % interval."""


def bootstrap(
    task: Task,
    rows: Sequence[Row],
    predictions: Sequence[Prediction],
    draws: int,
    seed: int,
    confidence: Sequence[float] | None = None,
) -> dict[str, tuple[float, float]]:
    """95 % intervals of the task's metrics over its rows (groups, where rows belong together); empty for 0 draws."""
    found = intervals(summarise(task, rows, [predictions], [confidence]), draws, seed)
    return {name: found[name] for name in task.metrics if name in found}


def intervals(summary: Summary, draws: int, seed: int, run: int = 0) -> dict[str, tuple[float, float]]:
    """The percentile bootstrap's 95 % interval of each metric of one run; no interval when `draws` is 0."""
    if draws == 0:
        return {}
    which, counts = np.unique(summary.codes[run], return_counts=True)
    units = int(counts.sum())
    resamples = np.random.default_rng(seed).multinomial(units, counts / units, size=draws).astype(float)
    bounds = {name: np.percentile(value, TAILS) for name, value in summary.evaluate(resamples, which).items()}
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
