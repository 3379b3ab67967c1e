"""Asking: what comes of one row, and how a run answers all of its tasks, into `answers/<task>.jsonl` and `answers/<task>.json`.

A text is kept as the model wrote it; it is read when it is scored (`labels`), so that another parser asks nothing again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ..base.errors import ConfigError
from ..base.files import read_json, read_jsonl, write_json, write_jsonl
from ..base.journal import Journal
from ..base.progress import Progress
from ..config import METHODS
from ..tasks.rows import Row, rows_of
from ..tasks.task import Task

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ..runs.spec import RunSpec

    Label = str | float


@dataclass(frozen=True)
class Answer:
    """What came of one row.

    Attributes:
        text: that a decoder wrote, or the label's words that it finds likeliest.
        label: where no text was written: an encoder's, or a guess (of a task of texts, a text).
        confidence: probability of the positive label among the labels; ReCoRD chooses a query's candidate by it.
        tokens: generated.
        dropped_demonstrations: that the prompt had no room for.
        shortened: whether the row itself was cut to fit.
        measured: of a text, what takes a model (`decoder.measure_texts`); None where nothing was measured.
    """

    text: str = ""
    label: Label | None = None
    confidence: float | None = None
    tokens: int = 0
    dropped_demonstrations: int = 0
    shortened: bool = False
    measured: dict[str, float] | None = None


@dataclass(frozen=True)
class Shots:
    """Ids of the demonstrations of one task, and the validation score of every number of them that was tried."""

    demonstrations: tuple[str, ...] = ()
    scores: dict[int, float] | None = None


class Backbone(NamedTuple):
    """A loaded foundation model; runs of the same model may share it one after another."""

    tokenizer: PreTrainedTokenizerBase
    model: PreTrainedModel


@dataclass(frozen=True)
class Asked:
    """Who is asked.

    Attributes:
        spec: the resolved run.
        data: folder of prepared rows.
        trained: folder of the trained run (`adapter/` or `model/`); None where nothing is trained.
        backbone: the run's foundation model where it is already loaded; it is left as it was, to the bit.
        journal: of rows already answered; it grows batch by batch.
    """

    spec: RunSpec
    data: Path
    trained: Path | None
    backbone: Backbone | None
    journal: Journal


Answerer = Callable[[Task, list[Row]], tuple[list[Answer], Shots]]


class Answering(Protocol):
    """A module that answers rows; `METHODS[...].answered_by` names it."""

    def open_answerer(self, asked: Asked) -> AbstractContextManager[Answerer]:
        """What answers a task's rows, with all that it needs loaded until the context ends."""


def answer_run(
    spec: RunSpec,
    data: Path,
    trained: Path | None,
    out: Path,
    backbone: Backbone | None = None,
    journal: Journal | None = None,
) -> None:
    """Answer the test rows of all tasks of a run: `<out>/<task>.jsonl`, an `Answer` a row, and `<task>.json` about all of them.

    With a journal, answers are kept there until all stand; asking that was stopped asks what is missing.

    Args:
        spec: the resolved run.
        data: folder of prepared rows.
        trained: folder of the trained run; None where nothing is trained.
        out: folder to write.
        backbone: see `Asked`.
        journal: see `Asked`.

    Raises:
        ConfigError: rows or the trained run are missing, or the model does not load.
    """
    method = METHODS[spec.method]
    if method.module is not None and trained is None:
        raise ConfigError(f"run {spec.address.path}: answering needs the folder of the trained run")
    if method.loads is not None or spec.answering_judges:
        import torch

        torch.set_num_threads(spec.threads)
    tests = [rows_of(data, task.name, "test") for task in spec.eval_tasks]
    progress = Progress(f"{spec.address.path} on {len(tests)} tasks", sum(map(len, tests)), "rows")
    journal = journal or Journal(None)
    before = within = 0

    def heard(part: str, answered: int) -> None:
        """A batch was answered; ReCoRD's rows are both scored and generated, which counts once."""
        nonlocal within
        within += answered if part.startswith(f"{task.name}/test/") else 0
        progress.reach(before + min(within, len(rows) - 1))

    journal.heard = heard
    answering: Answering = import_module(f"rl4nlu.{method.answered_by}")  # type: ignore[assignment]
    with answering.open_answerer(Asked(spec, data, trained, backbone, journal)) as answer:
        for task, rows in zip(spec.eval_tasks, tests, strict=True):
            within = 0
            started = time.perf_counter()
            answers, shots = answer(task, rows)
            seconds = time.perf_counter() - started + journal.seconds(f"{task.name}/")
            lines = [{"id": row.id, **asdict(given)} for row, given in zip(rows, answers, strict=True)]
            write_jsonl(out / f"{task.name}.jsonl", lines)
            write_json(out / f"{task.name}.json", {**asdict(shots), "seconds": round(seconds, 3)})
            before += len(rows)
            progress.reach(before)
    journal.remove()


def read_answers(folder: Path, task: Task, rows: list[Row]) -> tuple[list[Answer], Shots, float]:
    """What `answer_run` wrote of a task into `folder`: answers to `rows`, demonstrations, seconds.

    Raises:
        ConfigError: there are none, or they answer other rows.
    """
    path = folder / f"{task.name}.jsonl"
    if not path.is_file():
        raise ConfigError(f"{path}: no answers to the rows of task {task.name}; was the run asked?")
    lines: list[dict[str, Any]] = read_jsonl(path)
    if [line.pop("id") for line in lines] != [row.id for row in rows]:
        raise ConfigError(f"{path}: answers other rows than the test rows of task {task.name}; ask again")
    record = read_json(path.with_suffix(".json"))
    scores = record["scores"] and {int(k): score for k, score in record["scores"].items()}
    return [Answer(**line) for line in lines], Shots(tuple(record["demonstrations"]), scores), record["seconds"]
