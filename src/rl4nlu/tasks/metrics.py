"""The official metrics of GLUE and SuperGLUE, in percent, as paper 1 prints them.

An unparseable answer (None) is wrong everywhere, and what stands in its place never depends on the gold label:
- accuracy, Matthews, F1, macro-F1: it is a class of its own that is never right. It takes from recall and accuracy, and
  does not count as a prediction of the positive class.
- Pearson, Spearman: it is the middle of the task's range, which every task of numbers has (`tasks.task`). Numbers
  outside of the range are clamped to it. Where all answers are equal (none is readable, say), or all gold numbers, a
  correlation is not defined; it counts as 0, since nothing is told apart.
- MultiRC: an answer that is not marked true; its question is not all right. ReCoRD: it is chosen last, and if it is
  chosen the query has no answer and scores 0. Gender parity: its pair does not agree.

A metric is a function of how often each unit (row, question, query, pair; `units`) counts: once for the score, and as
often as it was drawn for an interval or a paired test (`scores.intervals`). Units that look alike are told apart by no
metric, so that a thousand draws cost milliseconds.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .task import METRIC_NAMES, Task, load_tasks
from .texts.statistics import Statistics, summarise_texts, values_of
from .units import Summary, add_up, by_group, cluster_of, draw_together, summarise_units

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .rows import Row

    Array = NDArray[np.float64]
    Codes = NDArray[np.int64]


__all__ = ["METRIC_NAMES", "average", "row_scores", "score"]

Prediction = str | float | Statistics | None
"""Canonical label, number, the statistics of a text, or None where the output could not be read."""


# 1. One kind of input for each kind of metric ----------------------------------------------------------------------


def class_numbers(task: Task, rows: Sequence[Row], predictions: Sequence[Prediction]) -> tuple[Codes, Codes]:
    """(gold, predicted) as positions in `task.labels`; an unparseable answer is `len(task.labels)`. Each (rows,).

    Raises:
        ValueError: a label or prediction is not one of the task's.
    """
    numbers: dict[Any, int] = {label: n for n, label in enumerate(task.labels)}
    try:
        gold = np.array([numbers[row.label] for row in rows], dtype=np.int64)
        predicted = np.array([numbers[p] if p is not None else len(numbers) for p in predictions], dtype=np.int64)
    except KeyError as error:
        raise ValueError(
            f"task {task.name}: {error.args[0]!r} is no label; known are {', '.join(task.labels)}"
        ) from None
    return gold, predicted


def numbers(task: Task, rows: Sequence[Row], predictions: Sequence[Prediction]) -> tuple[Array, Array]:
    """(gold, predicted) numbers, each (rows,): clamped to the task's range; the middle of it where unparseable.

    Raises:
        ValueError: a row has no number.
    """
    if (lacking := next((row for row in rows if row.label is None), None)) is not None:
        raise ValueError(f"task {task.name}: row {lacking.id} has no number to be scored by")
    gold = np.array([row.label for row in rows], dtype=np.float64)
    read = np.array([np.nan if p is None else p for p in predictions], dtype=np.float64)
    return gold, np.where(np.isnan(read), (task.low + task.high) / 2, np.clip(read, task.low, task.high))


# 2. Metrics from counts and sums -------------------------------------------------------------------------------------


def ratio(above: Array, below: Array) -> Array:
    """`above / below`, 0 where `below` is 0."""
    return np.divide(above, below, out=np.zeros(np.broadcast_shapes(above.shape, below.shape)), where=below != 0)


def confusion(gold: Codes, predicted: Codes, classes: int) -> Array:
    """Counts (classes, classes + 1), gold by predicted; the last column holds the unparseable answers."""
    width = classes + 1
    return np.bincount(gold * width + predicted, minlength=classes * width).reshape(classes, width).astype(float)


def class_metrics(counts: Array) -> dict[str, Array]:
    """Accuracy, F1 of the first class, macro-F1 and Matthews correlation, in percent, each (draws,).

    Macro-F1 is the mean over the classes that stand in gold or predictions. Matthews correlation is its form for any
    number of classes (Gorodkin 2004), 0 where it is undefined, as in scikit-learn.

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


def ranks(values: Array, weights: Array) -> Array:
    """Ranks from 1, ties sharing their mean rank, when column i stands `weights[:, i]` times; (draws, columns)."""
    levels, place = np.unique(values, return_inverse=True)
    order = np.argsort(place, kind="stable")
    up_to = np.cumsum(weights[:, order], axis=1)
    ends = np.searchsorted(place[order], np.arange(len(levels)), side="right") - 1
    last = up_to[:, ends]  # how many stand at or below each level
    first = np.concatenate([np.zeros((len(weights), 1)), last[:, :-1]], axis=1)
    return ((first + last + 1) / 2)[:, place]


def correlation(x: Array, y: Array, weights: Array | None) -> Array:
    """Pearson correlation in percent (draws,) of `x` and `y`, both (draws, columns), when column i counts `weights[:, i]` times.

    Without weights every column counts once. 0 where a side is constant, as nothing is told apart then.
    """
    once = weights is None
    weights = np.ones((1, x.shape[1])) if weights is None else weights

    def total(*parts: Array) -> Array:
        if once and len(parts) == 2:  # to the last bit the dot product of two plain series
            return np.vecdot(*parts)
        return np.einsum(",".join(["dk"] * len(parts)) + "->d", *(np.broadcast_to(p, weights.shape) for p in parts))

    count, x, y = total(weights), x - x.mean(), y - y.mean()
    wx, wy = weights * x, weights * y
    sum_x, sum_y = total(wx), total(wy)
    spread_x, spread_y = total(wx, x) - sum_x**2 / count, total(wy, y) - sum_y**2 / count
    constant = (spread_x < 1e-9 * count) | (spread_y < 1e-9 * count)
    norm = np.sqrt(np.where(constant, 0.0, spread_x * spread_y))
    return 100 * np.clip(ratio(total(wx, y) - sum_x * sum_y / count, norm), -1, 1)


# 3. Units that are groups of rows ----------------------------------------------------------------------------------------------


def multirc_units(task: Task, rows: Sequence[Row], predictions: Sequence[Prediction]) -> Array:
    """Per question: true positives, false positives, false negatives, all answers right. Shape (questions, 4)."""
    positive = next(iter(task.labels))
    units = []
    for members in by_group(rows).values():
        pairs = [(rows[n].label == positive, predictions[n] == positive) for n in members]
        right = all(predictions[n] == rows[n].label for n in members)
        units.append(
            [
                sum(g and p for g, p in pairs),
                sum(p and not g for g, p in pairs),
                sum(g and not p for g, p in pairs),
                right,
            ]
        )
    return np.array(units, dtype=float).reshape(-1, 4)


def normal(text: str) -> str:
    """A ReCoRD (SQuAD) answer for comparison: lower case, no punctuation, no articles, single spaces."""
    plain = "".join(c for c in text.lower() if c not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", plain).split())


def token_f1(answer: str, gold: str) -> float:
    """F1 of the two texts' words as multisets; 1 where both are equal, 0 where they share none."""
    a, g = normal(answer).split(), normal(gold).split()
    shared = sum((Counter(a) & Counter(g)).values())
    return 1.0 if a == g else 2 * shared / (len(a) + len(g))


def choose_candidate(
    task: Task, members: Sequence[int], predictions: Sequence[Prediction], confidence: Sequence[float] | None
) -> int | None:
    """Position of the one candidate that answers a ReCoRD query; None where all its answers are unparseable.

    Paper 1's release writes an answer for every candidate and leaves the choice open. Here the most
    confident candidate is chosen where confidences of the positive label are known; otherwise the first one that was
    judged positive, or else the first one that was judged at all: the official scorer takes one answer a query.
    """
    positive = next(iter(task.labels))
    judged = [n for n in members if predictions[n] is not None]
    if not judged:
        return None
    if confidence is not None:
        return max(judged, key=lambda n: (confidence[n], -n))
    return next((n for n in judged if predictions[n] == positive), judged[0])


def record_units(
    task: Task, rows: Sequence[Row], predictions: Sequence[Prediction], confidence: Sequence[float] | None = None
) -> Array:
    """Per query: F1 and exact match of the chosen candidate, the best over the gold answers. Shape (queries, 2)."""
    units = []
    for members in by_group(rows).values():
        n = choose_candidate(task, members, predictions, confidence)
        answers = rows[members[0]].answers or []
        if n is None or not answers:
            units.append([0.0, 0.0])
            continue
        text = rows[n].fields["candidate"]
        units.append([max(token_f1(text, g) for g in answers), max(normal(text) == normal(g) for g in answers)])
    return np.array(units, dtype=float).reshape(-1, 2)


def pair_units(rows: Sequence[Row], predictions: Sequence[Prediction]) -> Array:
    """Per pair: both answers agree, right answers, answers. Shape (pairs, 3). Unparseable answers never agree."""
    units = []
    for members in by_group(rows).values():
        given = [predictions[n] for n in members]
        agree = None not in given and len(set(given)) == 1
        units.append([agree, sum(predictions[n] == rows[n].label for n in members), len(members)])
    return np.array(units, dtype=float).reshape(-1, 3)


# 4. Runs on the same units --------------------------------------------------------------------------------------------


def summarise(
    task: Task,
    rows: Sequence[Row],
    runs: Sequence[Sequence[Prediction]],
    confidences: Sequence[Sequence[float] | None] | None = None,
    clusters: Sequence[str | None] | None = None,
) -> Summary:
    """What intervals and tests need to know of the predictions of one or more runs on `rows`.

    Units are what is drawn together: rows, in the nested layouts groups, and clusters of either that share a text.

    Args:
        task: see `tally`.
        rows: see `tally`.
        runs: see `tally`.
        confidences: see `tally`.
        clusters: of the rows (`cluster_of`), where the rows do not hold their texts.
    """
    clusters = [cluster_of(task, row) for row in rows] if clusters is None else clusters
    alone = task.layout == "plain" or task.answer == "text"
    units = range(len(rows)) if alone else (members[0] for members in by_group(rows).values())
    return draw_together(tally(task, rows, runs, confidences), [clusters[n] for n in units])


def tally(
    task: Task,
    rows: Sequence[Row],
    runs: Sequence[Sequence[Prediction]],
    confidences: Sequence[Sequence[float] | None] | None = None,
) -> Summary:
    """What the task's metrics need to know of `rows` and of the predictions of one or more runs on them.

    Units are rows, or in the nested layouts groups.

    Args:
        task: names layout, labels and range.
        rows: with gold labels.
        runs: one prediction a row: canonical label, number, statistics of a text, or None (unparseable).
        confidences: of the positive label, by run and row; only ReCoRD's choice of one candidate uses them.
    """
    if task.answer == "text":
        return summarise_texts(task, runs)  # type: ignore[arg-type]
    if task.answer == "number":
        wanted = numbers(task, rows, runs[0])[0]
        return summarise_numbers(wanted, [numbers(task, rows, run)[1] for run in runs])
    classes = len(task.labels)
    numbered = [class_numbers(task, rows, run) for run in runs]
    if task.layout == "plain":
        return summarise_classes(numbered[0][0], [predicted for _, predicted in numbered], classes)
    features = []
    for run, confidence, (gold, predicted) in zip(runs, confidences or [None] * len(runs), numbered, strict=True):
        if task.layout == "multirc":
            units = multirc_units(task, rows, run)
        elif task.layout == "record":
            units = record_units(task, rows, run, confidence)
        else:
            units = pair_units(rows, run)
        answers = [confusion(gold[members], predicted[members], classes).ravel() for members in by_group(rows).values()]
        features.append(np.hstack([units, np.array(answers), np.ones((len(units), 1))]))

    def evaluate(sums: Array) -> dict[str, Array]:
        parts, answers, units = np.split(sums, [-1 - classes * (classes + 1), -1], axis=1)
        found, count = class_metrics(answers.reshape(-1, classes, classes + 1)), units[:, 0]
        if task.layout == "multirc":
            hits, false_alarms, misses, right = parts.T
            found["multirc-f1a"] = 100 * ratio(2 * hits, 2 * hits + false_alarms + misses)
            found["multirc-em"] = 100 * ratio(right, count)
        elif task.layout == "record":
            found |= {"record-f1": 100 * ratio(parts[:, 0], count), "record-em": 100 * ratio(parts[:, 1], count)}
        else:
            found["gender-parity"] = 100 * ratio(parts[:, 0], count)
        return found

    return summarise_units(features, evaluate)


def summarise_classes(gold: Sequence[int] | Codes, runs: Sequence[Sequence[int] | Codes], classes: int) -> Summary:
    """Rows with one of `classes` labels, the first the positive one; `classes` itself is an unparseable answer."""
    width = classes + 1
    codes = np.asarray(gold) * width + np.asarray(runs)

    def evaluate(weights: Array | None, which: Codes) -> dict[str, Array]:
        chosen = (which[:, None] == np.arange(classes * width)).astype(float)
        return class_metrics(add_up(chosen, weights).reshape(-1, classes, width))

    return Summary(codes, evaluate)


def summarise_numbers(gold: Sequence[float] | Array, runs: Sequence[Sequence[float] | Array]) -> Summary:
    """Rows with a number each: Spearman and Pearson correlation."""
    pairs = np.stack(np.broadcast_arrays(np.asarray(gold, dtype=float), np.asarray(runs, dtype=float)), axis=-1)
    distinct, codes = np.unique(pairs.reshape(-1, 2), axis=0, return_inverse=True)

    def evaluate(weights: Array | None, which: Codes) -> dict[str, Array]:
        x, y = distinct[which].T
        counted = np.ones((1, len(which))) if weights is None else weights
        ranked = correlation(ranks(x, counted), ranks(y, counted), weights)
        return {"spearman": ranked, "pearson": correlation(x[None], y[None], weights)}

    return Summary(codes.reshape(pairs.shape[:2]), evaluate)


# 5. What other files call ------------------------------------------------------------------------------------------


def score(
    task: Task, rows: Sequence[Row], predictions: Sequence[Prediction], confidence: Sequence[float] | None = None
) -> dict[str, float]:
    """The task's official metrics, in percent (`texts.statistics` has the scales of texts'), in the order of `task.metrics`.

    Args:
        task: names the metrics.
        rows: with gold labels.
        predictions: one a row, see `tally`.
        confidence: of the positive label, one a row; only ReCoRD's choice of one candidate uses it.

    Raises:
        ValueError: the lengths differ, there are no rows, or a label is not one of the task's.
    """
    if not rows or len(rows) != len(predictions):
        raise ValueError(f"task {task.name}: {len(predictions)} predictions for {len(rows)} rows")
    values = tally(task, rows, [predictions], [confidence]).values(0)
    return {name: values[name] for name in task.metrics}


def row_scores(task: Task, rows: Sequence[Row], predictions: Sequence[Prediction]) -> list[float]:
    """How right each row is: 1 or 0, or for numbers 1 - |error| / range (clamped); 0 where unparseable.

    Of texts, the first metric of the row alone, in its own points; NaN where it has none.
    """
    if task.answer == "text":
        name = task.metrics[0]
        own = np.array([p[name] for p in predictions if isinstance(p, dict)], dtype=np.float64)
        return [float(value) for value in values_of(name, own)]
    if task.answer == "number":
        gold, predicted = numbers(task, rows, predictions)
        near = 1 - np.abs(predicted - gold) / (task.high - task.low)
        return [0.0 if p is None else float(s) for s, p in zip(near, predictions, strict=True)]
    return [float(p is not None and p == row.label) for row, p in zip(rows, predictions, strict=True)]


def average(
    suite: str, scores: Mapping[str, Mapping[str, float]], tasks: Mapping[str, Task] | None = None
) -> float | None:
    """The suite's average as the papers compute it; None where a task is missing.

    A task with two reported metrics is averaged first. GLUE: nine columns (MNLI twice; without WNLI and AX).
    SuperGLUE: its eight tasks, without AX-b and AX-g. Other suites: tasks with `in_average`.

    Args:
        suite: its name.
        scores: task -> metric -> value.
        tasks: every task; those of the checkout when absent.
    """
    counted = [t for t in (tasks if tasks is not None else load_tasks()).values() if t.suite == suite and t.in_average]
    values = []
    for task in counted:
        found = [scores.get(task.name, {}).get(metric) for metric in task.columns]
        if any(value is None for value in found):
            return None
        values.append(float(np.mean([v for v in found if v is not None])))
    return float(np.mean(values)) if values else None
