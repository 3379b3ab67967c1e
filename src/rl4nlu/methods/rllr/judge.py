"""The judge of sampled replies: the overlap of their rationale with the supplied one, a model's likelihood, or a server's grades.

A server speaks OpenAI's chat-completions protocol (pairs.judge: endpoint). All replies to a row are graded in one request, so
that they are graded against each other. Verdicts are cached as rationales are, as JSON lines keyed by a digest of model and
prompt. One that does not grade every reply once is counted as malformed, and its row has no judged replies.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...answering.score import answer_logprobs
from ...base.errors import ConfigError, nearest
from ...base.files import digest_of
from ...config import Endpoint, Pairs, load_models
from ...models.cache import NOT_THE_ANSWER, Cache, ask_once
from ...models.endpoint import ask_endpoint
from ...models.load import encode_answer, encode_prompts, load_backbone, load_tokenizer
from ...rationales import overlap
from ...tasks.prompts import answer_start
from ...tasks.rows import Row
from ...tasks.task import Task
from ..replies import Reply

if TYPE_CHECKING:
    from ...runs.spec import RunSpec


@dataclass(frozen=True)
class Question:
    """A row, its prompt, and the supplied rationales by label; `gold` and `wrong` are whole responses."""

    task: Task
    row: Row
    prompt: str
    reasons: dict[str, str]
    gold: str
    wrong: list[str]


def judge(
    spec: RunSpec,
    asked: Sequence[Question],
    replies: list[list[Reply]],
    cache: Path | None = None,
    counts: Counter[str] | None = None,
) -> list[list[Reply]]:
    """The replies with the judge's scores; unreadable ones, those without a rationale and those without a verdict are left out.

    `cache` is the folder of a server's verdicts, and `counts` says how they came (see `verdicts`).
    """
    settings = spec.settings
    assert isinstance(settings, Pairs)
    kept = [[reply for reply in row if reply.label is not None and reply.rationale] for row in replies]
    if settings.judge == "overlap":
        judged = [
            [overlap(reply.rationale, q.reasons[str(q.row.label)]) for reply in row]
            for q, row in zip(asked, kept, strict=True)
        ]
    elif settings.judge_endpoint is not None:
        questions = [q.task.query.format_map(q.row.fields) for q in asked]
        texts = [[reply.text for reply in row] for row in kept]
        found = verdicts(settings.judge_endpoint, questions, texts, cache, Counter() if counts is None else counts)
        kept = [row if grades else [] for row, grades in zip(kept, found, strict=True)]
        judged = [grades or [] for grades in found]
    else:
        judged = likelihoods(spec, str(settings.judge_model), asked, kept)
    return [
        [Reply(r.text, r.rationale, r.label, score) for r, score in zip(row, scores, strict=True)]
        for row, scores in zip(kept, judged, strict=True)
    ]


def likelihoods(spec: RunSpec, name: str, asked: Sequence[Question], replies: list[list[Reply]]) -> list[list[float]]:
    """Mean log-probability a token of every reply's rationale behind its prompt, under the model called `name`.

    Raises:
        ConfigError: there is no such decoder.
    """
    models = load_models()
    if name not in models or models[name].kind != "decoder":
        known = [model for model, entry in models.items() if entry.kind == "decoder"]
        raise ConfigError(f"pairs.judge_model: {name!r} is no decoder{nearest(name, known)} Known: {', '.join(known)}.")
    tokenizer, model = load_tokenizer(models[name]), load_backbone(models[name])
    start = answer_start(spec.protocol)
    prompts = encode_prompts(tokenizer, [q.prompt for q, row in zip(asked, replies, strict=True) for _ in row])
    texts = [encode_answer(tokenizer, reply.rationale, start) for row in replies for reply in row]
    scores = iter(answer_logprobs(model, prompts, texts, pad=int(tokenizer.pad_token_id)))  # type: ignore[arg-type]
    return [[sum(tokens) / len(tokens) for tokens in (next(scores) for _ in row)] for row in replies]


JUDGE_SECTION = "pairs.judge_endpoint"
GRADES = range(1, 11)

VERDICT = re.compile(r"^\W*(\d+)\s*[:.)=-]\s*(\d+)(?:\s*/\s*10)?\W*$", re.MULTILINE)
"""A line such as `2: 7` or `2. 7/10`."""

TOKENS_A_VERDICT = 8

GRADING_INSTRUCTION = """Below are a question and {count} answers to it. Each answer gives a reason, and then a label between tags. Grade the reasons from
1 (says nothing that bears on the question, or something false) to 10 (quotes what decides the question, and is right about it).
Do not grade length or style. Write one line for each answer, its number, a colon and its grade, such as 1: 7, and nothing else.

The question: {question}

{answers}"""


def write_grading_prompt(question: str, replies: Sequence[str]) -> str:
    """What the judge is asked about a row; wording of our own (paper 2's is not published)."""
    answers = "\n".join(f"Answer {number}: {reply}" for number, reply in enumerate(replies, 1))
    return GRADING_INSTRUCTION.format(count=len(replies), question=question, answers=answers)


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
    prompts = [write_grading_prompt(questions[n], replies[n]) for n in rows]
    keys = [digest_of([model, prompt]) for prompt in prompts]
    longest = TOKENS_A_VERDICT * max(map(len, replies), default=0)
    ask_once(kept, keys, prompts, lambda waiting: ask_endpoint(settings, waiting, longest, JUDGE_SECTION), counts)
    found: list[list[float] | None] = [[float(GRADES[0])] * len(row) for row in replies]
    for n, key in zip(rows, keys, strict=True):
        found[n] = grades_of(kept.answers[key], len(replies[n]))
        counts["malformed"] += found[n] is None
    return found
