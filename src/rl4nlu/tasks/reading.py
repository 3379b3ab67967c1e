"""One parser reads a response for the reward and for the score (paper 1, sections 3.3 and 3.6).

`strict` is the release's training parser with two of its faults mended: label words count as whole words only ("know"
is no "No"; the release looks for substrings), and no task lets one word win over another. `lenient` is the release's
test parser as it is. What neither can read is wrong, and counted by its fault.

Where a response is a rationale and then a label (`protocol.response: rationale`), the model opens the answer tag itself:
what stands before the first opening tag is the rationale and never counts as a label.

Where texts are answered, all that the model wrote is the answer, without outer space.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cache
from typing import Literal

from .prompts import CLOSE_TAG, OPEN_TAG
from .task import Task

ResponseForm = Literal["label", "rationale"]

Fault = Literal["no closing tag", "empty", "several labels", "no label", "no number", "no opening tag", "altered label"]
"""Why a response has no label. `altered label`: it names one label, in another case or inside a longer word."""

DECIMAL = re.compile(r"[-+]?[0-9]*\.[0-9]+(?:[eE][-+]?[0-9]+)?")
INTEGER = re.compile(r"(?:(?<!\w)[-+])?\b[0-9]+\b")

ONE_FORM = ("sst2",)
"""Tasks whose words the lenient parser takes only as written; it takes the others in lower case, too (paper 1, 3.6)."""


@dataclass(frozen=True)
class Reading:
    """What a response says.

    Attributes:
        rationale: what stands before the first opening tag; empty where responses are labels alone.
        label: a canonical label, a number, or a text; None where the parser reads none.
        fault: why it reads none.
    """

    rationale: str
    label: str | float | None
    fault: Fault | None


def read_response(task: Task, text: str, strict: bool = True, response: ResponseForm = "label") -> Reading:
    """What a completion says; nothing after its first closing tag counts.

    Args:
        task: its kind of answer, its label words, or its range of numbers.
        text: what the model wrote: what follows the opened answer tag or, with a rationale, the empty turn.
        strict: only text before the closing tag counts, and naming two labels is no answer. Otherwise the release's
            test parser: without a tag the whole text counts, capitalised or lower-case substrings do, and the first
            label of the task's order wins.
        response: the grammar. A response with a rationale that opens no tag (before it closes one) is all rationale and
            no answer, whichever parser reads it.

    Numbers: the first decimal number anywhere, else the first integer that stands alone ("5 (very similar, 0.9)" is
    0.9, "3/5" is 3, "1e3" is none). Strict parsing never clamps, so that a reward sees how far off an answer is;
    metrics clamp to the task's range. Lenient parsing clamps, as released.
    """
    if task.answer == "text":
        return Reading("", text.strip() or None, None if text.strip() else "empty")
    before, closing, _ = text.partition(CLOSE_TAG)
    rationale, opened, judgement = ("", OPEN_TAG, before) if response == "label" else before.partition(OPEN_TAG)
    label = None
    if opened and (closing or not strict):
        label = _find_answer(task, judgement.strip(), strict)
    fault = None if label is not None else _find_fault(task, judgement, bool(opened), bool(closing))
    return Reading(rationale.strip(), label, fault)


def _find_answer(task: Task, judgement: str, strict: bool) -> str | float | None:
    if task.answer == "number":
        number = first_number(judgement)
        return number if strict or number is None else min(max(number, task.low), task.high)
    return _strict_label(task, judgement) if strict else _lenient_label(task, judgement)


def _find_fault(task: Task, judgement: str, opened: bool, closed: bool) -> Fault:
    if not opened:
        return "no opening tag"
    if not closed:
        return "no closing tag"
    if not judgement.strip():
        return "empty"
    if task.answer == "number":
        return "no number"
    named = sum(word.lower() in judgement.lower() for word in task.words)
    return "several labels" if named > 1 else "altered label" if named else "no label"


def first_number(text: str) -> float | None:
    """The first decimal number of a text, else its first integer that stands alone, else None."""
    found = DECIMAL.search(text) or INTEGER.search(text)
    number = float(found.group()) if found else math.nan
    return number if math.isfinite(number) else None


@cache
def _pattern(word: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(word)}(?!\w)")


def _strict_label(task: Task, judgement: str) -> str | None:
    """The one label whose word stands in the text as a whole word.

    Case counts; with three labels or more the lower-case form is taken, too, as in the release's MNLI and CB rule.
    """
    both_cases = len(task.labels) > 2
    named = [
        label
        for label, word in task.labels.items()
        if _pattern(word).search(judgement) or (both_cases and _pattern(word.lower()).search(judgement))
    ]
    return named[0] if len(named) == 1 else None


def _lenient_label(task: Task, judgement: str) -> str | None:
    """The first label, in the task's order, whose word (or what tells it from the others) is a substring."""
    words = list(task.labels.values())
    shared = 0
    while all(len(w.split()) > shared + 1 for w in words) and len({w.split()[shared] for w in words}) == 1:
        shared += 1  # "Option one" and "Option two" are told apart by "one" and "two"
    for label, word in task.labels.items():
        telling = " ".join(word.split()[shared:])
        forms = [telling] if task.name in ONE_FORM else [telling, telling.lower(), telling.capitalize()]
        if any(form in judgement for form in forms):
            return label
    return None
