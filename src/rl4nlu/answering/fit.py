"""Prompts that fit the model: demonstrations go whole, the last first; a row that is too long loses the end of its passage.

Both are counted, and nothing is cut silently.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..base.errors import ConfigError
from ..config import Protocol
from ..tasks.prompts import PromptText, Wording, write_prompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from ..tasks.rows import Row
    from ..tasks.task import Task


@dataclass(frozen=True)
class Fitted:
    """A prompt that fits the model: its tokens, how many demonstrations it kept, and whether a field was shortened."""

    tokens: list[int]
    shots: int
    shortened: bool


def encode(tokenizer: PreTrainedTokenizerBase, prompts: Sequence[PromptText], protocol: Protocol) -> list[list[int]]:
    """Tokens of prompts, as plain text or through the model's chat template (`protocol.prompt_format`)."""
    from ..models.load import encode_chats, encode_prompts

    if protocol.prompt_format == "chat":
        return encode_chats(tokenizer, [(prompt.asked, prompt.begun) for prompt in prompts])
    return encode_prompts(tokenizer, [prompt.text for prompt in prompts])


def fit_prompts(
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    rows: Sequence[Row],
    protocol: Protocol,
    longest: int,
    demonstrations: Sequence[Row] = (),
    wording: Wording = "test",
) -> list[Fitted]:
    """The rows' prompts, each of at most `longest` tokens (the model's length less the room for an answer).

    Args:
        tokenizer: the model's.
        task: names the prompt.
        rows: to be asked.
        protocol: raw or chat prompts, label words of demonstrations.
        longest: in tokens.
        demonstrations: shown first; a row keeps as many of the first ones as fit.
        wording: see `write_prompt`.

    Raises:
        ConfigError: a prompt does not fit with its `shorten` field empty.
    """
    fitted: dict[int, Fitted] = {}
    waiting = list(range(len(rows)))
    for shots in range(len(demonstrations), -1, -1):
        prompts = [write_prompt(task, rows[n].fields, demonstrations[:shots], protocol, wording) for n in waiting]
        for n, tokens in zip(waiting, encode(tokenizer, prompts, protocol), strict=True):
            if len(tokens) <= longest:
                fitted[n] = Fitted(tokens, shots, False)
        waiting = [n for n in waiting if n not in fitted]
        if not waiting:
            break
    for n in waiting:
        fitted[n] = Fitted(_shorten(tokenizer, task, rows[n], protocol, longest, wording), 0, True)
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
    wording: Wording,
) -> list[int]:
    """The row's prompt with its passage (`task.shorten`) ended after as many words as fit (bisection)."""
    field = task.shorten or task.fields[0]
    text = row.fields[field]
    ends = [0, *(word.end() for word in re.finditer(r"\S+", text))]

    def prompt(words: int) -> list[int]:
        cut = {**row.fields, field: text[: ends[words]]}
        return encode(tokenizer, [write_prompt(task, cut, (), protocol, wording)], protocol)[0]

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


def cut_in_proportion(prompt: list[int], response: list[int], longest: int) -> tuple[list[int], list[int]]:
    """Both cut at their right ends to `longest` tokens together, each in proportion to its length, as paper 2's release does.

    A response that is a rationale and then a label loses the label.
    """
    total = len(prompt) + len(response)
    if total <= longest:
        return prompt, response
    return prompt[: longest * len(prompt) // total], response[: longest * len(response) // total]
