"""Rows of the tasks, what they ask, and answers that could not be read."""

from __future__ import annotations

from ...config import METHODS
from ...scores.collect import MAIN_VARIANT
from ..cells import number
from ..inputs import Inputs, parts
from ..names import LABEL_METHODS, MethodRow
from ..typeset import Cell, Line, Sheet, tex


def data_sheet(inputs: Inputs) -> Sheet:
    """Rows of each task and split, as prepared."""
    columns = [("Source", ""), ("Train", ""), ("Validation", ""), ("Reported", ""), ("Dropped", "")]
    sheet = Sheet("data", "Rows of each task as prepared, caps applied.", ("Suite", "Task"), columns)
    by_task = {str(row["task"]): row for _, row in inputs.data.iterrows()}
    for task in inputs.tasks.values():
        if (row := by_task.get(task.name)) is not None:
            counts = [Cell(f"{int(row[split]):,}") for split in ("train", "validation", "test", "dropped")]
            sheet.lines.append(Line((task.suite, task.title), (Cell(str(row["source"])), *counts)))
    sheet.notes = [
        inputs.provenance(),
        "Validation is carved from train and decides every choice; the reported split decides none. A task without training "
        "rows is scored with the runs of the task that trains for it.",
    ]
    return sheet


def invalid_sheet(inputs: Inputs) -> Sheet:
    """Share of answers that the parser could not read, per method."""
    m = inputs.metrics[(inputs.metrics["variant"] == MAIN_VARIANT) & inputs.metrics["method"].isin(LABEL_METHODS)]
    m = m.drop_duplicates(["model", "method", "mixture", "seed", "task"])
    columns = [("Runs × tasks", ""), ("Mean", "% of rows"), ("Highest", "% of rows"), ("Highest on", "")]
    sheet = Sheet(
        "invalid", "Answers that the one parser of reward and score could not read.", ("Model", "Method"), columns
    )
    order = {name: place for place, name in enumerate(METHODS)}
    groups = sorted(
        parts(m, "model", "method", "mixture_kind"), key=lambda g: (g[0][0], order[g[0][1]], g[0][2] != "st")
    )
    for (model, method, kind), rows in groups:
        rates = rows["invalid_rate"].astype(float) * 100
        worst = str(rows["task"].iloc[int(rates.to_numpy().argmax())]) if rates.max() > 0 else ""
        name = inputs.tasks[worst].title if worst in inputs.tasks else worst
        cells = (
            Cell(str(len(rows))),
            Cell(number(float(rates.mean()), 2)),
            Cell(number(float(rates.max()))),
            Cell(str(name)),
        )
        sheet.lines.append(Line((inputs.title(model), MethodRow(method, kind).label), cells))
    sheet.notes = [
        inputs.provenance(),
        "An answer that cannot be read is wrong; it is never replaced by a guess unless a variant says so.",
    ]
    return sheet


def task_notes(inputs: Inputs) -> str:
    """The appendix' list of tasks: metrics, what is answered, the query as it is asked, the task file's note, and what is
    other than usual in its generated rows; LaTeX.
    """
    lines = [
        "% Written by workflow/scripts/tables.py: task-notes",
        r"\begin{description}\footnotesize\setlength{\itemsep}{0pt}",
    ]
    for task in inputs.tasks.values():
        lengths = dict.fromkeys([task.least_tokens, task.most_tokens])
        answers = {
            "labels": ", ".join(task.words),
            "number": f"a number from {task.low:g} to {task.high:g}",
            "text": f"a text of {' to '.join(map(str, lengths))} tokens",
        }
        facts = [f"{', '.join(task.columns)}; answers: {answers[task.answer]}."]
        if task.trained_with:
            facts.append(f"Scored with the runs of {inputs.tasks[task.trained_with].title}.")
        facts += [f"Asked: {task.query}", *([task.note.strip()] if task.note.strip() else [])]
        if (generated := task.sources.microworld) and (stated := {**generated.knobs, **generated.lengths}):
            facts.append(f"Microworld: {', '.join(f'{name} = {value:g}' for name, value in stated.items())}.")
        lines.append(rf"\item[{tex(task.title)}] " + " ".join(tex(fact) for fact in facts))
    return "\n".join([*lines, r"\end{description}", ""])
