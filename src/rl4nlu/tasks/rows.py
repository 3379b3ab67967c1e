"""Rows in the one schema that all sources are brought to, and the files that hold them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.errors import ConfigError
from ..base.files import read_jsonl

if TYPE_CHECKING:
    from .task import Task

SPLITS = ("train", "validation", "test")


def load_rows(folder: Path, task_name: str, split: str) -> list[Row]:
    """Prepared rows of `folder`/<task>/<split>.jsonl.

    Raises:
        ConfigError: they were not prepared.
    """
    path = folder / task_name / f"{split}.jsonl"
    if not path.is_file():
        raise ConfigError(f"{path}: no prepared rows; `snakemake data` makes them")
    return [Row(**values) for values in read_jsonl(path)]


def rows_of(data: Path, name: str, split: str) -> list[Row]:
    """Rows of a task's split, at least one.

    Raises:
        ConfigError: there are none.
    """
    rows = load_rows(data, name, split)
    if not rows:
        raise ConfigError(f"{data / name / split}.jsonl: holds no rows of task {name}")
    return rows


def supervised_rows(task: Task, rows: Sequence[Row]) -> list[Row]:
    """Of training rows those that SFT learns from and that are shown as solved (`task.supervised_on`).

    Raises:
        ConfigError: there are none.
    """
    found = [row for row in rows if all(row.fields[name] == value for name, value in task.supervised_on.items())]
    if rows and not found:
        wanted = ", ".join(f"{name} {value!r}" for name, value in task.supervised_on.items())
        raise ConfigError(f"task {task.name}: supervised_on: none of {len(rows)} training rows has {wanted}")
    return found


def load_rationales(data: Path, task_name: str, split: str, grounded: bool = True) -> dict[str, dict[str, str]]:
    """Rationales of a task's split: row id -> canonical label -> text.

    `<data>/<task>/rationales.jsonl` holds one a line: {split, id, label, gold, grounded, rationale}.

    Args:
        data: folder of prepared rows.
        task_name: the task.
        split: train, validation or test.
        grounded: False gives those that cite what the row does not say (`rationales.ungrounded`).

    Raises:
        ConfigError: there is no file of rationales.
    """
    path = data / task_name / "rationales.jsonl"
    if not path.is_file():
        raise ConfigError(f"{path}: no rationales; `snakemake rationales` makes them")
    found: dict[str, dict[str, str]] = {}
    for line in read_jsonl(path):
        if line["split"] == split and line.get("grounded", True) == grounded:
            found.setdefault(line["id"], {})[line["label"]] = line["rationale"]
    return found


def with_rationales(data: Path, task_name: str, split: str, rows: Sequence[Row]) -> list[Row]:
    """The rows that have a rationale for their own label, each with it.

    Raises:
        ConfigError: there is no file of rationales, or none of the rows has one.
    """
    texts = load_rationales(data, task_name, split)
    found = [
        replace(row, rationale=texts[row.id][str(row.label)]) for row in rows if str(row.label) in texts.get(row.id, {})
    ]
    if rows and not found:
        raise ConfigError(
            f"{data / task_name}/rationales.jsonl: none of {len(rows)} {split} rows has a rationale for its label"
        )
    return found


@dataclass(frozen=True)
class Row:
    """A record: what is prompted, scored and trained on.

    Attributes:
        id: where it comes from, unique in its task, such as `glue/CoLA/dev.tsv:17`.
        fields: the task's text fields.
        label: canonical label (a key of `task.labels`), or a number for tasks with `answer: number`; None where texts are answered.
        group: rows that are scored together share it (MultiRC question, ReCoRD query, AX-g pair).
        answers: gold texts (ReCoRD), or the references of a text.
        derivation: why the label holds (microworld).
        rationale: a text that argues for the label, where one is shown or trained on; never stored with the row.
    """

    id: str
    fields: dict[str, str]
    label: str | float | None
    group: str | None = None
    answers: list[str] | None = None
    derivation: dict[str, Any] | None = None
    rationale: str | None = None

    def stored(self) -> dict[str, Any]:
        """The record as prepared files hold it."""
        return {name: value for name, value in asdict(self).items() if name != "rationale"}
