"""What a cell says: a mean over seeds with its spread and marks, a difference with its interval, a number."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ..config import METHODS
from ..scores.collect import MAIN_VARIANT
from ..scores.inference import LEVEL
from ..scores.intervals import mean_sd
from ..tasks.task import Task
from .inputs import Inputs
from .names import MethodRow
from .typeset import Cell

FULL_SEEDS = 3

ABSENT = "–"
"""What stands for a number that cannot be computed, where others stand beside it."""

MARK_NOTES = (
    f"† fewer than {FULL_SEEDS} seeds. ‡ stale: made by other settings than the config's. ° no method's 95 % interval (over seeds "
    "and rows) lies above the better of majority and random. Below a mean over seeds stands ± its standard deviation."
)


def number(value: float, digits: int = 1, sign: bool = False) -> str:
    """A number as tables print it, with a true minus; empty for NaN."""
    if value != value:
        return ""
    text = f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.replace("-", "").replace("+", "")
    return text.replace("-", "−")


def own_cell(
    inputs: Inputs, model: str, row: MethodRow, task: Task, variant: str = MAIN_VARIANT, bold: bool = False
) -> Cell:
    """Mean over seeds of the task's metrics, the standard deviation below, marks († few seeds, ‡ stale).

    A metric of texts that cannot be computed is a dash among others.
    """
    means, spreads, marks = [], [], ""
    for metric in task.columns:
        values = inputs.values(model, row, task.name, metric, variant)
        if values.empty and task.answer == "text":
            means.append(ABSENT)
            spreads.append(ABSENT)
            continue
        if values.empty:
            return Cell()
        mean, sd = mean_sd(values["value"].tolist())
        means.append(number(mean))
        spreads.append("" if sd is None else number(sd))
        marks = "†" if METHODS[row.method].seeded and len(values) < FULL_SEEDS else ""
        marks += "‡" if values["stale"].astype(bool).any() else ""
    if all(mean == ABSENT for mean in means):
        return Cell()
    return Cell("/".join(means), "±" + "/".join(spreads) if all(spreads) else "", marks, bold)


def interval_cell(inputs: Inputs, model: str, row: MethodRow, task: Task) -> Cell:
    """Mean over seeds ± deviation, and below it the interval over seeds and rows."""
    cell = own_cell(inputs, model, row, task)
    mean = inputs.mean(model, row, task.name, task.columns[0])
    return Cell(f"{cell.text} {cell.below}".strip(), bounds_text(mean), cell.marks) if cell.text else cell


def bounds_text(row: pd.Series | None) -> str:
    """An interval in brackets; nothing where seeds are too few for one."""
    return "" if row is None or row["low"] != row["low"] else f"[{number(row['low'])}, {number(row['high'])}]"


def over_seeds(values: pd.Series, digits: int) -> Cell:
    """Mean over seeds, the standard deviation below; empty where there is no value."""
    if values.empty:
        return Cell()
    mean, sd = mean_sd(values.tolist())
    return Cell(number(mean, digits), "" if sd is None else f"±{number(sd, digits)}")


def mean_cell(scores: Sequence[float]) -> Cell:
    """The mean of scores; empty while one is missing."""
    return Cell(number(sum(scores) / len(scores)) if scores else "")


def range_cell(values: pd.Series, digits: int = 0) -> Cell:
    """The one value of a group of runs, or its least and greatest."""
    known = values.dropna().astype(float)
    if known.empty:
        return Cell()
    low, high = (f"{v:,.{digits}f}" for v in (known.min(), known.max()))
    return Cell(low if low == high else f"{low}–{high}")


def difference_cell(row: pd.Series | None, digits: int = 1) -> Cell:
    """A row of comparisons.csv or overall.csv: the difference, its interval below, a star where the corrected test is below .05."""
    if row is None:
        return Cell()
    return Cell(number(row["difference"], digits, sign=True), bounds_text(row), "*" if row["p_holm"] < LEVEL else "")
