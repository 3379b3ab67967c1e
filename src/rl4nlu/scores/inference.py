"""Means and differences of methods, with intervals and tests that count both seeds and rows.

A score would be another one after another training (seed), and on other rows. Trainings are to a method what readers are
to an imaging technique, and rows what cases are; so the model is that of readers and cases (Obuchowski and Rockette 1995),
with degrees of freedom after Satterthwaite (1946), as Hillis (2007) has them:

    D = mean of A's runs - mean of B's runs
    Var D = s_A^2 / k_A + s_B^2 / k_B + max(0, c_AA + c_BB - 2 c_AB)

s^2 is the variance over a method's k runs on the given rows; c_XY is the covariance, over bootstrap resamples of the rows, of
two *different* runs, one by X and one by Y: what rows do to all trainings alike. What one training does on one row is in s^2
already. Where A's run stands on B's, or both on one (`shared`), runs of one seed are a pair, and the variance over seeds
is that of their differences. `scores.simulation` shows how often the test errs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..tasks.units import Summary

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

LEVEL = 0.05
"""Of every test, and one less the coverage of every interval."""
TAILS = (100 * LEVEL / 2, 100 - 100 * LEVEL / 2)
"""Percentiles of resamples that bound an interval."""
POWER = 0.8
"""The chance with which the smallest difference that is called detectable would be found."""
DRAWS_AT_ONCE = 100
"""Resamples of rows that are held at a time (each a number a unit)."""


@dataclass(frozen=True)
class Inference:
    """A mean or a difference in points, the square of its standard error, and how many degrees of freedom that has."""

    value: float
    variance: float
    freedom: float

    @property
    def bounds(self) -> tuple[float, float]:
        """The 95 % interval."""
        from scipy.special import stdtrit

        half = float(stdtrit(self.freedom, 1 - LEVEL / 2)) * self.variance**0.5 if self.variance else 0.0
        return self.value - half, self.value + half

    @property
    def p(self) -> float:
        """Two-sided p-value of no difference; NaN where a difference has no variance to be measured by."""
        from scipy.special import stdtr

        if not self.variance:
            return 1.0 if abs(self.value) < 1e-9 else float("nan")
        return float(2 * stdtr(self.freedom, -abs(self.value) / self.variance**0.5))

    def detectable(self, level: float = LEVEL) -> float:
        """The smallest true difference that a test at `level` would find with 80 % power, by the noncentral t distribution."""
        from scipy.special import nctdtrinc, stdtrit

        if not self.variance:
            return float("nan")
        needed = nctdtrinc(self.freedom, 1 - POWER, stdtrit(self.freedom, 1 - level / 2))
        return float(needed) * self.variance**0.5


@dataclass(frozen=True)
class Contrast:
    """Runs of A against runs of B on one task; against nothing where B is a single 0.

    Attributes:
        a, b: the score of each run, in points, by seed.
        rows: the part of the variance of their means' difference that comes from the rows.
        units: what was resampled.
        shared: runs of one seed have a training in common; `a` and `b` are of the same seeds then.
    """

    a: Array
    b: Array
    rows: float
    units: int
    shared: bool = False


def infer(*groups: Sequence[Contrast]) -> Inference:
    """The mean difference over all contrasts: of one contrast, or of several tasks.

    Contrasts of one group are of the same runs (a multi-task training scored on many tasks); groups are independent of each
    other, and so are the rows of different tasks.
    """
    count = sum(map(len, groups))
    value, parts = 0.0, []
    for group in groups:
        a, b = (sum(getattr(c, side) for c in group) / count for side in ("a", "b"))
        value += float(a.mean() - b.mean())
        for runs in [a - b] if group[0].shared else [a, b]:
            if len(runs) > 1:
                parts.append((float(runs.var(ddof=1)) / len(runs), len(runs) - 1))
        parts += [(c.rows / count**2, c.units - 1) for c in group]
    variance = sum(part for part, _ in parts)
    spread = sum(part**2 / freedom for part, freedom in parts if freedom)
    return Inference(value, variance, variance**2 / spread if spread else 1.0)


@dataclass(frozen=True)
class Resampled:
    """Scores of some runs on the same rows, and on resamples of the rows that are the same for all runs.

    Attributes:
        observed: (runs,), by metric, in percent.
        drawn: (draws, runs), by metric.
        units: how many rows, or groups of rows that belong together, were resampled.

    Drawing n units with replacement is a multinomial draw over *distinct* units, and every metric is a function of how often
    each distinct unit was drawn; so no resample is ever written out row by row, and a thousand of them cost milliseconds.
    """

    observed: dict[str, Array]
    drawn: dict[str, Array]
    units: int

    def mean(self, metrics: Sequence[str], runs: Sequence[int]) -> tuple[Array, Array]:
        """The mean of `metrics` of `runs`: (runs,), and (draws, runs)."""
        columns = list(runs)
        observed = sum(self.observed[name][columns] for name in metrics) / len(metrics)
        return np.asarray(observed), np.asarray(sum(self.drawn[name][:, columns] for name in metrics) / len(metrics))

    def contrast(
        self, metrics: Sequence[str], a: Sequence[int], b: Sequence[int] = (), shared: bool = False
    ) -> Contrast:
        """The mean of `metrics` of the runs `a` less that of the runs `b`, or itself without `b`."""
        own, drawn = self.mean(metrics, a)
        rows = covariance(drawn)
        if not b:
            return Contrast(own, np.zeros(1), max(0.0, rows), self.units)
        other, drawn_other = self.mean(metrics, b)
        rows += covariance(drawn_other) - 2 * covariance(drawn, drawn_other, apart=shared)
        return Contrast(own, other, max(0.0, rows), self.units, shared)


def resample(summary: Summary, draws: int, seed: int) -> Resampled:
    """Every run's metrics on its units, and on `draws` resamples of as many units, drawn with replacement."""
    joint, counts = np.unique(summary.codes, axis=1, return_counts=True)  # units that no run tells apart
    units, generator = int(counts.sum()), np.random.default_rng(seed)

    def evaluate(weights: Array) -> list[dict[str, Array]]:
        return [summary.evaluate(weights, codes) for codes in joint]

    drawn: list[list[dict[str, Array]]] = []
    for start in range(0, draws, DRAWS_AT_ONCE):
        size = min(DRAWS_AT_ONCE, draws - start)
        drawn.append(evaluate(generator.multinomial(units, counts / units, size=size).astype(float)))
    observed = evaluate(counts.astype(float)[None])
    return Resampled(
        {name: np.concatenate([values[name] for values in observed]) for name in observed[0]},
        {
            name: np.concatenate([np.stack([values[name] for values in part], axis=1) for part in drawn])
            for name in (observed[0] if drawn else ())
        },
        units,
    )


def covariance(x: Array, y: Array | None = None, apart: bool = False) -> float:
    """Mean covariance over draws of two runs, one of `x` and one of `y`, each (draws, runs); within `x` of two different ones.

    Args:
        x: scores of runs on resampled rows.
        y: of other runs; None: of the same. A single run has but itself.
        apart: runs at the same place are no pair, either.
    """
    apart, y = apart or y is None, x if y is None else y
    x, y = x - x.mean(0), y - y.mean(0)
    every = x.T @ y / (len(x) - 1)
    if not apart or min(every.shape) == 1:
        return float(every.mean())
    pairs = len(every) * (len(every) - 1)
    return float(every.sum() - np.trace(every)) / pairs
