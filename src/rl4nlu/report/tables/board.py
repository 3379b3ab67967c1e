"""Methods by tasks: each reproduced row above the printed row that it answers to, and their difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from ...scores.inference import LEVEL
from ...tasks.task import Task
from ..cells import mean_cell, number, own_cell
from ..inputs import Inputs
from ..names import LABEL_ROWS, METRIC_TITLES, MethodRow
from ..typeset import Cell, Line

RULE = Line(kind="rule")

PPO_SFT = tuple((MethodRow("ppo", kind), MethodRow("sft", kind)) for kind in ("st", "mt"))
"""The comparison that the paper is about, single-task and multi-task."""


@dataclass(frozen=True)
class Entry:
    """A method's place in a table: our model's row, the paper's model's row, or both."""

    row: MethodRow
    model: str | None = None
    paper: str | None = None
    label: str | None = None


@dataclass(frozen=True)
class Board:
    """What a table of methods by tasks covers."""

    inputs: Inputs
    tasks: list[Task]
    averaged: list[Task]
    common: list[Task]
    printed: pd.DataFrame

    def paper_rows(self, entry: Entry) -> pd.DataFrame:
        """The printed numbers of an entry."""
        p = self.printed
        return p[
            (p["model"] == entry.paper) & (p["method"] == entry.row.method) & (p["mixture_kind"] == entry.row.kind)
        ]

    def paper_score(self, entry: Entry, task: Task) -> float:
        """The printed score of a task: the mean of its metrics."""
        rows = self.paper_rows(entry)
        rows = rows[(rows["task"] == task.name) & rows["metric"].isin(task.columns)]
        return float(rows["value"].mean(skipna=False)) if len(rows) == len(task.columns) else float("nan")

    def has_own(self, entry: Entry) -> bool:
        """Whether any cell of an entry was reproduced."""
        model = entry.model
        return model is not None and any((s := self.inputs.score(model, entry.row, t)) == s for t in self.tasks)


def task_columns(inputs: Inputs, tasks: Sequence[Task]) -> list[tuple[str, str]]:
    """Header entries of tasks: the title, marked where nothing beat the baselines, and the metrics."""
    return [
        (
            f"{t.title.partition(' (')[0]}{'°' if inputs.near_chance(t) else ''}",
            "/".join(METRIC_TITLES.get(m, m) for m in t.columns),
        )
        for t in tasks
    ]


def own_line(board: Board, entry: Entry, label: str) -> Line:
    """An entry's reproduced row, with the averages of the board."""
    model = entry.model or ""
    cells = [own_cell(board.inputs, model, entry.row, t, bold=_leads(board, model, entry.row, t)) for t in board.tasks]
    for some in filter(None, (board.averaged, board.common)):
        cells.append(mean_cell([board.inputs.score(model, entry.row, t) for t in some]))
    return Line((label, "ours"), tuple(cells))


def _leads(board: Board, model: str, row: MethodRow, task: Task) -> bool:
    """Whether the row is the model's best on the task, or not told from it by the corrected test (`leads` of means.csv)."""
    mean = board.inputs.mean(model, row, task.name, task.columns[0])
    return row in LABEL_ROWS and mean is not None and bool(mean["leads"])


def paper_line(board: Board, entry: Entry, label: str) -> Line:
    """An entry's printed row, with the printed average and ours over the common tasks."""
    rows = board.paper_rows(entry)
    cells = []
    for task in board.tasks:
        texts = [rows.loc[(rows["task"] == task.name) & (rows["metric"] == m), "value_printed"] for m in task.columns]
        cells.append(Cell("/".join(t.iloc[0] for t in texts) if all(len(t) and t.iloc[0] for t in texts) else ""))
    if board.averaged:
        printed = rows.loc[rows["task"] == "average", "value_printed"]
        cells.append(Cell(printed.iloc[0] if len(printed) else ""))
    if board.common:
        cells.append(mean_cell([board.paper_score(entry, t) for t in board.common]))
    return Line((label, "paper"), tuple(cells), "paper")


def entry_lines(board: Board, entries: Sequence[Entry]) -> list[Line]:
    """Reproduced and printed rows of entries, as far as they exist."""
    lines = []
    for entry in entries:
        encoder = entry.row.method == "encoder"
        if board.has_own(entry):
            name = board.inputs.title(entry.model or "")
            label = name + ("-MT" if entry.row.kind == "mt" else "") if encoder else entry.label or entry.row.label
            lines.append(own_line(board, entry, label))
        if len(board.paper_rows(entry)):
            name = board.inputs.title(entry.paper or "")
            lines.append(paper_line(board, entry, name if encoder else entry.label or entry.row.label))
    return lines


def difference_lines(board: Board, models: Sequence[str], paper: str | None) -> list[Line]:
    """PPO less SFT, ours (with a star where the corrected test is below .05) and the paper's."""
    lines: list[Line] = []
    for a, b in PPO_SFT:
        label = f"{a.label} − {b.label}"
        for model in models:
            if not (board.has_own(Entry(a, model)) and board.has_own(Entry(b, model))):
                continue
            gaps = {t.name: board.inputs.score(model, a, t) - board.inputs.score(model, b, t) for t in board.tasks}
            tested = board.inputs.comparisons
            tested = tested[(tested["comparison"] == f"ppo vs sft ({a.kind})") & (tested["model_a"] == model)]
            stars = set(tested.loc[tested["p_holm"] < LEVEL, "task"])
            cells = [Cell(number(gaps[t.name], sign=True), marks="*" if t.name in stars else "") for t in board.tasks]
            for some in filter(None, (board.averaged, board.common)):
                cells.append(Cell(number(sum(gaps[t.name] for t in some) / len(some), sign=True)))
            own = label if len(models) == 1 else f"{label}, {board.inputs.title(model)}"
            lines.append(Line((own, "ours"), tuple(cells)))
        first, second = Entry(a, paper=paper), Entry(b, paper=paper)
        if len(board.paper_rows(first)) and len(board.paper_rows(second)):
            gap = [board.paper_score(first, t) - board.paper_score(second, t) for t in board.tasks]
            cells = [Cell(number(g, sign=True)) for g in gap]
            for some in filter(None, (board.averaged, board.common)):
                each = [board.paper_score(first, t) - board.paper_score(second, t) for t in some]
                cells.append(Cell(number(sum(each) / len(each), sign=True)))
            lines.append(Line((label, "paper"), tuple(cells), "paper"))
    return lines


def rows_scored(board: Board) -> list[Line]:
    """How many rows each task was scored on."""
    counts = board.inputs.metrics.groupby("task")["n"].max()
    if not any(t.name in counts for t in board.tasks):
        return []
    cells = [Cell(str(int(counts[t.name])) if t.name in counts else "") for t in board.tasks]
    blank = [Cell(" ")] * (bool(board.averaged) + bool(board.common))
    return [Line(("Rows scored", "ours"), (*cells, *blank)), RULE]


def or_none(models: list[str]) -> list[str | None]:
    """The models, or one place without a model, which still shows the printed row."""
    return [*models] or [None]


def own_average(inputs: Inputs, model: str, row: MethodRow, tasks: Sequence[Task]) -> float:
    """The mean of the tasks' scores; NaN while one is missing."""
    return sum(inputs.score(model, row, task) for task in tasks) / len(tasks)
