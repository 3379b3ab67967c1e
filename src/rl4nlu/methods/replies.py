"""Replies sampled from a merged model to rows' questions: what reward models of both papers learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from ..answering.fit import fit_prompts
from ..answering.generate import decode_completions, generate_tokens
from ..config import Pairs, RewardEncoder
from ..tasks.reading import CLOSE_TAG, parse, split_response
from ..tasks.rows import Row
from ..tasks.task import Task
from .schedule import draw_from

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from ..runs.spec import RunSpec


SPLITS = ("train", "validation")
"""Whose questions are asked: a reward model is trained on the first and chosen on the second."""


@dataclass(frozen=True)
class Question:
    """A row, its prompt, and the supplied rationales by label; `gold` and `wrong` are whole responses."""

    task: Task
    row: Row
    prompt: str
    reasons: dict[str, str]
    gold: str
    wrong: list[str]


@dataclass(frozen=True)
class Reply:
    """A sampled response; `label` is None where the parser reads none, `score` is the judge's."""

    text: str
    rationale: str
    label: str | None
    score: float = 0.0


def some_of(asked: list[Question], tasks: Sequence[Task], n: int, seed: int) -> list[Question]:
    """At most `n` questions, drawn by `seed` in equal shares of every task, each at most once."""
    pools = [[place for place, q in enumerate(asked) if q.task.name == task.name] for task in tasks]
    return [asked[place] for place in dict.fromkeys(draw_from(pools, n, seed))]


def sampled(
    spec: RunSpec, model: Any, tokenizer: PreTrainedTokenizerBase, asked: Sequence[Question], seed: int
) -> list[list[Reply]]:
    """`settings.replies` replies of the merged model to every question."""
    settings = spec.settings
    assert isinstance(settings, Pairs | RewardEncoder)
    room = spec.evaluation.decoding.max_new_tokens
    prompts: list[list[int]] = []
    for task in spec.train_tasks:  # questions stand task by task
        rows = [q.row for q in asked if q.task.name == task.name]
        prompts += [
            p.tokens for p in fit_prompts(tokenizer, task, rows, spec.protocol, spec.model_spec.max_length - room)
        ]
    completions = generate_tokens(
        model,
        [prompt for prompt in prompts for _ in range(settings.replies)],
        tokenizer=tokenizer,
        max_new_tokens=room,
        sample=True,
        temperature=settings.temperature,
        top_k=settings.top_k,
        generator=torch.Generator(model.device).manual_seed(seed),
        stop=CLOSE_TAG,
        batch_tokens=spec.evaluation.batch_tokens,
    )
    texts = decode_completions(model, tokenizer, completions, CLOSE_TAG)
    replies = []
    for number, question in enumerate(asked):
        own = texts[number * settings.replies : (number + 1) * settings.replies]
        read = [(text.strip(), parse(question.task, text, response="rationale")) for text in own]
        replies.append(
            [
                Reply(text, split_response(text, "rationale")[0], None if label is None else str(label))
                for text, label in read
            ]
        )
    return replies
