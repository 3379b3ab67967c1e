"""How long a task's prompts and answers are: of prepared rows where they exist, else of typical rows (`resources/planning.yaml`)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any

from ..base.files import REPOSITORY, read_json
from ..config import Model, Protocol
from ..runs.spec import RunSpec
from ..tasks.prepare import MOST_CARVED
from ..tasks.prompts import answer_text, write_prompt
from ..tasks.rows import Row
from ..tasks.task import Task
from .shapes import read_planning

CHARACTERS_PER_TOKEN = 3.5
"""Of English prompts, where the model's tokenizer is not on disk: assumed, a little below what 32,000-token vocabularies
reach on prose, so that memory is over- rather than underestimated."""

SAMPLE = 100
"""Rows of a task that are counted evenly, and a tenth as many of its longest ones."""


@dataclass(frozen=True)
class Lengths:
    """Tokens of a task's prompts: those that all share, on average, and of the longest; of its answers; and rows a split.

    `room`: the greatest length of an answer, where the task says it (texts) and not the run's settings.
    """

    shared: int
    mean: float
    long: int
    answer: int
    train: int
    validation: int
    test: int
    room: int | None = None


@cache
def token_counter(model: Model) -> Callable[[str], int]:
    """Counts a text's tokens: by the model's tokenizer where its folder is on disk, else by its characters."""
    file = REPOSITORY / model.path / "tokenizer.json"
    if file.is_file():
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(file))
        return lambda text: len(tokenizer.encode(text).ids)
    return lambda text: ceil(len(text) / CHARACTERS_PER_TOKEN)


def rows_on_disk(folder: Path) -> tuple[list[Row], list[Row], dict[str, int]] | None:
    """Rows of a prepared task drawn evenly, its longest ones, and the number of rows of every split; None: not prepared."""
    if not (folder / "record.json").is_file():
        return None
    counts: dict[str, int] = read_json(folder / "record.json")["rows"]
    split = "train" if counts["train"] else "test"
    with (folder / f"{split}.jsonl").open(encoding="utf-8") as handle:
        lines = handle.readlines()

    def parsed(chosen: Sequence[str]) -> list[Row]:
        return [Row(**json.loads(line)) for line in chosen]

    longest = sorted(lines, key=len)[-SAMPLE // 10 :]
    return parsed(lines[:: max(1, len(lines) // SAMPLE)]), parsed(longest), counts


def lengths_of(
    task: Task, model: Model, protocol: Protocol, data: Path, caps: tuple[int | None, int, int | None]
) -> Lengths:
    """Lengths of a task as a model reads it; `caps`: train, validation and test rows that the config allows.

    An encoder reads the row's fields, everything else the prompt. Answers of tasks of texts are as long as they may be.
    """
    count = token_counter(model)
    encoder = model.kind == "encoder"
    reason = "because" if protocol.response == "rationale" else None
    texts = task.answer == "text"
    words = [answer_text(task, label, protocol, "test", reason) for label in task.labels] or [
        f" {task.high:.1f} </Judgement>"
    ]
    answer = task.most_tokens if texts else max(map(count, words))

    def written(row: Row) -> str:
        return " ".join(row.fields.values()) if encoder else write_prompt(task, row.fields, (), protocol).text

    longest_prompt = min(model.max_length - (0 if encoder else answer), task.most_prompt_tokens or model.max_length)
    shared = 0
    if not encoder:  # instructions, and the question up to its first field
        one, other = (written(Row("", dict.fromkeys(task.fields, letter), None)) for letter in "ab")
        shared = count(one[: next(n for n, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)])
    found = rows_on_disk(data / task.name)
    if found:
        evenly, longest, counts = found
        mean = sum(count(written(row)) for row in evenly) / len(evenly)
        long = max(count(written(row)) for row in longest)
    else:
        typical = read_planning()["tasks"].get(task.name, read_planning()["tasks"]["default"])
        frame = written(Row("", dict.fromkeys(task.fields, ""), None))
        mean = count(frame) + typical["mean"] / CHARACTERS_PER_TOKEN
        long = ceil(count(frame) + typical["long"] / CHARACTERS_PER_TOKEN)
        train, most, test = caps
        carved = min(most, typical["train"] // MOST_CARVED)
        counts = {
            "train": min(typical["train"] - carved, train or typical["train"]),
            "validation": carved,
            "test": min(typical["test"], test or typical["test"]),
        }
    return Lengths(
        shared, min(mean, longest_prompt), min(long, longest_prompt), answer, **counts, room=answer if texts else None
    )


def lengths_of_tasks(spec: RunSpec, tasks: Sequence[Task], data: Path) -> list[Lengths]:
    """Lengths of a run's tasks; all runs of a config share them. `data` is the folder of prepared rows."""
    caps = (spec.data.train_rows, spec.data.validation_rows, spec.data.test_rows)
    found = []
    for task in tasks:
        key = (task.name, spec.model_spec, spec.protocol, data, caps)
        if key not in _KNOWN:
            _KNOWN[key] = lengths_of(task, spec.model_spec, spec.protocol, data, caps)
        known = _KNOWN[key]
        if spec.protocol.response == "rationale":  # how long rationales are is not known before they are written
            known = replace(known, answer=spec.evaluation.decoding.max_new_tokens)
        found.append(known)
    return found


_KNOWN: dict[Any, Lengths] = {}
"""Lengths by task, model, protocol, folder and caps."""
