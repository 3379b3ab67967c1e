"""Rationales from a JSON-lines file of the user's: one object a line with id, label and rationale, and maybe split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ..base.errors import ConfigError
from ..base.files import read_jsonl
from ..tasks.task import Task
from .requests import Request, check_label, response_of


class Supplied:
    """The texts of one task's file, by row id and label."""

    def __init__(self, task: Task, path: Path) -> None:
        """Read the file.

        Raises:
            ConfigError: it is absent, or a line is broken, lacks a key, repeats another one, names no label, or is empty.
        """
        self.task, self.path, self.texts = task, path, dict[str, dict[str, str]]()
        try:
            lines = read_jsonl(path)
        except FileNotFoundError:
            raise ConfigError(f"{path}: no such file; rationales.supplied names it for task {task.name}") from None
        except ValueError as error:
            raise ConfigError(str(error)) from None
        for number, line in enumerate(lines, 1):
            where = f"{path}: line {number}"
            if not isinstance(line, dict) or (missing := [k for k in ("id", "label", "rationale") if k not in line]):
                what = f"key {', '.join(missing)} is missing" if isinstance(line, dict) else "expected an object"
                raise ConfigError(f"{where}: {what}; a line holds id, label and rationale")
            label = check_label(task, str(line["label"]), where)
            if not str(line["rationale"] or "").strip():
                raise ConfigError(f"{where}: the rationale for row {line['id']} is empty")
            known = self.texts.setdefault(str(line["id"]), {})
            if label in known:
                raise ConfigError(f"{where}: row {line['id']} has a second rationale for label {label!r}")
            known[label] = str(line["rationale"])

    def labels(self, row_id: str) -> list[str]:
        """Labels that a row has a rationale for, in the task's order."""
        return [label for label in self.task.labels if label in self.texts.get(row_id, {})]

    def __call__(self, requests: Sequence[Request]) -> Iterator[tuple[int, str]]:
        """The texts that are asked for.

        Raises:
            ConfigError: the file has none of the rows.
        """
        if self.texts and not requests:
            raise ConfigError(
                f"{self.path}: holds no row of task {self.task.name}; its first id is {next(iter(self.texts))!r}"
            )
        for number, request in enumerate(requests):
            yield number, response_of(self.task, request.label, self.texts[request.row.id][request.label])
