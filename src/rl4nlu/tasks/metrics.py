"""The official metrics of GLUE and SuperGLUE, in percent, as the papers print them (papers/1, section 3.7).

An unparseable answer (None) is wrong everywhere:
- accuracy, Matthews, F1, macro-F1: it is a class of its own that is never right. It takes from recall and accuracy, and
  does not count as a prediction of the positive class.
- Pearson, Spearman: it is the end of the task's range that is farther from the gold number. Numbers outside of the
  range are clamped to it.
- MultiRC: an answer that is not marked true; its question is not all right. ReCoRD: it is chosen last, and if it is
  chosen the query has no answer and scores 0. Gender parity: its pair does not agree.

Everything that is summed over units (rows, questions, queries, pairs) is a function of an array of units, so that
`statistics.py` can resample the units.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .task import METRIC_NAMES, Task, load_tasks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .rows import Row

    Array = NDArray[np.float64]


__all__ = ["METRIC_NAMES", "average", "row_scores", "score"]

Prediction = str | float | None
"""Canonical label, number, or None where the output could not be read."""


# 1. One kind of input for each kind of metric ----------------------------------------------------------------------


def split_confidence(predictions: Sequence[Any]) -> tuple[list[Prediction], list[float] | None]:
    """Predictions, and their confidences where they are given as pairs (prediction, confidence of the positive label)."""
    if not any(isinstance(p, tuple | list) for p in predictions):
        return list(predictions), None
    return [p[0] for p in predictions], [float(p[1]) for p in predictions]


def class_numbers(
    task: Task, rows: Sequence[Row], predictions: Sequence[Prediction]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
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
    """(gold, predicted) numbers, each (rows,): clamped to the task's range; the farther end of it where unparseable."""
    gold = np.array([float(row.label) if row.label is not None else np.nan for row in rows], dtype=np.float64)
    farther = np.where(gold - task.low >= task.high - gold, task.low, task.high)
    read = np.array([np.nan if p is None else float(p) for p in predictions], dtype=np.float64)
    return gold, np.where(np.isnan(read), farther, np.clip(read, task.low, task.high))


def by_group(rows: Sequence[Row]) -> dict[str, list[int]]:
    """Positions of the rows of each group, groups in order of appearance; a row without a group is one of its own."""
    groups: dict[str, list[int]] = {}
    for n, row in enumerate(rows):
        groups.setdefault(row.group if row.group is not None else row.id, []).append(n)
    return groups


# 2. Metrics of rows ------------------------------------------------------------------------------------------------


def confusion(gold: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> Array:
    """Counts (classes, classes + 1), gold by predicted; the last column holds the unparseable answers."""
    width = classes + 1
    return np.bincount(gold * width + predicted, minlength=classes * width).reshape(classes, width).astype(float)


def _ratio(above: float, below: float) -> float:
    return float(above / below) if below else 0.0


def class_metrics(counts: Array) -> dict[str, float]:
    """Accuracy, F1 of the first class, macro-F1 and Matthews correlation, in percent, from `confusion` counts.

    Macro-F1 is the mean over classes that stand in gold or predictions. Matthews correlation is its form for any
    number of classes (Gorodkin 2004), 0 where it is undefined, as in scikit-learn.
    """
    right, gold, predicted, total = np.diagonal(counts[:, :-1]), counts.sum(1), counts.sum(0), counts.sum()
    f1 = [_ratio(2 * r, g + p) for r, g, p in zip(right, gold, predicted[:-1], strict=True) if g + p > 0]
    covariance = right.sum() * total - (gold * predicted[:-1]).sum()
    spread = (total**2 - (predicted**2).sum()) * (total**2 - (gold**2).sum())
    return {
        "accuracy": 100 * _ratio(right.sum(), total),
        "f1": 100 * _ratio(2 * right[0], gold[0] + predicted[0]),
        "macro-f1": 100 * float(np.mean(f1)) if f1 else 0.0,
        "matthews": 100 * _ratio(covariance, np.sqrt(spread)),
    }


def ranks(values: Array) -> Array:
    """Ranks from 1, ties share their mean rank. Shape (n,)."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2)[place]


def correlation(x: Array, y: Array) -> float:
    """Pearson correlation in percent; 0 where a side is constant, as nothing is told apart then."""
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    dx, dy = x - x.mean(), y - y.mean()
    return float(100 * np.clip((dx @ dy) / np.sqrt((dx @ dx) * (dy @ dy)), -1, 1))


# 3. Metrics of groups ----------------------------------------------------------------------------------------------


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


def multirc_metrics(units: Array) -> dict[str, float]:
    """F1a over all answers of all questions, and the share of questions whose answers are all right; in percent."""
    hits, false_alarms, misses, right = units.sum(0)
    return {
        "multirc-f1a": 100 * _ratio(2 * hits, 2 * hits + false_alarms + misses),
        "multirc-em": 100 * _ratio(right, len(units)),
    }


def normal(text: str) -> str:
    """A ReCoRD (SQuAD) answer for comparison: lower case, no punctuation, no articles, single spaces."""
    plain = "".join(c for c in text.lower() if c not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", plain).split())


def token_f1(answer: str, gold: str) -> float:
    """F1 of the two texts' words as multisets; 1 where both are equal, 0 where they share none."""
    a, g = normal(answer).split(), normal(gold).split()
    shared = sum((Counter(a) & Counter(g)).values())
    return 1.0 if a == g else _ratio(2 * shared, len(a) + len(g))


def chosen(
    task: Task, members: Sequence[int], predictions: Sequence[Prediction], confidence: Sequence[float] | None
) -> int | None:
    """Position of the one candidate that answers a ReCoRD query; None where all its answers are unparseable.

    The release writes an answer for every candidate and leaves the choice open (papers/1, section 3.6). Here the most
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
        n = chosen(task, members, predictions, confidence)
        answers = rows[members[0]].answers or []
        if n is None or not answers:
            units.append([0.0, 0.0])
            continue
        text = rows[n].fields["candidate"]
        units.append([max(token_f1(text, g) for g in answers), max(normal(text) == normal(g) for g in answers)])
    return np.array(units, dtype=float).reshape(-1, 2)


def record_metrics(units: Array) -> dict[str, float]:
    """Mean F1 and exact match over queries, in percent."""
    f1, exact = units.mean(0) if len(units) else (0.0, 0.0)
    return {"record-f1": 100 * float(f1), "record-em": 100 * float(exact)}


def pair_units(rows: Sequence[Row], predictions: Sequence[Prediction]) -> Array:
    """Per pair: both answers agree, right answers, answers. Shape (pairs, 3). Unparseable answers never agree."""
    units = []
    for members in by_group(rows).values():
        given = [predictions[n] for n in members]
        agree = None not in given and len(set(given)) == 1
        units.append([agree, sum(predictions[n] == rows[n].label for n in members), len(members)])
    return np.array(units, dtype=float).reshape(-1, 3)


def pair_metrics(units: Array) -> dict[str, float]:
    """Gender parity (share of pairs that agree) and accuracy over rows, in percent."""
    agree, right, answers = units.sum(0)
    return {"gender-parity": 100 * _ratio(agree, len(units)), "accuracy": 100 * _ratio(right, answers)}


# 4. What other files call ------------------------------------------------------------------------------------------


def score(
    task: Task, rows: Sequence[Row], predictions: Sequence[Any], confidence: Sequence[float] | None = None
) -> dict[str, float]:
    """The task's official metrics, in percent, in the order of `task.metrics`.

    Args:
        task: names the metrics.
        rows: with gold labels.
        predictions: one a row: canonical label, number, None (unparseable), or a pair (label, confidence).
        confidence: of the positive label, one a row; only ReCoRD's choice of one candidate uses it.

    Raises:
        ValueError: the lengths differ, there are no rows, or a label is not one of the task's.
    """
    predictions, paired = split_confidence(predictions)
    confidence = confidence if confidence is not None else paired
    if not rows or len(rows) != len(predictions):
        raise ValueError(f"task {task.name}: {len(predictions)} predictions for {len(rows)} rows")
    if task.parser == "number":
        gold, predicted = numbers(task, rows, predictions)
        values = {"pearson": correlation(gold, predicted), "spearman": correlation(ranks(gold), ranks(predicted))}
    else:
        values = class_metrics(confusion(*class_numbers(task, rows, predictions), len(task.labels)))
        if task.layout == "multirc":
            values |= multirc_metrics(multirc_units(task, rows, predictions))
        elif task.layout == "record":
            values |= record_metrics(record_units(task, rows, predictions, confidence))
        elif task.layout == "pairs":
            values |= pair_metrics(pair_units(rows, predictions))
    return {name: values[name] for name in task.metrics}


def row_scores(task: Task, rows: Sequence[Row], predictions: Sequence[Any]) -> list[float]:
    """How right each row is: 1 or 0, or for numbers 1 - |error| / range (clamped; unparseable as in `numbers`)."""
    predictions, _ = split_confidence(predictions)
    if task.parser == "number":
        gold, predicted = numbers(task, rows, predictions)
        return [float(s) for s in 1 - np.abs(predicted - gold) / (task.high - task.low)]
    return [float(p is not None and p == row.label) for row, p in zip(rows, predictions, strict=True)]


def average(
    suite: str, scores: Mapping[str, Mapping[str, float]], tasks: Mapping[str, Task] | None = None
) -> float | None:
    """The suite's average as the papers compute it; None where a task is missing.

    A task with two reported metrics is averaged first. GLUE: nine columns (MNLI twice; without WNLI and AX).
    SuperGLUE: its eight tasks, without AX-b and AX-g (papers/1, section 3.7). Other suites: tasks with `in_average`.

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
