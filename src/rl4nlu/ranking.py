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

from .pairs import Pair
from .parsing import OPEN_TAG, parse, split_response
from .prompts import CORRECTED, answer_text
from .sources import Row
from .tasks import Task

RANKS = ("unreadable", "wrong alone", "wrong with rationale", "right alone", "right with rationale")
"""From the worst to the best."""

UNREADABLE, WRONG, RIGHT = 0, 1, 3
"""The least rank of each kind."""

DROPPED = ("equal", "tie")
"""Why two responses to one row make no pair: the same text, or the same rank."""


@dataclass(frozen=True)
class Response:
    """A response to a row, its rank (a place in `RANKS`), and whether the policy gave it (else it is a reference)."""

    text: str
    rank: int
    sampled: bool


def rank(task: Task, text: str, gold: str) -> int:
    """The place of a response in `RANKS`; `gold` is the row's canonical label."""
    label = parse(task, text, response="rationale")
    if label is None:
        return UNREADABLE
    rationale, _, _ = split_response(text, "rationale")
    return (RIGHT if label == gold else WRONG) + bool(rationale)


def references(task: Task, row: Row, seed: int) -> list[str]:
    """The right label alone, and a wrong one alone, drawn by the seed."""
    gold = str(row.label)
    wrong = random.Random(f"reference|{seed}|{row.id}").choice([label for label in task.labels if label != gold])
    return [OPEN_TAG + answer_text(task, label, CORRECTED, "test") for label in (gold, wrong)]


def responses_of(task: Task, row: Row, replies: Sequence[str], seed: int) -> list[Response]:
    """A row's sampled replies and its two references, ranked."""
    texts = [(text, True) for text in replies] + [(text, False) for text in references(task, row, seed)]
    return [Response(text, rank(task, text, str(row.label)), sampled) for text, sampled in texts]


def ranked_pairs(task: Task, row: Row, responses: Sequence[Response], dropped: Counter[str]) -> list[Pair]:
    """Every two responses of a row of which one ranks higher; the others are counted in `dropped` by their reason.

    A pair's kind is `rationale` where both sides are right, or both wrong: it then tells a rationale from none. Its prompt
    is the row's question, which is what an encoder reads of it; its origin is `policy` where both sides are sampled.
    """
    question = task.query.format_map(row.fields)
    pairs = []
    for one, other in combinations(responses, 2):
        if one.text == other.text or one.rank == other.rank:
            dropped["equal" if one.text == other.text else "tie"] += 1
            continue
        worse, better = sorted((one, other), key=lambda response: response.rank)
        alike = WRONG <= worse.rank < better.rank < RIGHT or worse.rank >= RIGHT
        origin = "policy" if one.sampled and other.sampled else "supplied"
        pairs.append(
            Pair(task.name, row.id, question, better.text, worse.text, "rationale" if alike else "label", origin)
        )
    return pairs
