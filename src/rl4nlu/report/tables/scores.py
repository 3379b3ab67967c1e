"""The paper's score tables: each reproduced row above the printed row that it answers to.

Every table is a function from the collected files to a `Sheet`, which `typeset.py` spells as LaTeX, CSV and Markdown.
With no metrics (config `source: published`) the same functions show the printed numbers alone. Tables of what the
numbers stand on (budgets, data, audits, the rest of the paper's print) are in `tables_records.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from ...config import RATIONALE_METHODS
from ...tasks.task import Task
from ..inputs import BASELINES, GRID, MARKS, PAPER, SHORT, Inputs, Row, average, family, number, own_cell
from ..published import AVERAGES
from ..typeset import Cell, Line, Sheet

RULE = Line(kind="rule")
PPO_SFT = tuple((Row("ppo", kind), Row("sft", kind)) for kind in ("st", "mt"))
"""The comparison that the paper is about, single-task and multi-task."""

SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Entry:
    """A method's place in a table: our model's row, the paper's model's row, or both."""

    row: Row
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
            "/".join(SHORT.get(m, m) for m in t.columns),
        )
        for t in tasks
    ]


def own_line(board: Board, entry: Entry, label: str) -> Line:
    """An entry's reproduced row, with the averages of the board."""
    model = entry.model or ""
    cells = [own_cell(board.inputs, model, entry.row, t, bold=_leads(board, model, entry.row, t)) for t in board.tasks]
    for some in filter(None, (board.averaged, board.common)):
        cells.append(average([board.inputs.score(model, entry.row, t) for t in some]))
    return Line((label, "ours"), tuple(cells))


def _leads(board: Board, model: str, row: Row, task: Task) -> bool:
    """Whether no other reproduced row of this model is higher on the task's first metric."""
    scores = {r: pd.Series(board.inputs.first(model, r, task), dtype=float).mean() for r in GRID}
    known = [s for s in scores.values() if s == s]
    return row in scores and len(known) > 1 and scores[row] >= max(known) - 1e-9


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
        cells.append(average([board.paper_score(entry, t) for t in board.common]))
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
    """PPO less SFT, ours (with a star where the corrected paired test is below .05) and the paper's."""
    lines: list[Line] = []
    for a, b in PPO_SFT:
        label = f"{a.label} − {b.label}"
        for model in models:
            if not (board.has_own(Entry(a, model)) and board.has_own(Entry(b, model))):
                continue
            gaps = {t.name: board.inputs.score(model, a, t) - board.inputs.score(model, b, t) for t in board.tasks}
            tested = board.inputs.comparisons
            tested = tested[(tested["comparison"] == f"ppo vs sft ({a.kind})") & (tested["model_a"] == model)]
            stars = set(tested.loc[tested["p_holm"] < SIGNIFICANT, "task"])
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


def suite_board(inputs: Inputs, suite: str, table: str) -> tuple[Board, list[list[Entry]]]:
    """The board of a suite, and its entries in blocks: baselines, encoders, decoders."""
    tasks, printed = inputs.of_suite(suite), inputs.printed(table)
    averaged = [t for t in tasks if t.name in AVERAGES[PAPER, table]]
    mains = inputs.decoders("main")
    papers = list(dict.fromkeys(printed["model"]))
    by_family = {family(m): m for m in reversed(papers)}
    baselines = [Entry(Row(method, "none"), m) for m in mains[:1] for method in BASELINES]
    encoders = []
    for kind in ("st", "mt"):
        encoders += [
            Entry(Row("encoder", kind), m, by_family.get(family(m)) if kind == "st" else None)
            for m in inputs.encoders()
        ]
    taken = {entry.paper for entry in encoders}
    rest = dict.fromkeys(printed.loc[printed["method"] == "encoder", "model"])
    encoders += [Entry(Row("encoder", "st"), None, m) for m in rest if m not in taken]
    decoders = []
    for row in GRID:
        for place, model in enumerate(or_none(mains)):
            label = row.label if len(mains) < 2 else f"{row.label}, {inputs.title(model or '')}"
            decoders.append(Entry(row, model, by_family.get("llama") if place == 0 else None, label))
    board = Board(inputs, tasks, averaged, [], printed)
    entries = [entry for block in (baselines, encoders, decoders) for entry in block if board.has_own(entry)]
    trained = [entry for entry in entries if entry.row in GRID]
    common = [t for t in averaged if all((s := inputs.score(e.model or "", e.row, t)) == s for e in trained)]
    if trained and 0 < len(common) < len(averaged):
        board = Board(inputs, tasks, averaged, common, printed)
    return board, [baselines, encoders, decoders]


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
            f"Common: mean over the tasks that every reproduced decoder row has ({', '.join(t.title for t in board.common)})."
        )
    if mains:
        sheet.notes += [
            MARKS,
            "Bold: highest of the reproduced decoder rows. * PPO and SFT differ, paired test, Holm-corrected p < .05.",
        ]
    return sheet


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
    order = [*(f for f in FAMILY_ORDER if any(family(m) == f for m in [*papers, *own])), None]
    for name in order:
        fits = [m for m in own if (family(m) == name if name else family(m) not in FAMILY_ORDER)]
        paper = next((m for m in papers if family(m) == name), None)
        for row in (Row("encoder", "st"), *GRID):
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
        *([MARKS] if not inputs.metrics.empty else []),
    ]
    return sheet


FAMILY_ORDER = ("bert-base", "bert-large", "llama", "qwen", "mpt")


def cost_sheet(inputs: Inputs) -> Sheet:
    """Table 3: scores of five tasks and the time that one batch of sixteen prompts takes to train on."""
    tasks = [inputs.tasks[name] for name in AVERAGES[PAPER, "3"]]
    board = Board(inputs, tasks, tasks, [], inputs.printed("3"))
    columns = [*task_columns(inputs, tasks), ("Avg.", "of 5"), ("s / 16 prompts", "training")]
    sheet = Sheet(
        "cost",
        "Score and cost per step of the fine-tuning methods, against the paper's Table 3.",
        ("Method", "Source"),
        columns,
    )
    mains = inputs.decoders("main")
    for row in (Row("sft", "st"), Row("ppo", "st"), Row("grpo", "st")):
        for place, model in enumerate(or_none(mains)):
            label = row.label if len(mains) < 2 else f"{row.label}, {inputs.title(model or '')}"
            for line in entry_lines(board, [Entry(row, model, "llama2-7b-chat" if place == 0 else None, label)]):
                if line.kind == "paper":
                    rows = board.paper_rows(Entry(row, paper="llama2-7b-chat"))
                    cost = Cell(rows.loc[rows["metric"] == "seconds-per-step", "value_printed"].iloc[0])
                else:
                    cost = Cell(number(seconds_per_batch(inputs, model or "", row), 3))
                sheet.lines.append(Line(line.heads, (*line.cells, cost), line.kind))
    sheet.notes = [
        inputs.provenance(),
        "Paper: seconds a step of batch 16 on one A100. Ours: training seconds per 16 prompts seen, mean over all single-task "
        "runs of the method (GRPO answers a prompt several times); other hardware, so only ratios between rows compare.",
        *([MARKS] if not inputs.metrics.empty else []),
    ]
    return sheet


def own_average(inputs: Inputs, model: str, row: Row, tasks: Sequence[Task]) -> float:
    """The mean of the tasks' scores; NaN while one is missing."""
    return sum(inputs.score(model, row, task) for task in tasks) / len(tasks)


def seconds_per_batch(inputs: Inputs, model: str, row: Row, batch: int = 16) -> float:
    """Training seconds per `batch` prompts seen, mean over a method's runs; NaN where none is recorded."""
    r = inputs.runs
    r = r[
        (r["model"] == model) & (r["method"] == row.method) & (r["mixture_kind"] == row.kind) & (r["variant"] == "main")
    ]
    return (
        float((r["seconds"].astype(float) / r["prompts_seen"].astype(float) * batch).mean()) if len(r) else float("nan")
    )


def validation_sheet(inputs: Inputs) -> Sheet:
    """Tables 9 and 12: the split that ours is closest to, with intervals over examples; tasks are rows."""
    tasks = [inputs.tasks[name] for name in AVERAGES[PAPER, "9"]]
    rows = [Row("ppo", "st"), Row("sft", "st")]
    printed, base = inputs.printed("9"), inputs.printed("12")
    base = base[base["model"] == "llama2-7b-base"]
    mains = inputs.decoders("main")[:1]
    columns = [
        (f"{r.label} {who}", sub)
        for r in rows
        for who, sub in ((("ours", "mean ± sd"),) if mains else ()) + (("paper", "95 % interval"),)
    ]
    columns.append(("PPO-ST paper", "base model"))
    title = "Single-task PPO and SFT on the reported split, beside the paper's validation scores (its Tables 9 and 12)."
    sheet = Sheet("validation", title, ("Task", "Metric"), columns)
    for task in tasks:
        cells = []
        for row in rows:
            if mains:
                cells.append(interval_cell(inputs, mains[0], row, task))
            found = printed[(printed["task"] == task.name) & (printed["method"] == row.method)].iloc[0]
            cells.append(Cell(found["value_printed"], f"[{found['low_printed']}, {found['high_printed']}]"))
        cells.append(Cell(base.loc[base["task"] == task.name, "value_printed"].iloc[0]))
        mark = "°" if inputs.near_chance(task) else ""
        sheet.lines.append(Line((task.title + mark, SHORT[task.columns[0]]), tuple(cells)))
    cells = []
    for row in rows:
        cells += [average([inputs.score(m, row, t) for t in tasks]) for m in mains]
        mean = printed[(printed["task"] == "average") & (printed["method"] == row.method)]
        cells.append(Cell(mean["value_printed"].iloc[0]))
    cells.append(Cell(base.loc[base["task"] == "average", "value_printed"].iloc[0]))
    sheet.lines += [RULE, Line(("Average", "of 10"), tuple(cells))]
    sheet.notes = [inputs.provenance()]
    if mains:
        sheet.notes.append(
            f"Ours: {inputs.title(mains[0])}; brackets: 95 % bootstrap over rows, bounds averaged over seeds. {MARKS}"
        )
    sheet.notes.append("The paper leaves SFT's average unprinted; its cells give 82.34.")
    return sheet


def interval_cell(inputs: Inputs, model: str, row: Row, task: Task) -> Cell:
    """Mean over seeds ± deviation, and below it the interval over examples."""
    cell = own_cell(inputs, model, row, task)
    values = inputs.values(model, row, task.name, task.columns[0])
    if not cell.text or values["low"].isna().all():
        return cell
    bounds = f"[{number(float(values['low'].mean()))}, {number(float(values['high'].mean()))}]"
    return Cell(f"{cell.text} {cell.below}".strip(), bounds, cell.marks)


def comparisons_sheet(inputs: Inputs) -> Sheet:
    """Paired differences between methods, task by task, with intervals and corrected significance."""
    rows = inputs.comparisons[inputs.comparisons["model_a"].isin(inputs.decoders("main"))]
    rows = rows[(rows["mixture_kind"] != "mt") | (rows["method_b"] == "sft")]
    rows = rows[~rows["method_a"].isin(RATIONALE_METHODS)]  # they have a table of their own
    kinds = list(dict.fromkeys(rows["comparison"]))
    columns = [comparison_title(inputs, kind) for kind in kinds]
    title = "Paired differences on the same rows, in points, with 95 % bootstrap intervals."
    sheet = Sheet("comparisons", title, ("Task", "Metric"), columns)
    tested = {(c, t): f for (c, t), f in rows.groupby(["comparison", "task"])}
    for task in inputs.tasks.values():
        found = [tested.get((kind, task.name)) for kind in kinds]
        if all(f is None for f in found):
            continue
        cells = []
        for frame in found:
            if frame is None:
                cells.append(Cell())
                continue
            one = frame.iloc[0]
            star = "*" if one["p_holm"] < SIGNIFICANT else ""
            bounds = f"[{number(one['low'])}, {number(one['high'])}]" if one["low"] == one["low"] else ""
            cells.append(Cell(number(one["difference"], sign=True), bounds, star))
        metric = next(str(f["metric"].iloc[0]) for f in found if f is not None)
        sheet.lines.append(Line((task.title, "/".join(SHORT.get(m, m) for m in metric.split("+"))), tuple(cells)))
    sheet.notes = [
        inputs.provenance(),
        "Tasks with two metrics are compared by their mean. "
        "* p < .05, Holm-corrected over the column. One pair of runs and accuracy: exact McNemar test; otherwise a permutation "
        "test that exchanges each row's predictions (each group's, where rows belong together) between the methods, all seeds "
        "at once. comparisons.csv holds every p-value and the remaining comparisons.",
    ]
    return sheet


def comparison_title(inputs: Inputs, kind: str) -> tuple[str, str]:
    """Header lines of a comparison such as `ppo vs sft (st)`."""
    names, _, mixture = kind.partition(" (")
    a, _, b = names.partition(" vs ")
    a = Row(a, {"st)": "st", "mt)": "mt"}.get(mixture, "none")).label
    return f"{a} −", inputs.title(b) if b in inputs.models else Row(b, "none").label
