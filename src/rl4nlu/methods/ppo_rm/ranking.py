"""Ranked responses, what paper 1's reward model learns from: sampled ones, and two references, a right and a wrong label alone.

The paper had GPT-4o rank them: right with analysis, right alone, wrong with analysis, wrong alone. Here a rule does so: the
label is the one parser's, and there is an analysis where a rationale stands before the tag, whatever it says. What the
parser cannot read comes last, of which the paper says nothing.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from ...tasks.prompts import CORRECTED, OPEN_TAG, answer_text
from ...tasks.reading import read_response
from ...tasks.rows import Row
from ...tasks.task import Task

RANKS = ("unreadable", "wrong alone", "wrong with rationale", "right alone", "right with rationale")
"""From the worst to the best."""

UNREADABLE, WRONG, RIGHT = 0, 1, 3
"""The least rank of each kind."""

DROPPED_RESPONSES = ("equal", "tie")
"""What makes no pair: a response that repeats another one's text, and two responses of one rank."""


@dataclass(frozen=True)
class Response:
    """A response to a row, its rank (a place in `RANKS`), and whether the policy gave it (else it is a reference)."""

    text: str
    rank: int
    sampled: bool


@dataclass(frozen=True)
class Comparison:
    """Two responses to a row, by their places among them.

    Attributes:
        better: the place of the one that ranks higher.
        worse: that of the other.
        kind: `rationale` where both labels are right, or both wrong: only one side then has a rationale; else `label`.
        own: whether the policy gave both.
    """

    better: int
    worse: int
    kind: Literal["label", "rationale"]
    own: bool


def rank(task: Task, text: str, gold: str) -> int:
    """The place of a response in `RANKS`; `gold` is the row's canonical label."""
    reading = read_response(task, text, response="rationale")
    if reading.label is None:
        return UNREADABLE
    return (RIGHT if reading.label == gold else WRONG) + bool(reading.rationale)


def write_references(task: Task, row: Row, seed: int) -> list[str]:
    """The right label alone, and a wrong one alone, drawn by the seed."""
    gold = str(row.label)
    wrong = random.Random(f"reference|{seed}|{row.id}").choice([label for label in task.labels if label != gold])
    return [OPEN_TAG + answer_text(task, label, CORRECTED, "test") for label in (gold, wrong)]


def rank_responses(task: Task, row: Row, replies: Sequence[str], seed: int, dropped: Counter[str]) -> list[Response]:
    """A row's sampled replies and its two references, ranked, each text once; repeats are counted in `dropped`."""
    texts = [(text.strip(), True) for text in replies] + [(text, False) for text in write_references(task, row, seed)]
    found: dict[str, Response] = {}
    for text, sampled in texts:
        dropped["equal"] += text in found
        found.setdefault(text, Response(text, rank(task, text, str(row.label)), sampled))
    return list(found.values())


def compare(responses: Sequence[Response], dropped: Counter[str]) -> list[Comparison]:
    """Every two responses to a row of which one ranks higher; ties are counted in `dropped`."""
    found = []
    for one, other in combinations(range(len(responses)), 2):
        worse, better = sorted((one, other), key=lambda place: responses[place].rank)
        low, high = responses[worse], responses[better]
        if low.rank == high.rank:
            dropped["tie"] += 1
            continue
        alike = WRONG <= low.rank < high.rank < RIGHT or low.rank >= RIGHT
        found.append(Comparison(better, worse, "rationale" if alike else "label", low.sampled and high.sampled))
    return found
