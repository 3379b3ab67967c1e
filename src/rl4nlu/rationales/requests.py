"""What is asked of a source of rationales, and what is kept of its answers."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ..base.errors import ConfigError
from ..base.files import digest_of
from ..tasks.prompts import CLOSE_TAG, OPEN_TAG
from ..tasks.reading import read_response
from ..tasks.rows import Row
from ..tasks.task import Task

WORD_OR_SIGN = re.compile(r"\w+|[^\w\s]")

DROPPED_RATIONALES = ("no answer", "empty", "no label", "label contradicts", "too long")
"""Why an answer is not kept, in the order in which it is looked at."""


@dataclass(frozen=True)
class Request:
    """A row and the label to argue for; `gold` says whether it is the row's own, `grounded` whether the row is cited."""

    split: str
    row: Row
    label: str
    gold: bool
    grounded: bool = True


Source = Callable[[Sequence[Request]], Iterator[tuple[int, str]]]
"""Yields (number of the request, response) as responses come, in any order. A response is a rationale and then the label
in its tags, the grammar that the parser reads; a request that has no answer is left out."""


def requests_of(
    rows: Sequence[Row], split: str, labels: Callable[[Row], Sequence[str]], wrong: int, seed: int, ungrounded: bool
) -> list[Request]:
    """The gold label and `wrong` others of every row, drawn uniformly; ungrounded copies of all of these if asked.

    Args:
        rows: of one split.
        split: its name.
        labels: those that a row can have an argument for.
        wrong: others a row; all of them where there are fewer.
        seed: of the draw, which depends on the row's id besides.
        ungrounded: ask for each label once more, without grounds in the row.
    """
    made = []
    for row in rows:
        others = [label for label in labels(row) if label != row.label]
        drawn = random.Random(f"wrong label|{seed}|{row.id}").sample(others, min(wrong, len(others)))
        chosen = [label for label in (str(row.label), *drawn) if label in labels(row)]
        for grounded in (True, False) if ungrounded else (True,):
            made += [Request(split, row, label, label == row.label, grounded) for label in chosen]
    return made


ARGUING_INSTRUCTION = """Argue for a given label of a text. Write one or two short sentences, at most {words} words in all, that quote the words
of the text which speak for the label. Treat the label as right: don't say that it was given, and don't name another one.
Then write the label between tags. Your whole answer has this form:
<reasons> {open} {label} {close}

The task: {task}
{question}

The label to argue for: {label}"""


def write_arguing_prompt(task: Task, request: Request, words: int) -> str:
    """What a chat model is asked: the same wording for gold and wrong labels, so that neither is given away.

    Wording of our own (paper 2's is not published).
    """
    return ARGUING_INSTRUCTION.format(
        words=words,
        open=OPEN_TAG,
        close=CLOSE_TAG,
        label=task.labels[request.label],
        task=task.description,
        question=task.query.format_map(request.row.fields),
    )


def prompt_digest(task: Task) -> str:
    """Names the wording that a task's requests share."""
    return digest_of([ARGUING_INSTRUCTION, task.description, task.query, task.labels])


def response_of(task: Task, label: str, rationale: str) -> str:
    """A rationale and a label in the grammar that the parser reads."""
    return f"{rationale} {OPEN_TAG} {task.labels[label]} {CLOSE_TAG}"


def kept(task: Task, request: Request, response: str | None, most_words: int) -> tuple[str | None, str]:
    """The rationale of a response, or None and the reason for dropping it, one of `DROPPED_RATIONALES`."""
    if response is None:
        return None, "no answer"
    reading = read_response(task, response, response="rationale")
    if not reading.rationale:
        return None, "empty"
    if reading.label is None:
        return None, "no label"
    if reading.label != request.label:
        return None, "label contradicts"
    if len(WORD_OR_SIGN.findall(reading.rationale)) > most_words:
        return None, "too long"
    return " ".join(reading.rationale.encode(errors="replace").decode().split()), ""


def check_label(task: Task, found: str, where: str) -> str:
    """The canonical label that `found` names, by itself or by its label word.

    Raises:
        ConfigError: it names none; the message names the nearest.
    """
    from ..base.errors import nearest

    by_word = {word: label for label, word in task.labels.items()}
    if found not in task.labels and found not in by_word:
        known = list(dict.fromkeys([*task.labels, *by_word]))
        raise ConfigError(
            f"{where}: label {found!r} is none of task {task.name}{nearest(found, known)} Allowed: {', '.join(known)}."
        )
    return found if found in task.labels else by_word[found]
