"""Scores of methods on tasks: paper 1's Tables 1, 2, 9, 10 and 12, and tasks outside of its suites."""

from __future__ import annotations

import pandas as pd

from ...scores.collect import MAIN_VARIANT
from ..cells import ABSENT, MARK_NOTES, interval_cell, mean_cell, number
from ..inputs import Inputs, parts
from ..names import BASELINES, LABEL_ROWS, METRIC_TITLES, MODEL_FAMILIES, MethodRow, family
from ..published import AVERAGES, PAPER_1
from ..typeset import Cell, Line, Sheet
from .board import RULE, Board, Entry, difference_lines, entry_lines, or_none, rows_scored, task_columns

PRINTED_ROWS = (MethodRow("ppo", "st"), MethodRow("sft", "st"))
"""The methods whose validation scores the paper prints."""


def glue_sheet(inputs: Inputs) -> Sheet:
    """Paper 1, Table 1."""
    return suite_sheet(inputs, "glue", "1", "GLUE: reproduced scores beside the paper's Table 1.")


def superglue_sheet(inputs: Inputs) -> Sheet:
    """Paper 1, Table 10."""
    return suite_sheet(inputs, "superglue", "10", "SuperGLUE: reproduced scores beside the paper's Table 10.")


def suite_sheet(inputs: Inputs, suite: str, table: str, title: str) -> Sheet:
    """Tables 1 and 10: methods by tasks."""
    board, blocks = suite_board(inputs, suite, table)
    columns = task_columns(inputs, board.tasks)
    for name, some in (("Avg.", board.averaged), ("Common", board.common)):
        columns += [(name, f"of {len(some)}")] if some else []
    sheet = Sheet(suite, title, ("Method", "Source"), columns, size="scriptsize")
    sheet.lines += rows_scored(board)
    for block in blocks:
        sheet.lines += [*entry_lines(board, block), RULE]
    mains = inputs.decoders("main")
    paper = next((e.paper for e in blocks[2] if e.paper), None)
    sheet.lines += difference_lines(board, mains, paper)
    sheet.notes = [inputs.provenance()]
    if mains:
        sheet.notes.append(
            f"Ours: {', '.join(map(inputs.title, mains))}; grey: paper 1's Table {table} (official test server)."
        )
    sheet.notes.append(
        f"Avg.: mean over {', '.join(t.title for t in board.averaged)}, two-metric tasks averaged first."
    )
    if board.common:
        sheet.notes.append(
            f"Common: mean over the tasks that every reproduced decoder row with a printed one beside it has ({', '.join(t.title for t in board.common)})."
        )
    if mains:
        sheet.notes += [
            MARK_NOTES,
            "Bold: highest of the reproduced decoder rows with seeds enough for a test, and those that the test doesn't tell from it "
            "(Holm-corrected over the rows). * PPO and SFT differ, Holm-corrected p < .05 over seeds and rows.",
        ]
    return sheet


def suite_board(inputs: Inputs, suite: str, table: str) -> tuple[Board, list[list[Entry]]]:
    """The board of a suite, and its entries in blocks: baselines, encoders, decoders."""
    tasks, printed = inputs.of_suite(suite), inputs.printed(table)
    averaged = [t for t in tasks if t.name in AVERAGES[PAPER_1, table]]
    mains = inputs.decoders("main")
    papers = list(dict.fromkeys(printed["model"]))
    by_family = {family(m): m for m in reversed(papers)}
    baselines = [Entry(MethodRow(method, "none"), m) for m in mains[:1] for method in BASELINES]
    encoders = []
    for kind in ("st", "mt"):
        encoders += [
            Entry(MethodRow("encoder", kind), m, by_family.get(family(m)) if kind == "st" else None)
            for m in inputs.encoders()
        ]
    taken = {entry.paper for entry in encoders}
    rest = dict.fromkeys(printed.loc[printed["method"] == "encoder", "model"])
    encoders += [Entry(MethodRow("encoder", "st"), None, m) for m in rest if m not in taken]
    decoders = []
    for row in LABEL_ROWS:
        for place, model in enumerate(or_none(mains)):
            label = row.label if len(mains) < 2 else f"{row.label}, {inputs.title(model or '')}"
            decoders.append(Entry(row, model, by_family.get("llama") if place == 0 else None, label))
    board = Board(inputs, tasks, averaged, [], printed)
    entries = [entry for block in (baselines, encoders, decoders) for entry in block if board.has_own(entry)]
    told = set(zip(printed["method"], printed["mixture_kind"], strict=True))
    trained = [e for e in entries if e.row in LABEL_ROWS and (e.row.method, e.row.kind) in told]
    common = [t for t in averaged if all((s := inputs.score(e.model or "", e.row, t)) == s for e in trained)]
    if trained and 0 < len(common) < len(averaged):
        board = Board(inputs, tasks, averaged, common, printed)
    return board, [baselines, encoders, decoders]


def other_models_sheet(inputs: Inputs) -> Sheet:
    """Table 2: every decoder on STS-B and COPA."""
    tasks, printed = [inputs.tasks[name] for name in ("stsb", "copa")], inputs.printed("2")
    board = Board(inputs, tasks, [], [], printed)
    sheet = Sheet(
        "other-models",
        "Other decoders on STS-B and COPA, against the paper's Table 2.",
        ("Model", "Method", "Source"),
        task_columns(inputs, tasks),
    )
    papers = list(dict.fromkeys(printed["model"]))
    own = [*inputs.encoders(), *inputs.decoders("main"), *inputs.decoders("other")]
    order = [*(f for f in MODEL_FAMILIES if any(family(m) == f for m in [*papers, *own])), None]
    for name in order:
        fits = [m for m in own if (family(m) == name if name else family(m) not in MODEL_FAMILIES)]
        paper = next((m for m in papers if family(m) == name), None)
        for row in (MethodRow("encoder", "st"), *LABEL_ROWS):
            for place, model in enumerate(or_none(fits)):
                entry = Entry(row, model, paper if place == 0 else None, row.label)
                for line in entry_lines(board, [entry]):
                    who = (paper if line.kind == "paper" else model) or ""
                    method = "Fine-tuned" if row.method == "encoder" else row.label
                    sheet.lines.append(Line((inputs.title(who), method, line.heads[1]), line.cells, line.kind))
        sheet.lines.append(RULE)
    sheet.notes = [
        inputs.provenance(),
        "The paper prints no SFT row here.",
        *([MARK_NOTES] if not inputs.metrics.empty else []),
    ]
    return sheet


def other_tasks_sheet(inputs: Inputs) -> Sheet:
    """Tasks outside the papers' suites (a user's own), and transfer to tasks that a run was not trained on."""
    m = inputs.metrics
    m = m[
        (m["variant"] == MAIN_VARIANT)
        & (~m["suite"].isin(["glue", "superglue", "rllr", "generation"]) | (m["mixture_kind"] == "transfer"))
    ]
    names = [t for t in inputs.tasks.values() if t.name in set(m["task"])]
    sheet = Sheet(
        "other-tasks",
        "Other tasks, and transfer.",
        ("Model", "Method", "Trained on"),
        task_columns(inputs, names),
        quiet=True,
    )
    for (model, method, kind, mixture), rows in parts(m, "model", "method", "mixture_kind", "mixture"):
        cells = []
        for task in names:
            mine = rows[(rows["task"] == task.name)]
            means = [mine.loc[mine["metric"] == metric, "value"].mean() for metric in task.columns]
            cells.append(Cell("/".join(number(float(v)) or ABSENT for v in means) if len(mine) else ""))
        trained = inputs.tasks[mixture].title if mixture in inputs.tasks else mixture
        sheet.lines.append(
            Line(
                (inputs.title(model), MethodRow(method, "none").label, "–" if kind == "none" else trained), tuple(cells)
            )
        )
    sheet.notes = [inputs.provenance(), MARK_NOTES]
    return sheet


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
