"""From answers to what is scored: one parser reads a decoder's texts, and what needs no reading is taken as it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..base.errors import ConfigError
from ..config import Protocol
from ..tasks.metrics import Prediction, score
from ..tasks.reading import read_response
from ..tasks.rows import load_rows
from ..tasks.task import LOWER_IS_BETTER
from ..tasks.texts.statistics import count_statistics, explain_absence

if TYPE_CHECKING:
    from ..tasks.rows import Row
    from ..tasks.task import Task
    from .answer import Answer

    Label = str | float | None


def read_labels(task: Task, answers: Sequence[Answer], protocol: Protocol) -> list[Label]:
    """Each answer's canonical label, number or text; None where the text gives none."""
    strict, response = protocol.parser == "strict", protocol.response
    return [
        answer.label if answer.label is not None else read_response(task, answer.text, strict, response).label
        for answer in answers
    ]


def to_predictions(
    task: Task, rows: Sequence[Row], answers: Sequence[Answer], labels: Sequence[Label], data: Path
) -> list[Prediction]:
    """What metrics are computed from: the labels, or the statistics of texts.

    Args:
        task: see `texts.statistics`.
        rows: that were answered.
        answers: to them.
        labels: what was read in them.
        data: folder of prepared rows, whose training references say what is rare.
    """
    if task.answer != "text":
        return list(labels)
    texts = [None if label is None else str(label) for label in labels]
    train = load_rows(data, task.trained_with or task.name, "train")
    return list(count_statistics(task, rows, texts, [answer.measured for answer in answers], train))


def confidences_of(answers: Sequence[Answer]) -> list[float] | None:
    """Every answer's confidence, or None where one has none."""
    found = [answer.confidence for answer in answers if answer.confidence is not None]
    return found if len(found) == len(answers) else None


def main_score(task: Task, rows: Sequence[Row], answers: Sequence[Answer], protocol: Protocol, data: Path) -> float:
    """The metric that decides choices (the task's first), in percent; below zero where less of it is better, so that more is.

    Raises:
        ConfigError: it cannot be computed of these rows.
    """
    name = task.metrics[0]
    if task.answer == "text":
        task = task.model_copy(update={"metrics": [name]})  # the others were not measured
    predictions = to_predictions(task, rows, answers, read_labels(task, answers, protocol), data)
    value = score(task, rows, predictions, confidences_of(answers))[name]
    if math.isnan(value):
        raise ConfigError(f"task {task.name}: {name}, its first metric, decides choices: {explain_absence(task, name)}")
    return -value if name in LOWER_IS_BETTER else value
