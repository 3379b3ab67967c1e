"""Rationales: texts that argue for a label, gold or wrong, of a task's rows (paper 2).

`data/<task>/rationales.jsonl` holds one a line: {split, id, label, gold, grounded, rationale}. They are written by
`rationales.writing`, from the source that config names, and read here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..base.errors import ConfigError
from ..base.files import read_jsonl
from ..tasks.rows import Row

__all__ = ["load_rationales", "overlap", "with_rationales"]


def load_rationales(data: Path, task_name: str, split: str, grounded: bool = True) -> dict[str, dict[str, str]]:
    """Rationales of a task's split: row id -> canonical label -> text.

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


def overlap(rationale: str, reference: str) -> float:
    """F1 of the words of two texts, counted with repeats."""
    ours, theirs = Counter(rationale.lower().split()), Counter(reference.lower().split())
    both = sum((ours & theirs).values())
    return 2 * both / (sum(ours.values()) + sum(theirs.values())) if both else 0.0
