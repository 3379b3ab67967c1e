"""Differences: between methods on the same rows, and between a variant and the main runs; among these the papers' discrepancies."""

from __future__ import annotations

import pandas as pd

from ...config import METHODS, RATIONALE_METHODS
from ...scores.collect import MAIN_VARIANT
from ..cells import MARK_NOTES, difference_cell, number, own_cell
from ..inputs import Inputs, parts
from ..names import DISCREPANCIES, METRIC_TITLES, MethodRow
from ..published import PAPER_1, PAPER_2
from ..typeset import Cell, Line, Sheet
from .board import RULE


def comparisons_sheet(inputs: Inputs) -> Sheet:
    """Differences between methods, task by task and on average, with intervals and corrected tests, and what they could find."""
    rows = inputs.comparisons[inputs.comparisons["model_a"].isin(inputs.decoders("main"))]
    rows = rows[(rows["mixture_kind"] != "mt") | (rows["method_b"] == "sft")]
    rows = rows[~rows["method_a"].isin(RATIONALE_METHODS)]  # they have a table of their own
    kinds = list(dict.fromkeys(rows["comparison"]))
    columns = [comparison_title(inputs, kind) for kind in kinds]
    title = "Differences on the same rows, in points, with 95 % intervals over seeds and rows."
    sheet = Sheet("comparisons", title, ("Task", "Metric"), columns)
    tested = {(c, t): f for (c, t), f in rows.groupby(["comparison", "task"])}
    for task in inputs.tasks.values():
        found = [tested.get((kind, task.name)) for kind in kinds]
        if all(f is None for f in found):
            continue
        cells = [difference_cell(None if frame is None else frame.iloc[0]) for frame in found]
        metric = next(str(f["metric"].iloc[0]) for f in found if f is not None)
        sheet.lines.append(
            Line((task.title, "/".join(METRIC_TITLES.get(m, m) for m in metric.split("+"))), tuple(cells))
        )
    overall = inputs.overall[inputs.overall["model_a"].isin(inputs.decoders("main"))]
    averages = {kind: rows.iloc[0] for kind, rows in overall.groupby("comparison")}
    shown = [averages.get(kind) for kind in kinds]
    sheet.lines += [RULE, Line(("Average", "of tasks"), tuple(difference_cell(row) for row in shown))]
    found_on_average = [Cell(number(float(row["detectable"])) if row is not None else "") for row in shown]
    median = rows.groupby("comparison")["detectable"].median()
    on_a_task = [Cell(number(float(median.get(kind, float("nan"))))) for kind in kinds]
    sheet.lines.append(Line(("Detectable", "average"), tuple(found_on_average)))
    sheet.lines.append(Line(("Detectable", "one task"), tuple(on_a_task)))
    texts = [task.title for task in inputs.tasks.values() if task.answer == "text" and task.name in set(rows["task"])]
    sheet.notes = [
        inputs.provenance(),
        *([f"{', '.join(texts)}: the first metric, in its own points, and no part of the average."] if texts else []),
        "Tasks with two metrics are compared by their mean. Intervals and tests count seeds and rows; no test where a method "
        "that has seeds was run once. * p < .05, Holm-corrected over the column (averages: over all comparisons' averages). "
        "The average leaves out tasks that are scored with another task's runs. Detectable: the smallest true difference that "
        "would be found with 80 % power after correction (one task: the median). comparisons.csv and overall.csv hold every "
        "p-value and the remaining comparisons.",
    ]
    return sheet


def comparison_title(inputs: Inputs, kind: str) -> tuple[str, str]:
    """Header lines of a comparison such as `ppo vs sft (st)`."""
    names, _, mixture = kind.partition(" (")
    a, _, b = names.partition(" vs ")
    a = MethodRow(a, {"st)": "st", "mt)": "mt"}.get(mixture, "none")).label
    return f"{a} −", inputs.title(b) if b in inputs.models else MethodRow(b, "none").label


def variants_sheet(inputs: Inputs) -> Sheet:
    """Runs of named variants against the main runs of the same method, model and mixture."""
    title = "Variants: what a protocol or budget switch does, as the difference from the main run."
    sheet = Sheet(
        "variants",
        title,
        ("Variant", "Model", "Method", "Task"),
        [("Main", ""), ("Variant", ""), ("Difference", ""), ("Seeds", "")],
        quiet=True,
    )
    m = inputs.metrics[~inputs.metrics["variant"].isin([MAIN_VARIANT, *DISCREPANCIES])]
    for (variant, model, method, kind, name), rows in parts(m, "variant", "model", "method", "mixture_kind", "task"):
        task, row = inputs.tasks.get(name), MethodRow(method, kind)
        if task is None:
            continue
        gap = inputs.score(model, row, task, variant) - inputs.score(model, row, task)
        cells = (
            own_cell(inputs, model, row, task),
            own_cell(inputs, model, row, task, variant),
            Cell(number(gap, sign=True)),
        )
        sheet.lines.append(
            Line((variant, inputs.title(model), row.label, task.title), (*cells, Cell(str(rows["seed"].nunique()))))
        )
    sheet.notes = [inputs.provenance(), MARK_NOTES]
    return sheet


def headline_gains(inputs: Inputs) -> dict[str, float]:
    """By paper, the gain that it prints first: PPO over SFT on GLUE (test server), RLLR over SFT (mean over models and tasks)."""
    table = inputs.printed("1")
    table = table[(table["task"] == "average") & (table["model"] == "llama2-7b-chat") & (table["mixture_kind"] == "st")]
    averages = table.set_index("method")["value"]
    gains = inputs.published[inputs.published["paper"] == PAPER_2].set_index("method")["value"]
    return {PAPER_1: float(averages["ppo"] - averages["sft"]), PAPER_2: float(gains["rllr - sft"])}


def discrepancy_effects(inputs: Inputs) -> pd.DataFrame:
    """Rows of effects.csv about the papers' known discrepancies: with their `paper`, in the order of the tables."""
    found = inputs.effects[inputs.effects["variant"].isin(DISCREPANCIES)]
    places = {
        column: {name: place for place, name in enumerate(names)}
        for column, names in (("variant", DISCREPANCIES), ("method", METHODS), ("task", inputs.tasks))
    }
    found = found.assign(paper=[DISCREPANCIES[variant][0] for variant in found["variant"]])
    by = [found[column].map(places[column]) for column in ("variant", "method", "task")]
    return found.assign(**{f"place{n}": place for n, place in enumerate(by)}).sort_values(
        ["place0", "place1", "place2", "model"], ignore_index=True
    )


def effects_sheet(inputs: Inputs) -> Sheet:
    """What each known discrepancy of the papers does to a score, all else equal, beside the gains that they print."""
    title = "Effects of the papers' discrepancies, in points: each with and without, on the same seeds and rows."
    heads = ("Discrepancy", "Model", "Method", "Task")
    columns = [("Without", ""), ("With", ""), ("Effect", ""), ("p", "corrected"), ("Seeds", "")]
    sheet = Sheet("effects", title, heads, columns, size="scriptsize", quiet=True)
    gains = headline_gains(inputs)
    printed = {
        PAPER_1: ("Printed: PPO − SFT", "LLaMA2-7B-chat", "ST", "GLUE average"),
        PAPER_2: ("Printed: RLLR − SFT", "five models", "MT", "mean of eight"),
    }
    for paper, rows in discrepancy_effects(inputs).groupby("paper", sort=False):
        for _, row in rows.iterrows():
            method = MethodRow(row["method"], row["mixture_kind"]).label
            cells = (
                Cell(number(row["main"])),
                Cell(number(row["value"])),
                difference_cell(row),
                Cell(number(row["p_holm"], 3)),
                Cell(str(row["seeds"])),
            )
            names = (DISCREPANCIES[row["variant"]][1], inputs.title(row["model"]), method)
            sheet.lines.append(Line((*names, inputs.tasks[row["task"]].title), cells))
        gain = Cell(number(gains[str(paper)], 2 if paper == PAPER_2 else 1, sign=True))
        sheet.lines += [Line(printed[str(paper)], (Cell(), Cell(), gain, Cell(), Cell()), "paper"), RULE]
    sheet.notes = [
        inputs.provenance(),
        "Without: the corrected protocol; with: the one switch is set as in the release (as in the text, for rewards and the "
        "schedule). Brackets: 95 % interval; * p < .05, Holm-corrected within the discrepancy. Numbers are compared by each "
        "task's own metrics. Grey: what the papers print, on other data and models.",
    ]
    return sheet
