"""Intervals over examples, paired tests between methods, and their correction for number.

The 95 % intervals are percentile bootstraps over the units that were drawn: rows, or groups where rows belong
together (a ReCoRD query, an AX-g pair), and all of these that share a text (a MultiRC passage; `tasks.units`). Drawing n
units with replacement is a multinomial draw over *distinct* units, and every metric here is a function of how often each distinct unit was drawn; so no resample
is ever written out row by row, and a thousand of them cost milliseconds. Tests between methods are conditional on
the trained models: they ask whether a difference would survive other test rows, not other seeds (the tables'
standard deviations tell about seeds).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
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


@dataclass(frozen=True)
class Paired:
    """Two methods on the same units: means over their runs, the difference's 95 % interval, and a p-value."""

    value_a: float
    value_b: float
    low: float
    high: float
    p: float
    test: str

    @property
    def difference(self) -> float:
        """How much the first method's value is above the second's."""
        return self.value_a - self.value_b


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


def mcnemar(only_a: int, only_b: int) -> float:
    """Two-sided exact p-value when `only_a` rows are right in A alone and `only_b` in B alone (McNemar 1947)."""
    total, least = only_a + only_b, min(only_a, only_b)
    tail = sum(comb(total, k) for k in range(least + 1))
    return float(min(1.0, 2 * tail / 2**total))


def paired(summary: Summary, pairs: Sequence[tuple[int, int]], metrics: Sequence[str], draws: int, seed: int) -> Paired:
    """Compare two methods whose runs are paired (run of A, run of B), such as by seed, on the same units.

    What is compared is the mean of `metrics`, averaged over the pairs. With one pair and accuracy over rows, the exact McNemar test. Otherwise a permutation test: under the null
    hypothesis a unit's predictions may be exchanged between the methods (in all pairs at once, for pairs share the
    unit), so each of `draws` permutations exchanges every unit with probability one half and recomputes the
    difference of the methods' mean values.
    """
    both = np.concatenate([summary.codes[list(side)] for side in zip(*pairs, strict=True)])
    joint, counts = np.unique(both, axis=1, return_counts=True)
    sides = joint[: len(pairs)], joint[len(pairs) :]
    units = int(counts.sum())
    generator = np.random.default_rng(seed)

    def mean(side: int, kept: Array, swapped: Array | None = None) -> Array:
        """The method's value when units count `kept` times as its own and `swapped` times as the other's."""
        total = np.zeros(len(kept))
        for own, other in zip(sides[side], sides[1 - side], strict=True):
            weights = kept if swapped is None else np.concatenate([kept, swapped], axis=1)
            values = summary.evaluate(weights, own if swapped is None else np.concatenate([own, other]))
            total += sum(values[name] for name in metrics)
        return total / (len(pairs) * len(metrics))

    observed = counts.astype(float)[None]
    value_a, value_b = float(mean(0, observed)[0]), float(mean(1, observed)[0])
    low = high = float("nan")
    if draws:
        resamples = generator.multinomial(units, counts / units, size=draws).astype(float)
        low, high = np.percentile(mean(0, resamples) - mean(1, resamples), TAILS)
    if len(pairs) == 1 and list(metrics) == ["accuracy"] and summary.right is not None:
        a, b = summary.right[sides[0][0]], summary.right[sides[1][0]]
        p, test = mcnemar(int(counts[a & ~b].sum()), int(counts[b & ~a].sum())), "McNemar, exact"
    else:
        swapped = generator.binomial(counts, 0.5, size=(draws, len(counts))).astype(float)
        kept = counts - swapped
        differences = mean(0, kept, swapped) - mean(1, kept, swapped)
        reached = np.abs(differences) >= abs(value_a - value_b) - 1e-9
        p, test = (1 + int(reached.sum())) / (1 + draws), "paired permutation"
    return Paired(value_a, value_b, float(low), float(high), float(p), test)


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
