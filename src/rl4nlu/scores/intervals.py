"""Intervals over examples, paired tests between methods, and their correction for number.

The 95 % intervals are percentile bootstraps over the units that were drawn: rows, or groups where rows belong
together (a MultiRC question, a ReCoRD query, an AX-g pair). Drawing n units with replacement is a multinomial draw
over *distinct* units, and every metric here is a function of how often each distinct unit was drawn; so no resample
is ever written out row by row, and a thousand of them cost milliseconds. Tests between methods are conditional on
the trained models: they ask whether a difference would survive other test rows, not other seeds (the tables'
standard deviations tell about seeds).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import comb
from typing import TYPE_CHECKING, Any

import numpy as np

from ..tasks import metrics as scoring

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..tasks.task import Task

    Array = NDArray[np.float64]
    Codes = NDArray[np.int64]


TAILS = (2.5, 97.5)
"""Percentiles of the resamples that bound a 95 % interval."""


@dataclass(frozen=True)
class Summary:
    """The predictions of one or more runs on the same units, as counts of distinct units.

    Attributes:
        codes: (runs, units) which distinct unit each unit is in each run.
        evaluate: (weights (draws, k), which distinct unit each column is (k,)) -> each metric's values (draws,), in
            percent. A distinct unit may have several columns; their weights add up.
        right: (distinct,) whether the unit is one right answer; None where a unit is more than a single answer.
    """

    codes: Codes
    evaluate: Callable[[Array, Codes], dict[str, Array]]
    right: NDArray[np.bool_] | None = None

    def values(self, run: int) -> dict[str, float]:
        """The metrics of `run`, in percent."""
        found = self.evaluate(np.ones((1, self.codes.shape[1])), self.codes[run])
        return {name: float(value[0]) for name, value in found.items()}


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


# 1. Metrics from counts --------------------------------------------------------------------------------------------


def ratio(above: Array, below: Array) -> Array:
    """`above / below`, 0 where `below` is 0."""
    return np.divide(above, below, out=np.zeros(np.broadcast_shapes(above.shape, below.shape)), where=below != 0)


def confusion_metrics(counts: Array) -> dict[str, Array]:
    """Accuracy, F1 of the first class, macro-F1 over gold classes and Matthews correlation, in percent.

    Args:
        counts: (draws, classes, classes + 1) gold by predicted; the last column holds unparseable answers, which are
            wrong in every metric: they take from recall and accuracy, and never add to a class that was predicted.
    """
    valid = counts[:, :, :-1]
    right = np.diagonal(valid, axis1=1, axis2=2)
    gold, predicted, total = counts.sum(2), counts.sum(1), counts.sum((1, 2))
    f1 = ratio(2 * right, gold + predicted[:, :-1])
    present = (gold + predicted[:, :-1]) > 0
    spread = (total**2 - (predicted**2).sum(1)) * (total**2 - (gold**2).sum(1))
    matthews = ratio(right.sum(1) * total - (gold * predicted[:, :-1]).sum(1), np.sqrt(spread))
    return {
        "accuracy": 100 * ratio(right.sum(1), total),
        "f1": 100 * f1[:, 0],
        "macro-f1": 100 * ratio(f1.sum(1), present.sum(1).astype(float)),
        "matthews": 100 * matthews,
    }


def correlation(x: Array, y: Array, weights: Array) -> Array:
    """Pearson correlation of `x` and `y` under `weights`, all (draws, columns); 0 where one side is constant."""

    def total(*parts: Array) -> Array:
        return np.einsum(",".join(["dk"] * len(parts)) + "->d", *(np.broadcast_to(p, weights.shape) for p in parts))

    count, x, y = total(weights), x - x.mean(), y - y.mean()
    wx, wy = weights * x, weights * y
    sum_x, sum_y = total(wx), total(wy)
    spread_x, spread_y = total(wx, x) - sum_x**2 / count, total(wy, y) - sum_y**2 / count
    constant = (spread_x < 1e-9 * count) | (spread_y < 1e-9 * count)
    norm = np.sqrt(np.where(constant, 0.0, spread_x * spread_y))
    return np.clip(ratio(total(wx, y) - sum_x * sum_y / count, norm), -1, 1)


def weighted_ranks(values: Array, weights: Array) -> Array:
    """Mean rank of each column's value (ties shared) when column i stands `weights[:, i]` times; (draws, columns)."""
    levels, place = np.unique(values, return_inverse=True)
    order = np.argsort(place, kind="stable")
    up_to = np.cumsum(weights[:, order], axis=1)
    ends = np.searchsorted(place[order], np.arange(len(levels)), side="right") - 1
    last = up_to[:, ends]  # how many stand at or below each level
    first = np.concatenate([np.zeros((len(weights), 1)), last[:, :-1]], axis=1)
    return ((first + last + 1) / 2)[:, place]


# 2. Summaries: what each kind of task needs to know of its units ---------------------------------------------------


def summarise(task: Task, rows: Sequence[Any], runs: Sequence[Sequence[Any]]) -> Summary:
    """What the task's metrics need to know of `rows` and of the predictions of one or more runs on them.

    Units are rows, or in the nested layouts groups; `metrics.py` decides what counts of each.
    """
    predictions, confidences = zip(*(scoring.split_confidence(run) for run in runs), strict=True)
    if task.parser == "number":
        wanted = scoring.numbers(task, rows, predictions[0])[0]
        return summarise_numbers(wanted, [scoring.numbers(task, rows, run)[1] for run in predictions])
    classes = len(task.labels)
    numbered = [scoring.class_numbers(task, rows, run) for run in predictions]
    if task.layout == "plain":
        return summarise_classes(numbered[0][0], [predicted for _, predicted in numbered], classes)
    features = []
    for run, confidence, (gold, predicted) in zip(predictions, confidences, numbered, strict=True):
        if task.layout == "multirc":
            units = scoring.multirc_units(task, rows, run)
        elif task.layout == "record":
            units = scoring.record_units(task, rows, run, confidence)
        else:
            units = scoring.pair_units(rows, run)
        answers = [
            scoring.confusion(gold[members], predicted[members], classes).ravel()
            for members in scoring.by_group(rows).values()
        ]
        features.append(np.hstack([units, np.array(answers), np.ones((len(units), 1))]))

    def evaluate(sums: Array) -> dict[str, Array]:
        parts, answers, units = (
            sums[:, : -1 - classes * (classes + 1)],
            sums[:, -1 - classes * (classes + 1) : -1],
            sums[:, -1],
        )
        found = confusion_metrics(answers.reshape(-1, classes, classes + 1))
        if task.layout == "multirc":
            hits, false_alarms, misses, right = parts.T
            found["multirc-f1a"] = 100 * ratio(2 * hits, 2 * hits + false_alarms + misses)
            found["multirc-em"] = 100 * ratio(right, units)
        elif task.layout == "record":
            found |= {"record-f1": 100 * ratio(parts[:, 0], units), "record-em": 100 * ratio(parts[:, 1], units)}
        else:
            found["gender-parity"] = 100 * ratio(parts[:, 0], units)
        return found

    return summarise_units(features, evaluate)


def summarise_classes(gold: Sequence[int] | Codes, runs: Sequence[Sequence[int] | Codes], classes: int) -> Summary:
    """Rows with one of `classes` labels, the first the positive one; `classes` itself is an unparseable answer."""
    width = classes + 1
    codes = np.asarray(gold) * width + np.asarray(runs)

    def evaluate(weights: Array, which: Codes) -> dict[str, Array]:
        counts = weights @ (which[:, None] == np.arange(classes * width)).astype(float)
        return confusion_metrics(counts.reshape(-1, classes, width))

    right = np.arange(classes * width) // width == np.arange(classes * width) % width
    return Summary(codes, evaluate, right)


def summarise_numbers(gold: Sequence[float] | Array, runs: Sequence[Sequence[float] | Array]) -> Summary:
    """Rows with a number each: Spearman and Pearson correlation."""
    pairs = np.stack(np.broadcast_arrays(np.asarray(gold, dtype=float), np.asarray(runs, dtype=float)), axis=-1)
    distinct, codes = np.unique(pairs.reshape(-1, 2), axis=0, return_inverse=True)

    def evaluate(weights: Array, which: Codes) -> dict[str, Array]:
        x, y = distinct[which].T
        ranked = correlation(weighted_ranks(x, weights), weighted_ranks(y, weights), weights)
        return {"spearman": 100 * ranked, "pearson": 100 * correlation(x[None], y[None], weights)}

    return Summary(codes.reshape(pairs.shape[:2]), evaluate)


def summarise_units(features: Sequence[Any], metrics: Callable[[Array], dict[str, Array]]) -> Summary:
    """Units described by numbers that are only ever added up.

    Args:
        features: (runs, units, numbers), such as a question's true and false positives.
        metrics: sums (draws, numbers) -> each metric's values (draws,).
    """
    table = np.asarray(features, dtype=float)
    distinct, codes = np.unique(table.reshape(-1, table.shape[2]), axis=0, return_inverse=True)
    return Summary(codes.reshape(table.shape[:2]), lambda weights, which: metrics(weights @ distinct[which]))


# 3. Intervals and tests --------------------------------------------------------------------------------------------


def bootstrap(
    task: Task, rows: Sequence[Any], predictions: Sequence[Any], draws: int, seed: int
) -> dict[str, tuple[float, float]]:
    """95 % intervals of the task's metrics over its rows (groups, where rows belong together); empty for 0 draws."""
    found = intervals(summarise(task, rows, [predictions]), draws, seed)
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
