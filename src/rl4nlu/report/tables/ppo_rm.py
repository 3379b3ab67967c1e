"""The first paper's Table 7: PPO against a learnt reward beside PPO with the label's reward."""

from __future__ import annotations

import math

from ...config import METHODS
from ...scores.collect import MAIN_VARIANT, OVERLAP
from ...tasks.task import Task
from ..cells import MARK_NOTES, difference_cell, number, over_seeds, own_cell
from ..inputs import Inputs
from ..names import MethodRow
from ..typeset import Cell, Line, Sheet
from .board import RULE

FIRST, SECOND = "ppo-rm", "ppo-rationale"
TABLE_7 = {"ppo-rationale": "ppo", "ppo-rm": "ppo-rm"}
"""Our methods, and what each is in the printed table."""


def ppo_rm_sheet(inputs: Inputs) -> Sheet:
    """Accuracy and overlap of rationales on every task that PPO-RM was trained on, beside the printed numbers of SST-2."""
    m = inputs.metrics[(inputs.metrics["method"] == FIRST) & (inputs.metrics["variant"] == MAIN_VARIANT)]
    tasks = [t for t in inputs.tasks.values() if t.name == "sst2" or t.name in set(m["mixture"])]
    columns = [(t.title, part) for t in tasks for part in ("acc.", "overlap")] + [("Analysis", "GPT-4o, 1–5")]
    title = "PPO against a learnt reward (PPO-RM) and against the label's reward, beside the paper's Table 7."
    sheet = Sheet("ppo-rm", title, ("Method", "Source"), columns)
    printed = inputs.printed("7").set_index(["method", "metric"])["value_printed"]
    models = [name for name in (*inputs.decoders("main"), *inputs.decoders("other")) if name in set(m["model"])]
    for method in (*reversed(METHODS[FIRST].against), FIRST):
        row = MethodRow(method, "st")
        for model in models:
            cells = [
                cell for t in tasks for cell in (own_cell(inputs, model, row, t), overlap_cell(inputs, model, row, t))
            ]
            if any(cell.text for cell in cells):
                label = row.label if len(models) == 1 else f"{row.label}, {inputs.title(model)}"
                sheet.lines.append(Line((label, "ours"), (*cells, Cell())))
        if paper := TABLE_7.get(method):
            said = [str(printed.get((paper, metric), "")) for metric in ("accuracy", "analysis-score")]
            cells = [Cell(said[0] if t.name == "sst2" and part == 0 else "") for t in tasks for part in (0, 1)]
            sheet.lines.append(Line((MethodRow(paper, "st").label, "paper"), (*cells, Cell(said[1])), "paper"))
    sheet.lines.append(RULE)
    sheet.lines += [difference_line(inputs, model, tasks, len(models) > 1) for model in models]
    values = [float(printed.get((method, "accuracy"), math.nan)) for method in ("ppo-rm", "ppo")]
    gap = [Cell(number(values[0] - values[1], sign=True) if t.name == "sst2" and part == 0 else "") for t in tasks for part in (0, 1)]  # fmt: skip
    sheet.lines.append(Line(("PPO-RM − PPO", "paper"), (*gap, Cell()), "paper"))
    sheet.notes = notes(inputs)
    return sheet


def overlap_cell(inputs: Inputs, model: str, row: MethodRow, task: Task) -> Cell:
    """Mean over seeds of the rationales' overlap, the standard deviation below."""
    return over_seeds(inputs.values(model, row, task.name, OVERLAP)["value"], 1)


def difference_line(inputs: Inputs, model: str, tasks: list[Task], named: bool) -> Line:
    """PPO-RM less PPO with the label's reward, with its interval and a star where the corrected test is below .05."""
    c = inputs.comparisons
    c = c[(c["method_a"] == FIRST) & (c["method_b"] == SECOND) & (c["model_a"] == model) & (c["mixture_kind"] == "st")]
    cells = []
    for task in tasks:
        found = c[c["task"] == task.name]
        if found.empty:
            cells += [Cell(), Cell()]
            continue
        cells.append(difference_cell(found.iloc[0]))
        both = [inputs.values(model, MethodRow(m, "st"), task.name, OVERLAP)["value"].mean() for m in (FIRST, SECOND)]
        cells.append(Cell(number(float(both[0] - both[1]), sign=True)))
    label = "PPO-RM − PPO with rationale" + (f", {inputs.title(model)}" if named else "")
    return Line((label, "ours"), (*cells, Cell()))


def notes(inputs: Inputs) -> list[str]:
    """What the numbers are, and how well the reward encoder ranks."""
    said = [inputs.provenance()]
    r = inputs.rewards[(inputs.rewards["method"] == "reward-encoder") & (inputs.rewards["variant"] == MAIN_VARIANT)]
    share = {kind: float(rows["accuracy"].astype(float).mean()) for kind, rows in r.groupby("pairs")}
    if share:
        parts = ", ".join(
            f"{name} {number(100 * share[kind])} %"
            for kind, name in (("label", "right against wrong label"), ("rationale", "with against without rationale"))
            if share.get(kind, math.nan) == share.get(kind, math.nan) and kind in share
        )
        said.append(f"Held-out pairs that the reward encoder ranks right: {number(100 * share['all'])} % ({parts}).")
    return [
        *said,
        "Ours: all rows start from the merged SFT model with rationales, and both PPO rows see the same prompts in the same "
        "steps. The paper's start from a chat model, whose analysis follows the label. Overlap: F1 of the words of the rationale "
        "and of the supplied one for the gold label, in percent, our stand-in for GPT-4o's grade, which has no counterpart here. "
        "The untuned model's grade is not printed.",
        *([MARK_NOTES, "* p < .05, Holm-corrected. Brackets: 95 % interval over seeds and rows."] if said[1:] else []),
    ]
