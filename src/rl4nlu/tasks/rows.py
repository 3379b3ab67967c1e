"""Rows in the one schema that all sources are brought to, and the files that hold them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..base.errors import ConfigError
from ..base.files import read_jsonl

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


@dataclass(frozen=True)
class Row:
    """A record: what is prompted, scored and trained on.

    Attributes:
        id: where it comes from, unique in its task, such as `glue/CoLA/dev.tsv:17`.
        fields: the task's text fields.
        label: canonical label (a key of `task.labels`), or a number for tasks with `parser: number`.
        group: rows that are scored together share it (MultiRC question, ReCoRD query, AX-g pair).
        answers: gold texts (ReCoRD).
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
