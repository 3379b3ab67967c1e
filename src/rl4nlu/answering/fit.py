"""Prompts that fit the model: demonstrations go whole, the last first; a row that is too long loses the end of its passage.

Both are counted, and nothing is cut silently. Answers are never cut to fit: a run whose labels are longer than its answers
may be does not start (`check_room`).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..base.errors import ConfigError
from ..config import METHODS, PolicyOptimisation, Protocol
from ..tasks.prompts import OPEN_TAG, PromptText, Wording, answer_text, turn_start, write_prompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from ..runs.spec import RunSpec
    from ..tasks.rows import Row
    from ..tasks.task import Task

MOST_NUMBERS = 1000
"""Steps in which a task's range of numbers is gone through for the longest one."""


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


def check_room(spec: RunSpec, tokenizer: PreTrainedTokenizerBase) -> None:
    """See that a run's answers may be as long as its tasks' longest label, closing tag included.

    Else the label would be unreadable whenever it is right: in roll-outs, on validation, in the test.

    Raises:
        ConfigError: a label is longer than answers may be, in the tokens of the run's model.
    """
    for key, room, tasks in _answers_written(spec):
        for task in tasks:
            length, answer = max((len(tokens), text) for text, tokens in _answers_of(task, spec.protocol, tokenizer))
            if length > room:
                widens = " or rationales.max_tokens" if spec.protocol.response == "rationale" else ""
                raise ConfigError(
                    f"run {spec.address.path}: {key} is {room}, and the answer {answer!r} of task {task.name} takes {length} "
                    f"tokens of {spec.model_spec.path}: it could never be read. Allowed: {length} or more; set {key}{widens}"
                )


def _answers_written(spec: RunSpec) -> list[tuple[str, int, Sequence[Task]]]:
    """Where a run writes answers: the key of their greatest length, that length in tokens, and the tasks."""
    method, decoding = METHODS[spec.method], spec.evaluation.decoding
    validated = spec.train_tasks if method.module is not None else ()
    tested = [task for task in spec.eval_tasks if not (decoding.how == "score" and task.labels)]
    found: list[tuple[str, int, Sequence[Task]]] = []
    if isinstance(spec.settings, PolicyOptimisation):
        found.append((f"{method.section}.max_new_tokens", spec.settings.max_new_tokens, spec.train_tasks))
    return [*found, ("evaluation.decoding.max_new_tokens", decoding.max_new_tokens, [*validated, *tested])]


def _answers_of(task: Task, protocol: Protocol, tokenizer: PreTrainedTokenizerBase) -> list[tuple[str, list[int]]]:
    """Every answer of a task, without a rationale, and its tokens; of many numbers as many as stand at equal steps."""
    from ..models.load import encode_answer

    steps = min(MOST_NUMBERS, max(1, round(10 * (task.high - task.low))))
    numbers = [task.low + (task.high - task.low) * step / steps for step in range(steps + 1)]
    labelled = protocol.model_copy(update={"response": "label"})
    texts = [answer_text(task, label, labelled, "test") for label in task.labels or numbers]
    if protocol.response == "rationale":  # the model opens the tag itself
        texts = [OPEN_TAG + text for text in texts]
    return [(text, encode_answer(tokenizer, text, turn_start(protocol))) for text in texts]
