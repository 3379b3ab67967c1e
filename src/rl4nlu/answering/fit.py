"""Prompts that fit the model: demonstrations go whole, the last first; a row that is too long loses the end of its passage.

Where texts are answered, it may lose the start instead, and a prompt may have a greatest length of its own.
Both are counted, and nothing is cut silently. Answers are never cut to fit: a run whose labels are longer than its answers
may be does not start (`check_room`).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..base.errors import ConfigError
from ..config import METHODS, PolicyOptimisation, Protocol
from ..tasks.prompts import OPEN_TAG, PromptText, Wording, answer_text, text_joint, turn_start, write_prompt

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

    A row's own prompt, and that of a demonstration, is never longer than `task.most_prompt_tokens`.

    Raises:
        ConfigError: a prompt does not fit with its `shorten` field empty.
    """
    whole = rows
    if task.most_prompt_tokens is not None:
        rows, demonstrations = (
            cut_rows(tokenizer, task, some, protocol, task.most_prompt_tokens) for some in (rows, demonstrations)
        )
    fitted: dict[int, Fitted] = {}
    waiting = list(range(len(rows)))
    for shots in range(len(demonstrations), -1, -1):
        prompts = [write_prompt(task, rows[n].fields, demonstrations[:shots], protocol, wording) for n in waiting]
        for n, tokens in zip(waiting, encode(tokenizer, prompts, protocol), strict=True):
            if len(tokens) <= longest:
                fitted[n] = Fitted(tokens, shots, rows[n] is not whole[n])
        waiting = [n for n in waiting if n not in fitted]
        if not waiting:
            break
    for n in waiting:
        cut = _shorten(tokenizer, task, rows[n], protocol, longest, wording)
        (tokens,) = encode(tokenizer, [write_prompt(task, cut, (), protocol, wording)], protocol)
        fitted[n] = Fitted(tokens, 0, True)
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


def cut_rows(
    tokenizer: PreTrainedTokenizerBase, task: Task, rows: Sequence[Row], protocol: Protocol, longest: int
) -> list[Row]:
    """The rows, those whose prompt alone is longer than `longest` tokens with their passage shortened."""
    prompts = encode(tokenizer, [write_prompt(task, row.fields, (), protocol) for row in rows], protocol)
    return [
        row
        if len(prompt) <= longest
        else replace(row, fields=_shorten(tokenizer, task, row, protocol, longest, "test"))
        for row, prompt in zip(rows, prompts, strict=True)
    ]


def _shorten(
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    row: Row,
    protocol: Protocol,
    longest: int,
    wording: Wording,
) -> dict[str, str]:
    """The row's fields, its passage (`task.shorten`) ended after as many words as fit, or begun before them (bisection)."""
    field = task.shorten or task.fields[0]
    text = row.fields[field]
    words = list(re.finditer(r"\S+", text))

    def keep(count: int) -> dict[str, str]:
        if task.keep == "end":
            return {**row.fields, field: text[words[-count].start() :] if count else ""}
        return {**row.fields, field: text[: words[count - 1].end() if count else 0]}

    def length(count: int) -> int:
        return len(encode(tokenizer, [write_prompt(task, keep(count), (), protocol, wording)], protocol)[0])

    fits, too_long = 0, len(words)
    if length(fits) > longest:
        raise ConfigError(f"task {task.name}: row {row.id} does not fit {longest} tokens even without its {field!r}")
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        if length(middle) <= longest:
            fits = middle
        else:
            too_long = middle
    return keep(fits)


def last_word(prompt: PromptText, protocol: Protocol) -> str:
    """The end of a prompt's text, behind which a text that goes on with it is tokenised; a chat's turn begins on its own line."""
    return "\n" if protocol.prompt_format == "chat" else str(re.findall(r"\S*\s*\Z", prompt.text)[0])


def encode_reference(
    tokenizer: PreTrainedTokenizerBase, task: Task, prompt: PromptText, text: str, protocol: Protocol
) -> tuple[list[int], bool]:
    """Tokens of a text as it goes on with a prompt, at most `task.most_tokens`, and whether that is all of it.

    They are the tokens that the text has within the whole, prompt and text; the end token is none of them.

    Raises:
        ConfigError: the text tokenises to nothing.
    """
    from ..models.load import encode_answer

    before = last_word(prompt, protocol)
    tokens = encode_answer(tokenizer, text_joint(before) + text, before)
    return tokens[: task.most_tokens], len(tokens) <= task.most_tokens


def encode_gold(
    tokenizer: PreTrainedTokenizerBase, task: Task, row: Row, reference: str, protocol: Protocol
) -> list[int]:
    """Tokens of a reference as an answer is learnt: with the end token, where `task.most_tokens` leave it whole.

    Raises:
        ConfigError: the tokenizer has no end token, or the reference tokenises to nothing.
    """
    if tokenizer.eos_token_id is None:
        raise ConfigError(f"task {task.name}: texts end with an end token, and {tokenizer.name_or_path} has none")
    prompt = write_prompt(task, row.fields, (), protocol)
    tokens, whole = encode_reference(tokenizer, task, prompt, reference, protocol)
    return [*tokens, int(tokenizer.eos_token_id)] if whole else tokens  # type: ignore[arg-type]


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
            if task.answer == "text":  # which has a length of its own
                continue
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
