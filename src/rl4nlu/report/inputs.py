"""The collected files and the printed numbers, and what tables, figures and the text look up in them."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from ..base.files import REPOSITORY
from ..config import METHODS, Model, load_models
from ..scores.collect import DATA, HISTORY, INVALID, MAIN_VARIANT, METRICS, REPLIES, REWARDS, RUNS
from ..scores.comparisons import COMPARISONS, EFFECTS, MEANS, OVERALL
from ..scores.tuning import CANDIDATES
from ..tasks.task import Task, load_tasks
from .names import BASELINES, ENCODER_METHODS, PRINTED_MODELS, SOURCE_TITLES, MethodRow
from .published import PAPER_1, load_published


@dataclass
class Inputs:
    """The collected files, the printed numbers, and the names of tasks and models."""

    metrics: pd.DataFrame
    means: pd.DataFrame
    runs: pd.DataFrame
    comparisons: pd.DataFrame
    overall: pd.DataFrame
    effects: pd.DataFrame
    data: pd.DataFrame
    history: pd.DataFrame
    invalid: pd.DataFrame
    rewards: pd.DataFrame
    replies: pd.DataFrame
    candidates: pd.DataFrame
    published: pd.DataFrame
    tasks: dict[str, Task]
    models: dict[str, Model]
    scale: str = "embedded"
    note: str = ""

    @cached_property
    def cells(self) -> dict[tuple[str, ...], pd.DataFrame]:
        """Rows of metrics.csv by (model, method, kind, variant, task, metric), sorted by seed."""
        ordered = self.metrics.sort_values("seed", kind="stable")
        return dict(parts(ordered, "model", "method", "mixture_kind", "variant", "task", "metric"))

    def values(self, model: str, row: MethodRow, task: str, metric: str, variant: str = MAIN_VARIANT) -> pd.DataFrame:
        """The numbers of one cell, a row a seed; empty where nothing was reproduced."""
        return self.cells.get((model, row.method, row.kind, variant, task, metric), self.metrics.iloc[:0])

    def score(self, model: str, row: MethodRow, task: Task, variant: str = MAIN_VARIANT) -> float:
        """A task's score: the mean of what it is compared by, of means over seeds; NaN where one is missing."""
        found = [self.values(model, row, task.name, metric, variant)["value"] for metric in task.compared]
        return float("nan") if any(v.empty for v in found) else sum(float(v.mean()) for v in found) / len(found)

    def first(self, model: str, row: MethodRow, task: Task, variant: str = MAIN_VARIANT) -> list[float]:
        """The task's first metric, a value a seed."""
        return self.values(model, row, task.name, task.columns[0], variant)["value"].tolist()

    @cached_property
    def means_by_cell(self) -> dict[tuple[str, ...], pd.Series]:
        """Rows of means.csv by (model, method, kind, variant, task, metric)."""
        names = ("model", "method", "mixture_kind", "variant", "task", "metric")
        return {key: rows.iloc[0] for key, rows in parts(self.means, *names)}

    def mean(self, model: str, row: MethodRow, task: str, metric: str, variant: str = MAIN_VARIANT) -> pd.Series | None:
        """The mean over seeds of one cell, with its interval over seeds and rows; None where nothing was reproduced."""
        return self.means_by_cell.get((model, row.method, row.kind, variant, task, metric))

    def title(self, model: str) -> str:
        """A model's name in tables."""
        entry = self.models.get(model)
        return (entry.title if entry else None) or PRINTED_MODELS.get(model, model)

    def of_suite(self, suite: str) -> list[Task]:
        """The suite's tasks in table order."""
        return [task for task in self.tasks.values() if task.suite == suite]

    def decoders(self, table: str) -> list[str]:
        """Reproduced decoders of the main tables (`main`) or of the table of other models (`other`)."""
        names = sorted(set(self.metrics.loc[~self.metrics["method"].isin(ENCODER_METHODS), "model"]))
        return [name for name in names if (self.models[name].table if name in self.models else "main") == table]

    def encoders(self) -> list[str]:
        """Reproduced encoders."""
        return sorted(set(self.metrics.loc[self.metrics["method"].isin(ENCODER_METHODS), "model"]))

    def printed(self, table: str) -> pd.DataFrame:
        """One of paper 1's tables."""
        return self.published[(self.published["paper"] == PAPER_1) & (self.published["table"] == table)]

    def near_chance(self, task: Task) -> bool:
        """Whether no method has an interval wholly above the better of majority and random; never of texts, which have no chance."""
        if task.answer == "text":
            return False
        m = self.means
        m = m[(m["task"] == task.name) & (m["metric"] == task.columns[0]) & (m["variant"] == MAIN_VARIANT)]
        plain, rest = (m[m["method"].isin(BASELINES) == is_plain] for is_plain in (True, False))
        return bool(len(plain) and len(rest) and not (rest["low"] > plain["value"].max()).any())

    def provenance(self) -> str:
        """What every table's note says first: what its numbers are."""
        if self.metrics.empty:
            return "Printed numbers only; nothing was reproduced in this build."
        where = "; ".join(SOURCE_TITLES.get(str(s), str(s)) for s in dict.fromkeys(self.metrics["source"].dropna()))
        note = f" {self.note.strip()}" if self.note.strip() else ""
        return f"Scale “{self.scale}”; reproduced rows are scored on {where}.{note}"


COLLECTED = {
    "metrics": METRICS, "means": MEANS, "runs": RUNS, "comparisons": COMPARISONS, "overall": OVERALL, "effects": EFFECTS,
    "data": DATA, "history": HISTORY, "invalid": INVALID, "rewards": REWARDS, "replies": REPLIES, "candidates": CANDIDATES,
}  # fmt: skip
"""The files that `workflow/scripts/collect.py` writes, and their columns."""


def load_inputs(
    published: Path,
    tasks: dict[str, Task],
    models: dict[str, Model],
    collected: Path | None = None,
    scale: str = "embedded",
    note: str = "",
) -> Inputs:
    """Read the collected files of a folder (metrics.csv and those beside it); None: printed numbers only.

    Raises:
        ValueError: a file lacks a column.
    """
    frames: dict[str, Any] = {}
    for name, columns in COLLECTED.items():
        path = collected / f"{name}.csv" if collected else None
        if path is None:
            frames[name] = pd.DataFrame(columns=list(columns))
            continue
        frame = pd.read_csv(path, keep_default_na=False, na_values=[""], low_memory=False)
        if missing := [column for column in columns if column not in frame]:
            raise ValueError(
                f"{path}: no column {', '.join(missing)}; collect the results again (workflow/scripts/collect.py)"
            )
        frames[name] = frame
    return Inputs(**frames, published=load_published(published), tasks=tasks, models=models, scale=scale, note=note)


def parts(frame: pd.DataFrame, *names: str) -> list[tuple[tuple[str, ...], pd.DataFrame]]:
    """The rows of each combination of the named columns, whose values become text; in sorted order."""
    return [(tuple(str(k) for k in key), rows) for key, rows in frame.groupby(list(names))]  # type: ignore[union-attr]


def values_shown(*more: str) -> dict[str, Any]:
    """What stands beside the collected numbers in tables, figures and texts: a change of it makes them anew, and nothing else.

    Args:
        more: keys of a task ("query", "note") or a method ("colour") that only some of them show.
    """
    of_task = {
        "name",
        "suite",
        "title",
        "column",
        "labels",
        "answer",
        "judge",
        "low",
        "high",
        "metrics",
        "reported",
        "in_average",
    }
    of_task |= {"chance", "trained_with", *more}
    of_method = ["title", "module", "loads", "rewards", "rationale", "scored", "seeded", "against"]
    of_method += [name for name in more if name == "colour"]
    return {
        "tasks": [task.model_dump(mode="json", include=of_task) for task in load_tasks().values()],
        "models": {name: [model.kind, model.title, model.table] for name, model in load_models().items()},
        "methods": {name: [getattr(method, key) for key in of_method] for name, method in METHODS.items()},
    }


def report_arguments(parser: argparse.ArgumentParser, out: str) -> None:
    """Options that the programs of tables, figures and numbers share."""
    parser.add_argument(
        "--metrics",
        type=Path,
        help="collected metrics.csv, with the other collected files beside it; absent: printed numbers only",
    )
    parser.add_argument(
        "--published", type=Path, default=REPOSITORY / "resources" / "published", help="folder of printed numbers"
    )
    parser.add_argument("--scale", default="embedded", help="the config's name")
    parser.add_argument("--note", default="", help="the config's sentence on what its numbers are")
    parser.add_argument("--out", type=Path, required=True, help=out)


def inputs_from(arguments: argparse.Namespace) -> Inputs:
    """What the options of `report_arguments` name."""
    collected = arguments.metrics.parent if arguments.metrics else None
    return load_inputs(arguments.published, load_tasks(), load_models(), collected, arguments.scale, arguments.note)
