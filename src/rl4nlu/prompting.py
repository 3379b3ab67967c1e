"""Baselines that train nothing: the majority label, random labels, and the choice of demonstrations for few-shot prompts.

Also here, for every method: prompts that fit the model. Demonstrations are dropped whole, the last one first; a row
that is too long by itself is shortened at its passage's end. Both are counted, and nothing is cut silently.
"""

from __future__ import annotations

import random
import re
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .config import ConfigError, Protocol
from .prompts import build_prompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from .data import Row
    from .tasks import Task

    Label = str | float


# 1. Without a model ------------------------------------------------------------------------------------------------


def majority_label(task: Task, rows: Sequence[Row]) -> Label:
    """The most frequent training label (ties: the first in the task's order); for numbers, their mean.

    Raises:
        ConfigError: there are no labelled rows.
    """
    labels = [row.label for row in rows if row.label is not None]
    if not labels:
        raise ConfigError(f"task {task.name}: majority needs labelled training rows, and there are none")
    if not task.labels:
        return sum(float(label) for label in labels) / len(labels)
    counts = Counter(str(label) for label in labels)
    return max(task.labels, key=lambda label: counts[label])


def random_label(task: Task, seed: int, row: str) -> Label:
    """A uniformly random label (a uniform number between the task's bounds) that depends on `seed` and the row's id."""
    chance = random.Random(f"{seed} {row}")
    if task.labels:
        return chance.choice(list(task.labels))
    return chance.uniform(task.low, task.high)


# 2. How many demonstrations ----------------------------------------------------------------------------------------


def best_shots(candidates: Sequence[int], score: Callable[[int], float]) -> tuple[int, dict[int, float]]:
    """The number of demonstrations with the best validation score (ties: the fewest), and the scores of all."""
    scores = {k: score(k) for k in sorted(set(candidates))}
    return max(scores, key=lambda k: (scores[k], -k)), scores


# 3. Prompts that fit -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fitted:
    """A prompt that fits the model: its tokens, how many demonstrations it kept, and whether a field was shortened."""

    tokens: list[int]
    shots: int
    shortened: bool


def fit_prompts(
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    rows: Sequence[Row],
    protocol: Protocol,
    longest: int,
    demonstrations: Sequence[Row] = (),
    write: Callable[..., str] = build_prompt,
) -> list[Fitted]:
    """The rows' prompts, each of at most `longest` tokens (the model's length less the room for an answer).

    Args:
        tokenizer: the model's.
        task: names the prompt.
        rows: to be asked.
        protocol: raw or chat prompts, label words of demonstrations.
        longest: in tokens.
        demonstrations: shown first; a row keeps as many of the first ones as fit.
        write: makes the text from (task, fields, demonstrations, protocol).

    Raises:
        ConfigError: a prompt does not fit with its `shorten` field empty.
    """
    from .models import encode_prompts

    fitted: dict[int, Fitted] = {}
    waiting = list(range(len(rows)))
    for shots in range(len(demonstrations), -1, -1):
        texts = [write(task, rows[n].fields, demonstrations[:shots], protocol) for n in waiting]
        for n, tokens in zip(waiting, encode_prompts(tokenizer, texts, protocol.prompt_format == "chat"), strict=True):
            if len(tokens) <= longest:
                fitted[n] = Fitted(tokens, shots, False)
        waiting = [n for n in waiting if n not in fitted]
        if not waiting:
            break
    for n in waiting:
        fitted[n] = Fitted(_shorten(tokenizer, task, rows[n], protocol, longest, write), 0, True)
    lost = sum(fitted[n].shots < len(demonstrations) for n in fitted)
    if lost:
        warnings.warn(
            f"{task.name}: {lost} of {len(rows)} prompts lost demonstrations to fit {longest} tokens", stacklevel=2
        )
    if waiting:
        warnings.warn(
            f"{task.name}: {len(waiting)} of {len(rows)} rows were shortened to fit {longest} tokens", stacklevel=2
        )
    return [fitted[n] for n in range(len(rows))]


def _shorten(
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    row: Row,
    protocol: Protocol,
    longest: int,
    write: Callable[..., str],
) -> list[int]:
    """The row's prompt with its passage (`task.shorten`) ended after as many words as fit (bisection)."""
    from .models import encode_prompts

    field = task.shorten or task.fields[0]
    text = row.fields[field]
    ends = [0, *(word.end() for word in re.finditer(r"\S+", text))]

    def prompt(words: int) -> list[int]:
        cut = {**row.fields, field: text[: ends[words]]}
        return encode_prompts(tokenizer, [write(task, cut, (), protocol)], protocol.prompt_format == "chat")[0]

    fits, too_long = 0, len(ends) - 1
    if len(prompt(fits)) > longest:
        raise ConfigError(f"task {task.name}: row {row.id} does not fit {longest} tokens even without its {field!r}")
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        if len(prompt(middle)) <= longest:
            fits = middle
        else:
            too_long = middle
    return prompt(fits)
