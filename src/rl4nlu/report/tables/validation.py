"""Single-task runs with intervals over seeds and rows, beside the paper's validation scores (paper 1, Tables 9 and 12)."""

from __future__ import annotations

import pandas as pd

from ..cells import MARK_NOTES, interval_cell, mean_cell
from ..inputs import Inputs
from ..names import LABEL_ROWS, METRIC_TITLES, MethodRow
from ..published import AVERAGES, PAPER_1
from ..typeset import Cell, Line, Sheet
from .board import RULE

PRINTED_ROWS = (MethodRow("ppo", "st"), MethodRow("sft", "st"))
"""The methods whose validation scores the paper prints."""


def validation_sheet(inputs: Inputs) -> Sheet:
    """The split that ours is closest to, with intervals; tasks are rows, methods columns."""
    tasks = [inputs.tasks[name] for name in AVERAGES[PAPER_1, "9"]]
    model = next(iter(inputs.decoders("main")), None)
    base = inputs.printed("12")
    base = base[base["model"] == "llama2-7b-base"]
    trained = inputs.metrics[inputs.metrics["model"] == model]
    others = [r for r in LABEL_ROWS if r.kind == "st" and r not in PRINTED_ROWS and r.method in set(trained["method"])]
    columns = [(row, who) for row in PRINTED_ROWS for who in ("ours", "paper") if model or who == "paper"]
    columns += [(row, "ours") for row in others]
    below = {"ours": "mean ± sd", "paper": "95 % interval"}
    title = "Single-task PPO and SFT on the reported split, beside the paper's validation scores (its Tables 9 and 12)."
    heads = [*((f"{row.label} {who}", below[who]) for row, who in columns), ("PPO-ST paper", "base model")]
    sheet = Sheet("validation", title, ("Task", "Metric"), heads)
    for task in tasks:
        cells = [
            interval_cell(inputs, str(model), row, task) if who == "ours" else printed_cell(inputs, row, task.name)
            for row, who in columns
        ]
        cells.append(Cell(base.loc[base["task"] == task.name, "value_printed"].iloc[0]))
        mark = "°" if inputs.near_chance(task) else ""
        sheet.lines.append(Line((task.title + mark, METRIC_TITLES[task.columns[0]]), tuple(cells)))
    cells = [
        mean_cell([inputs.score(str(model), row, task) for task in tasks])
        if who == "ours"
        else Cell(printed_row(inputs, row, "average")["value_printed"])
        for row, who in columns
    ]
    cells.append(Cell(base.loc[base["task"] == "average", "value_printed"].iloc[0]))
    sheet.lines += [RULE, Line(("Average", "of 10"), tuple(cells))]
    sheet.notes = [inputs.provenance()]
    if model:
        sheet.notes.append(f"Ours: {inputs.title(model)}; brackets: 95 % interval over seeds and rows. {MARK_NOTES}")
    sheet.notes.append("The paper leaves SFT's average unprinted; its cells give 82.34.")
    return sheet


def printed_row(inputs: Inputs, row: MethodRow, task: str) -> pd.Series:
    """A method's printed validation score of a task, or of the average."""
    printed = inputs.printed("9")
    return printed[(printed["task"] == task) & (printed["method"] == row.method)].iloc[0]


def printed_cell(inputs: Inputs, row: MethodRow, task: str) -> Cell:
    """A printed validation score, its interval below."""
    found = printed_row(inputs, row, task)
    return Cell(found["value_printed"], f"[{found['low_printed']}, {found['high_printed']}]")
