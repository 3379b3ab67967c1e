"""Tables of what the scores stand on: budgets, invalid answers, variants, data, audits, and the rest of the paper's print."""

from __future__ import annotations

import pandas as pd

from ...scores.collect import MAIN
from ..inputs import KINDS, MARKS, METHODS, PAPER, Inputs, Row, number, own_cell, parts
from ..published import recomputed_averages
from ..typeset import Cell, Line, Sheet, tex
from .scores import RULE, task_columns


def spread(values: pd.Series, digits: int = 0) -> Cell:
    """The one value of a group of runs, or its least and greatest."""
    known = values.dropna().astype(float)
    if known.empty:
        return Cell()
    low, high = (f"{v:,.{digits}f}" for v in (known.min(), known.max()))
    return Cell(low if low == high else f"{low}–{high}")


def budgets_sheet(inputs: Inputs) -> Sheet:
    """What each method was given: prompts, optimiser steps, tokens, tuning candidates, time."""
    columns = [
        ("Runs", ""), ("Candidates", "a run"), ("Prompts seen", "a run"), ("Optimiser steps", "a run"),
        ("Tokens trained", "thousands"), ("Tokens sampled", "thousands"), ("Training", "seconds"), ("Peak memory", "MB"),
    ]  # fmt: skip
    title = "Budgets: what each method was given to learn from, and what it cost."
    sheet = Sheet("budgets", title, ("Model", "Method"), columns)
    trained = inputs.runs[inputs.runs["mixture_kind"].isin(["st", "mt", "transfer"])]
    order = {name: place for place, name in enumerate(METHODS)}
    groups = sorted(
        parts(trained, "model", "method", "mixture_kind", "variant"),
        key=lambda g: (g[0][0], g[0][3] != MAIN, g[0][3], order.get(g[0][1], 99), g[0][2] != "st"),
    )
    for (model, method, kind, variant), runs in groups:
        label = METHODS.get(method, method) + KINDS[kind] + ("" if variant == MAIN else f" ({variant})")
        cells = [
            Cell(str(len(runs))),
            spread(runs["candidates"]),
            spread(runs["prompts_seen"]),
            spread(runs["optimiser_steps"]),
            spread(runs["tokens_trained"] / 1000, 1),
            spread(runs["tokens_generated"] / 1000, 1),
            spread(runs["seconds"], 1),
            spread(runs[["peak_cpu_mb", "peak_gpu_mb"]].astype(float).max(axis=1)),
        ]
        sheet.lines.append(Line((inputs.title(model), label), tuple(cells)))
    sheet.notes = [
        inputs.provenance(),
        "Candidates: learning rates that were trained and compared on a carve of train; the other columns are of the one that "
        "was kept. A range is the least and the greatest over runs. An optimiser step of PPO is one minibatch of one of its "
        "passes over a roll-out; tokens trained count every pass, prompt tokens included.",
    ]
    return sheet


def invalid_sheet(inputs: Inputs) -> Sheet:
    """Share of answers that the parser could not read, per method."""
    m = inputs.metrics[
        (inputs.metrics["variant"] == MAIN) & inputs.metrics["method"].isin(["zero-shot", "few-shot", "sft", "ppo"])
    ]
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
        sheet.lines.append(Line((inputs.title(model), Row(method, kind).label), cells))
    sheet.notes = [
        inputs.provenance(),
        "An answer that cannot be read is wrong; it is never replaced by a guess unless a variant says so.",
    ]
    return sheet


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
    m = inputs.metrics[inputs.metrics["variant"] != MAIN]
    for (variant, model, method, kind, name), rows in parts(m, "variant", "model", "method", "mixture_kind", "task"):
        task, row = inputs.tasks.get(name), Row(method, kind)
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
    sheet.notes = [inputs.provenance(), MARKS]
    return sheet


def other_tasks_sheet(inputs: Inputs) -> Sheet:
    """Tasks outside the papers' suites (a user's own), and transfer to tasks that a run was not trained on."""
    m = inputs.metrics
    m = m[
        (m["variant"] == MAIN) & (~m["suite"].isin(["glue", "superglue", "rllr"]) | (m["mixture_kind"] == "transfer"))
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
            cells.append(Cell("/".join(number(float(v)) for v in means) if len(mine) else ""))
        trained = inputs.tasks[mixture].title if mixture in inputs.tasks else mixture
        sheet.lines.append(
            Line((inputs.title(model), Row(method, "none").label, "–" if kind == "none" else trained), tuple(cells))
        )
    sheet.notes = [inputs.provenance(), MARKS]
    return sheet


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


def averages_sheet(inputs: Inputs) -> Sheet:
    """The paper's printed averages against the means of its own cells."""
    title = "The paper's printed averages, recomputed from its own cells."
    sheet = Sheet(
        "averages",
        title,
        ("Table", "Model", "Method"),
        [("Printed", ""), ("Recomputed", ""), ("Tasks", ""), ("Verdict", "")],
    )
    found = recomputed_averages(inputs.published[inputs.published["paper"] == PAPER])
    for _, row in found.iterrows():
        method = METHODS.get(row["method"], row["method"]) + KINDS[row["mixture_kind"]]
        bad = row["verdict"] in ("misprint", "truncated")
        cells = (
            Cell(row["printed"]),
            Cell(f"{float(row['recomputed']):.2f}"),
            Cell(str(row["tasks"])),
            Cell(row["verdict"], bold=bad),
        )
        sheet.lines.append(
            Line(
                (row["table"], inputs.title(row["model"]), "Fine-tuned" if row["method"] == "encoder" else method),
                cells,
            )
        )
    sheet.notes = [
        "Two-metric tasks are averaged first. Which tasks an average covers was found by trying: captions are vague."
    ]
    return sheet


TRANSFER_TITLES = {
    "financial-phrasebank": "Financial PhraseBank", "labelled-financial-news": "Labelled Financial News",
    "mental-health": "Mental Health", "emotion": "Emotion", "babi-nli": "Babi-nli", "siga-nli": "SIGA-nli", "average": "Average",
}  # fmt: skip


def transfer_sheet(inputs: Inputs) -> Sheet:
    """Tables 4 and 8: zero-shot transfer, as printed."""
    scores, bounds = inputs.printed("4"), inputs.printed("8")
    who = [("llama2-7b-chat", "ppo"), ("llama2-13b-chat", "ppo"), ("gpt-4o", "zero-shot")]
    columns = [(inputs.title(model), Row(method, "none").label) for model, method in who]
    sheet = Sheet(
        "published-transfer",
        "Zero-shot transfer as printed in the paper's Tables 4 and 8 (accuracy); not reproduced here.",
        ("Data set",),
        columns,
    )
    for task, title in TRANSFER_TITLES.items():
        cells = []
        for model, method in who:
            value = scores[(scores["task"] == task) & (scores["model"] == model) & (scores["method"] == method)]
            bound = bounds[(bounds["task"] == task) & (bounds["model"] == model)]
            below = f"[{bound['low_printed'].iloc[0]}, {bound['high_printed'].iloc[0]}]" if len(bound) else ""
            cells.append(Cell(value["value_printed"].iloc[0], below))
        sheet.lines += [*([RULE] if task == "average" else []), Line((title,), tuple(cells), "paper")]
    sheet.notes = [
        "Sentiment models were trained on SST-2, inference models on MNLI. Label maps, subsets and GPT-4o's prompt are not stated."
    ]
    return sheet


OTHER_PRINT = (
    ("5", "Amazon reviews, accuracy", "amazon-reviews", "accuracy"), ("6", "WikiText-2, perplexity", "wikitext-2", "perplexity"),
    ("11", "SQuAD, exact match", "squad", "em"), ("11", "SQuAD, F1", "squad", "f1"),
)  # fmt: skip


def other_print_sheet(inputs: Inputs) -> Sheet:
    """Tables 5, 6 and 11, as printed."""
    who = ("zero-shot", "sft", "ppo")
    columns = [("Not tuned", ""), ("SFT", ""), ("PPO", "")]
    title = "LLaMA2-7B-chat as printed in the paper's Tables 5, 6 and 11; not reproduced here."
    sheet = Sheet("published-other", title, ("Table", "Quantity"), columns)
    for table, label, task, metric in OTHER_PRINT:
        rows = inputs.printed(table)
        rows = rows[(rows["task"] == task) & (rows["metric"] == metric)].set_index("method")
        cells = []
        for method in who:
            one = rows.loc[method] if method in rows.index else None
            text = "" if one is None else str(one["value_printed"])
            below = "" if one is None or not one["low_printed"] else f"[{one['low_printed']}, {one['high_printed']}]"
            cells.append(Cell(text, below))
        sheet.lines.append(Line((table, label), tuple(cells), "paper"))
    sheet.notes = ["Tuned on SST-2, except SQuAD (tuned on SQuAD). A dash is a value that the paper does not print."]
    return sheet


def task_notes(inputs: Inputs) -> str:
    """The appendix' list of tasks: metrics, label words, the query as it is asked, and the task file's note; LaTeX."""
    lines = [
        "% Written by workflow/scripts/tables.py: task-notes",
        r"\begin{description}\footnotesize\setlength{\itemsep}{0pt}",
    ]
    for task in inputs.tasks.values():
        words = ", ".join(task.words) if task.words else f"a number from {task.low:g} to {task.high:g}"
        facts = [f"{', '.join(task.columns)}; answers: {words}."]
        if task.trained_with:
            facts.append(f"Scored with the runs of {inputs.tasks[task.trained_with].title}.")
        facts += [f"Asked: {task.query}", *([task.note.strip()] if task.note.strip() else [])]
        lines.append(rf"\item[{tex(task.title)}] " + " ".join(tex(fact) for fact in facts))
    return "\n".join([*lines, r"\end{description}", ""])
