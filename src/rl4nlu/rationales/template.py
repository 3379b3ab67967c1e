"""Rationales for real rows without a chat model: a stated template that quotes spans of the input.

They say nothing about why a label holds: they are there so that the whole chain runs on real rows offline, and the record
says so. A span depends on row and label, so that arguments for different labels quote different words.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from ..tasks.prompts import CLOSE_TAG, OPEN_TAG
from ..tasks.task import Task
from .requests import Request, Source, response_of

TEMPLATES = (
    "The text says '{0}', which means {label}.",
    "The first says '{0}' and the second '{1}', which means {label}.",
)
"""For tasks with one field, and for those with more (the first two are quoted)."""

SPAN = 4
"""Words quoted of a field, at most."""


def form(task: Task) -> str:
    """The task's template."""
    return TEMPLATES[min(len(task.fields), 2) - 1]


def span(text: str, rng: random.Random) -> str:
    """Up to `SPAN` neighbouring words of a text, without tags."""
    words = text.replace(OPEN_TAG, " ").replace(CLOSE_TAG, " ").split()
    start = rng.randrange(max(1, len(words) - SPAN + 1))
    return " ".join(words[start : start + SPAN])


def template(task: Task, seed: int) -> Source:
    """Quotes of a row's first two fields; ungrounded ones quote another row of the requests."""

    def write(requests: Sequence[Request]) -> Iterator[tuple[int, str]]:
        several = len({request.row.id for request in requests}) > 1
        for number, request in enumerate(requests):
            rng = random.Random(f"{seed}|{task.name}|{request.row.id}|{request.label}|{request.grounded}")
            row = request.row
            while several and not request.grounded and row.id == request.row.id:
                row = rng.choice(requests).row
            spans = [span(row.fields[name], rng) for name in task.fields[:2]]
            text = form(task).format(*spans, label=task.labels[request.label])
            yield number, response_of(task, request.label, text)

    return write
