"""Prompts: the same text for training, reward and test (paper 1, section 2.1 and its release's prompt shape).

A prompt is plain text with four parts: what the model is told to be, how to answer, the row's question, and an opened
answer tag that the model continues. Few-shot prompts put solved examples before the question. A chat model may be given
the same words as turns: what it is asked, and how its own turn begins.

Under `protocol.response: rationale` (paper 2) the prompt asks for a reason first and leaves the tag to the model: a
response is `<rationale> <Judgement> <label word> </Judgement>`.

Where texts are answered, a prompt is the description (if there is one) and the filled query, and nothing else: the answer
goes on with it. Few-shot prompts show prompts with a reference each, a blank line between.

A template is filled once, and only with a row's fields: braces in data, or in a demonstration, are plain characters
(the release fills few-shot prompts twice).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..config import Protocol
from .rows import Row
from .task import Task

OPEN_TAG, CLOSE_TAG = "<Judgement>", "</Judgement>"
"""What an answer stands between."""

ASKED = "Assistant:\n"
"""What stands before the model's turn."""

REASON = "{Insert a short reason here}"
"""The part of the answer's format that stands before the tags under `protocol.response: rationale`."""

BLANK_LINE = "\n\n"
"""What parts the demonstrations of a task of texts, and ends an answer where there are any."""

SST2 = "sst2"
"""The task whose negative word the release writes wrongly in SFT data and demonstrations."""

ZERO_OR_ONE = {"false": "0", "true": "1", "0": "0", "1": "1"}
INTEGERS = {
    "boolq": ZERO_OR_ONE,
    "cb": {"entailment": "1", "contradiction": "2", "neutral": "3"},
    "copa": ZERO_OR_ONE,
    "multirc": ZERO_OR_ONE,
    "wic": ZERO_OR_ONE,
    "wsc": ZERO_OR_ONE,
}
"""By SuperGLUE task, the integers that the release's SFT data have in place of label words (paper 1, its release)."""

Use = Literal["train", "demo", "test"]

Wording = Literal["test", "sft"]
"""A task's one wording or, under `protocol.sft_prompt: separate`, the release's other one for SFT."""

CORRECTED = Protocol.model_validate({})


@dataclass(frozen=True)
class PromptText:
    """A prompt: what the model is asked, how its turn begins (the opened tag, or nothing), and what plain text has between."""

    asked: str
    begun: str
    between: str = f"\n{ASKED}"

    @property
    def text(self) -> str:
        """The whole prompt as plain text."""
        return f"{self.asked}{self.between}{self.begun}"


def answer_format(task: Task) -> str:
    """What may stand between the tags, in words: the label words, or the range of numbers."""
    if task.answer == "number":
        return f"{{Insert only a number from {task.low:g} to {task.high:g} here}}"
    quoted = [f'"{word}"' for word in task.words]
    return f"{{Insert only {', '.join(quoted[:-1])} or {quoted[-1]} here}}"


def write_prompt(
    task: Task,
    fields: dict[str, str],
    demonstrations: Sequence[Row] = (),
    protocol: Protocol | None = None,
    wording: Wording = "test",
) -> PromptText:
    """The prompt of one row.

    Args:
        task: its texts and label words.
        fields: of the row.
        demonstrations: solved rows to show first.
        protocol: the response's grammar, and the label word of negative SST-2 demonstrations; the corrected protocol when
            absent.
        wording: what SFT trains on may differ from the test's. As released, STS-B's other wording asks for a paraphrase
            judgement though the answer is a number (paper 1, section 5).
    """
    if task.answer == "text":
        return write_text_prompt(task, fields, demonstrations)
    protocol = protocol or CORRECTED
    separate = wording == "sft" and protocol.sft_prompt == "separate" and task.sft_query is not None
    description = task.sft_description if separate else task.description
    query = task.sft_query if separate and task.sft_query else task.query

    reason = f"{REASON} " if protocol.response == "rationale" else ""
    shape = f"{reason}{OPEN_TAG} {answer_format(task)} {CLOSE_TAG}"
    start = answer_start(protocol)
    shown = "".join(
        f"[ Prompt:\n{query.format_map(row.fields)}\n{start}{answer_text(task, row.label, protocol, 'demo', row.rationale)} ]\n"
        for row in demonstrations
    )
    examples = f"Here are some examples:\n{shown}\n" if demonstrations else ""
    return PromptText(
        f"System_prompt:\n{description}\nAnswer in this format :\n{shape}\n{examples}Prompt:\n{query.format_map(fields)}",
        turn_start(protocol),
    )


def write_text_prompt(task: Task, fields: dict[str, str], demonstrations: Sequence[Row] = ()) -> PromptText:
    """`write_prompt` where texts are answered: nothing stands between the query and the answer that goes on with it."""
    description = f"{task.description}\n" if task.description else ""
    shown = ""
    for row in demonstrations:
        asked = task.query.format_map(row.fields)
        shown += asked + text_joint(asked) + (row.answers or [""])[0] + BLANK_LINE
    return PromptText(description + shown + task.query.format_map(fields), "", between="")


def text_joint(prompt: str) -> str:
    """What stands between a prompt and the text that goes on with it: a space, or nothing behind white space."""
    return "" if prompt[-1:].isspace() else " "


def label_word(task: Task, label: str | float | None, protocol: Protocol, use: Use = "train") -> str:
    """The word of a canonical label, or a number with one decimal.

    Under `protocol.sst2_negative: No` negative SST-2 rows say "No" in SFT data (`train`) and in demonstrations (`demo`),
    as released, though the parser knows only "Positive" and "Negative" (`test`). Under `protocol.superglue_labels: integers`
    rows of most SuperGLUE tasks have an integer in SFT data, as released, which no parser knows.

    Raises:
        ValueError: the row has no label, or one that the task does not know.
    """
    if task.answer == "number" and isinstance(label, int | float):
        return f"{label:.1f}"
    if not isinstance(label, str) or label not in task.labels:
        raise ValueError(f"task {task.name}: {label!r} is no label; known are {', '.join(task.labels) or 'numbers'}")
    if task.name == SST2 and label == "0" and use != "test":
        return protocol.sst2_negative
    if protocol.superglue_labels == "integers" and task.name in INTEGERS and use == "train":
        return INTEGERS[task.name][label]
    return task.labels[label]


def turn_start(protocol: Protocol) -> str:
    """How the model's turn begins: with the opened tag, or with nothing."""
    return "" if protocol.response == "rationale" else OPEN_TAG


def answer_start(protocol: Protocol) -> str:
    """The end of every prompt, behind which the model's answer begins."""
    return ASKED + turn_start(protocol)


def answer_text(
    task: Task, label: str | float | None, protocol: Protocol, use: Use = "train", rationale: str | None = None
) -> str:
    """What follows the prompt when the answer is `label`.

    A space, the word, a space, the closing tag; under `protocol.response: rationale` the rationale and the opening tag
    stand before these.

    Args:
        task: its label words.
        label: a canonical label, or a number.
        protocol: the response's grammar.
        use: `test` where the text is scored against other answers rather than learnt from (see `label_word`).
        rationale: why the label should hold; of no account where the response is a label alone.

    Raises:
        ValueError: the label is unknown, or the rationale is empty or holds a tag.
    """
    word = f" {label_word(task, label, protocol, use)} {CLOSE_TAG}"
    if protocol.response == "label":
        return word
    if not rationale or not rationale.strip():
        raise ValueError(f"task {task.name}: the rationale for label {label!r} is empty or missing")
    if OPEN_TAG in rationale or CLOSE_TAG in rationale:
        raise ValueError(f"task {task.name}: a rationale must not hold {OPEN_TAG} or {CLOSE_TAG}: {rationale!r}")
    return f"{rationale.strip()} {OPEN_TAG}{word}"


def choose_demonstrations(rows: Sequence[Row], k: int, how: Literal["first", "random"], seed: int) -> list[Row]:
    """`k` training rows to show: the first ones, as released, or drawn by `seed`.

    Fewer demonstrations of one seed are the first ones of more, so that a sweep over k compares like with like.

    Raises:
        ValueError: there are fewer than `k` rows.
    """
    if k > len(rows):
        raise ValueError(f"{k} demonstrations are asked for, and there are {len(rows)} training rows")
    if how == "first":
        return list(rows[:k])
    order = random.Random(f"demonstrations|{seed}").sample(range(len(rows)), len(rows))
    return [rows[i] for i in order[:k]]
