"""Answers of a decoder that is shown demonstrations, whose number is chosen on the validation carve of their task."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from ..config import Prompting
from ..tasks.prompts import choose_demonstrations
from ..tasks.rows import Row, rows_of, supervised_rows, with_rationales
from ..tasks.task import Task, load_task
from .answer import Answer, Answerer, Asked, Backbone, Shots
from .decoder import ask, open_decoder
from .labels import main_score


@contextmanager
def open_answerer(asked: Asked) -> Iterator[Answerer]:
    """A decoder that is shown demonstrations; tasks that follow another one share its demonstrations."""
    chosen: dict[str, tuple[list[Row], Shots]] = {}  # by the task that the demonstrations come from
    with open_decoder(asked) as backbone:

        def answer(task: Task, rows: list[Row]) -> tuple[list[Answer], Shots]:
            source = task.trained_with or task.name
            if source not in chosen:
                chosen[source] = _choose_shots(asked, backbone, source)
            demonstrations, shots = chosen[source]
            shown, part = _in_fields_of(task, demonstrations), f"{task.name}/test"
            given = ask(
                asked.spec, backbone.model, backbone.tokenizer, task, rows, shown, journal=asked.journal, part=part
            )
            return given, shots

        yield answer


def _choose_shots(asked: Asked, backbone: Backbone, source: str) -> tuple[list[Row], Shots]:
    """The demonstrations of the task `source`, their number chosen on its validation carve.

    Fewer demonstrations are the first ones of more.
    """
    spec, data = asked.spec, asked.data
    assert isinstance(spec.settings, Prompting)
    task = next((task for task in spec.eval_tasks if task.name == source), None) or load_task(source)
    candidates = spec.settings.shots
    rows = supervised_rows(task, rows_of(data, source, "train"))
    if spec.protocol.response == "rationale":
        rows = with_rationales(data, source, "train", rows)
    pool = choose_demonstrations(rows, max(candidates), spec.settings.demonstrations, spec.seed)
    count, scores = len(pool), dict[int, float]()
    if len(candidates) > 1:
        validation = rows_of(data, source, "validation")

        def value(k: int) -> float:
            part = f"{source}/validation/{k}"
            answers = ask(
                spec,
                backbone.model,
                backbone.tokenizer,
                task,
                validation,
                pool[:k],
                journal=asked.journal,
                part=part,
                metrics=task.metrics[:1],
            )
            return main_score(task, validation, answers, spec.protocol, data)

        count, scores = best_shots(candidates, value)
    return pool[:count], Shots(tuple(row.id for row in pool[:count]), scores)


def best_shots(candidates: Sequence[int], score: Callable[[int], float]) -> tuple[int, dict[int, float]]:
    """The number of demonstrations with the best validation score (ties: the fewest), and the scores of all."""
    scores = {k: score(k) for k in sorted(set(candidates))}
    return max(scores, key=lambda k: (scores[k], -k)), scores


def _in_fields_of(task: Task, rows: Sequence[Row]) -> list[Row]:
    """Rows of the task that `task` follows, under its own field names; fields correspond in their order.

    RTE has sentence1 and sentence2 in GLUE, and premise and hypothesis in SuperGLUE.
    """
    if not rows or set(rows[0].fields) == set(task.fields):
        return list(rows)
    own = load_task(str(task.trained_with)).fields
    return [
        replace(row, fields={new: row.fields[old] for new, old in zip(task.fields, own, strict=True)}) for row in rows
    ]
