"""From answers to labels: one parser reads a decoder's texts, and what needs no reading is taken as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..config import Protocol
from ..tasks.metrics import Prediction, score
from ..tasks.reading import read_response

if TYPE_CHECKING:
    from ..tasks.rows import Row
    from ..tasks.task import Task
    from .answer import Answer


def read_labels(task: Task, answers: Sequence[Answer], protocol: Protocol) -> list[Prediction]:
    """Each answer's canonical label or number; None where the text gives none."""
    strict, response = protocol.parser == "strict", protocol.response
    return [
        answer.label if answer.label is not None else read_response(task, answer.text, strict, response).label
        for answer in answers
    ]


def confidences_of(answers: Sequence[Answer]) -> list[float] | None:
    """Every answer's confidence, or None where one has none."""
    found = [answer.confidence for answer in answers if answer.confidence is not None]
    return found if len(found) == len(answers) else None


def main_score(task: Task, rows: Sequence[Row], answers: Sequence[Answer], protocol: Protocol) -> float:
    """The metric that decides choices (the task's first), in percent."""
    return score(task, rows, read_labels(task, answers, protocol), confidences_of(answers))[task.metrics[0]]
