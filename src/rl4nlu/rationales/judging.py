"""Grades of replies from any server that speaks OpenAI's chat-completions protocol (pairs.judge: endpoint).

All replies to a row are graded in one request, so that they are graded against each other. Verdicts are cached as rationales
are, as JSON lines keyed by a digest of model and prompt. One that does not grade every reply once is counted as malformed, and
its row has no judged replies.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ..config import ConfigError, Endpoint
from ..records import digest_of
from .endpoint import endpoint
from .writing import NOT_THE_ANSWER, Cache, ask_once

SECTION = "pairs.judge_endpoint"
GRADES = range(1, 11)

VERDICT = re.compile(r"^\W*(\d+)\s*[:.)=-]\s*(\d+)(?:\s*/\s*10)?\W*$", re.MULTILINE)
"""A line such as `2: 7` or `2. 7/10`."""

TOKENS_A_VERDICT = 8

INSTRUCTION = """Below are a question and {count} answers to it. Each answer gives a reason, and then a label between tags. Grade the reasons from
1 (says nothing that bears on the question, or something false) to 10 (quotes what decides the question, and is right about it).
Do not grade length or style. Write one line for each answer, its number, a colon and its grade, such as 1: 7, and nothing else.

The question: {question}

{answers}"""


def prompt_of(question: str, replies: Sequence[str]) -> str:
    """What the judge is asked about a row; wording of our own (paper 2's is not published)."""
    answers = "\n".join(f"Answer {number}: {reply}" for number, reply in enumerate(replies, 1))
    return INSTRUCTION.format(count=len(replies), question=question, answers=answers)


def grades_of(verdict: str, count: int) -> list[float] | None:
    """The grades of `count` replies, in their order; None where the verdict doesn't grade each of them once."""
    found = [(int(number), int(grade)) for number, grade in VERDICT.findall(verdict)]
    if sorted(number for number, _ in found) != list(range(1, count + 1)):
        return None
    if any(grade not in GRADES for _, grade in found):
        return None
    return [float(grade) for _, grade in sorted(found)]


def verdicts(
    settings: Endpoint,
    questions: Sequence[str],
    replies: Sequence[Sequence[str]],
    cache: Path | None,
    counts: Counter[str],
) -> list[list[float] | None]:
    """Grades of every row's replies; None for a row whose verdict is malformed. Rows with fewer than two are not asked about.

    Args:
        settings: of the server.
        questions: one a row.
        replies: of every row.
        cache: folder of verdicts.
        counts: is given `asked`, `from cache` and `malformed`.

    Raises:
        ConfigError: no folder is given, or the server fails; what it said before is in the cache.
    """
    if cache is None:
        raise ConfigError("pairs.judge endpoint: no folder to keep verdicts in was given")
    model = settings.model_dump(mode="json", exclude=NOT_THE_ANSWER)
    kept = Cache(cache / f"{digest_of(model)}.jsonl")
    rows = [n for n, row in enumerate(replies) if len(row) > 1]
    prompts = [prompt_of(questions[n], replies[n]) for n in rows]
    keys = [digest_of([model, prompt]) for prompt in prompts]
    longest = TOKENS_A_VERDICT * max(map(len, replies), default=0)
    ask_once(kept, keys, prompts, lambda waiting: endpoint(settings, waiting, longest, SECTION), counts)
    found: list[list[float] | None] = [[float(GRADES[0])] * len(row) for row in replies]
    for n, key in zip(rows, keys, strict=True):
        found[n] = grades_of(kept.answers[key], len(replies[n]))
        counts["malformed"] += found[n] is None
    return found
