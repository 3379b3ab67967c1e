"""Replies sampled from a merged model to rows' questions: what reward models of both papers learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from ..answering.fit import fit_prompts
from ..answering.generate import decode_completions, generate_tokens
from ..config import Pairs, RewardEncoder
from ..tasks.prompts import CLOSE_TAG
from ..tasks.reading import read_response
from ..tasks.rows import Row
from ..tasks.task import Task

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from ..runs.spec import RunSpec


LEARNT_SPLITS = ("train", "validation")
"""Whose questions are asked: a reward model is trained on the first and chosen on the second."""


@dataclass(frozen=True)
class Reply:
    """A sampled response; `label` is None where the parser reads none, `score` is the judge's."""

    text: str
    rationale: str
    label: str | None
    score: float = 0.0


def sample_replies(
    spec: RunSpec, model: Any, tokenizer: PreTrainedTokenizerBase, asked: Sequence[tuple[Task, Row]], seed: int
) -> list[list[Reply]]:
    """`settings.replies` replies of the merged model to every row; rows stand task by task."""
    settings = spec.settings
    assert isinstance(settings, Pairs | RewardEncoder)
    room = spec.evaluation.decoding.max_new_tokens
    prompts: list[list[int]] = []
    for task in spec.train_tasks:
        rows = [row for own, row in asked if own.name == task.name]
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
    owners = [task for task, _ in asked for _ in range(settings.replies)]
    replies = [read_reply(task, text) for task, text in zip(owners, texts, strict=True)]
    return [replies[start : start + settings.replies] for start in range(0, len(replies), settings.replies)]


def read_reply(task: Task, text: str) -> Reply:
    """A reply as the parser reads it."""
    reading = read_response(task, text, response="rationale")
    return Reply(text.strip(), reading.rationale, None if reading.label is None else str(reading.label))
