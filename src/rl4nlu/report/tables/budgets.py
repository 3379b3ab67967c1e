"""What training was given and what it cost: paper 1's Table 3, the budgets of all runs, and what choosing learning rates took."""

from __future__ import annotations

import pandas as pd

from ...config import METHODS, TRAINED_METHODS
from ...scores.collect import MAIN_VARIANT
from ..cells import MARK_NOTES, number, range_cell
from ..inputs import Inputs, parts
from ..names import LABEL_METHODS, MethodRow
from ..published import AVERAGES, PAPER_1
from ..typeset import Cell, Line, Sheet
from .board import Board, Entry, entry_lines, or_none, task_columns


def cost_sheet(inputs: Inputs) -> Sheet:
    """Table 3: scores of five tasks and the time that one batch of sixteen prompts takes to train on."""
    tasks = [inputs.tasks[name] for name in AVERAGES[PAPER_1, "3"]]
    board = Board(inputs, tasks, tasks, [], inputs.printed("3"))
    columns = [*task_columns(inputs, tasks), ("Avg.", "of 5"), ("s / 16 prompts", "training")]
    sheet = Sheet(
        "cost",
        "Score and cost per step of the fine-tuning methods, against the paper's Table 3.",
        ("Method", "Source"),
        columns,
    )
    mains = inputs.decoders("main")
    for row in [MethodRow(name, "st") for name in LABEL_METHODS if name in TRAINED_METHODS]:
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
        "runs of the method (some answer a prompt several times); other hardware, so only ratios between rows compare.",
        *([MARK_NOTES] if not inputs.metrics.empty else []),
    ]
    return sheet


def seconds_per_batch(inputs: Inputs, model: str, row: MethodRow, batch: int = 16) -> float:
    """Training seconds per `batch` prompts seen, mean over a method's runs; NaN where none is recorded."""
    r = inputs.runs
    r = r[
        (r["model"] == model) & (r["method"] == row.method) & (r["mixture_kind"] == row.kind) & (r["variant"] == "main")
    ]
    return (
        float((r["seconds"].astype(float) / r["prompts_seen"].astype(float) * batch).mean()) if len(r) else float("nan")
    )


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
        key=lambda g: (g[0][0], g[0][3] != MAIN_VARIANT, g[0][3], order[g[0][1]], g[0][2] != "st"),
    )
    for (model, method, kind, variant), runs in groups:
        label = MethodRow(method, kind).label + ("" if variant == MAIN_VARIANT else f" ({variant})")
        cells = [
            Cell(str(len(runs))),
            range_cell(runs["candidates"]),
            range_cell(runs["prompts_seen"]),
            range_cell(runs["optimiser_steps"]),
            range_cell(runs["tokens_trained"] / 1000, 1),
            range_cell(runs["tokens_generated"] / 1000, 1),
            range_cell(runs["seconds"], 1),
            range_cell(runs[["peak_cpu_mb", "peak_gpu_mb"]].astype(float).max(axis=1)),
        ]
        sheet.lines.append(Line((inputs.title(model), label), tuple(cells)))
    sheet.notes = [
        inputs.provenance(),
        "Candidates: learning rates among which one was chosen on a carve of train, by the run itself or by that of one seed for "
        "all (Table “Tuning”, with their cost); the other columns are of the training with the one that was kept. A range is the least and the greatest over runs. An optimiser step of PPO is one minibatch of one of its "
        "passes over a roll-out; tokens trained count every pass, prompt tokens included.",
    ]
    return sheet


ADDRESS = ("model", "method", "mixture", "variant", "seed")


def compared_candidates(inputs: Inputs) -> pd.DataFrame:
    """Rows of candidates.csv of runs that chose among several learning rates."""
    found = inputs.candidates
    return found[found.groupby(list(ADDRESS))["learning_rate"].transform("size") > 1]


def rate_text(rate: float) -> str:
    """A learning rate as people write it: 3e-4, 1.5e-3."""
    digits, _, exponent = f"{rate:.1e}".partition("e")
    return f"{digits.removesuffix('.0')}e{int(exponent)}"


def tuning_sheet(inputs: Inputs) -> Sheet:
    """The validation score of every candidate learning rate, the chosen one, and the cost of all in tokens and CPU-seconds."""
    columns = [
        ("Validation score", "at each learning rate"), ("Chosen", ""), ("Tokens trained", "thousands"),
        ("Tokens sampled", "thousands"), ("CPU-seconds", "of tuning"), ("Seed", "that chose"),
    ]  # fmt: skip
    title = "Tuning: validation score of every candidate learning rate, and what trying them cost."
    sheet = Sheet("tuning", title, ("Model", "Method", "Trained on"), columns, size="scriptsize")
    methods, mixtures = ({name: at for at, name in enumerate(known)} for known in (METHODS, inputs.tasks))
    groups = sorted(
        parts(compared_candidates(inputs), *ADDRESS),
        key=lambda g: (g[0][0], methods[g[0][1]], g[0][3] != MAIN_VARIANT, mixtures.get(g[0][2], len(mixtures)), g[0]),
    )
    for (model, method, mixture, variant, seed), tried in groups:
        label = METHODS[method].title + ("" if variant == MAIN_VARIANT else f" ({variant})")
        scores = [
            f"{rate_text(rate)}: {number(score) or 'diverged'}"
            for rate, score in zip(tried["learning_rate"], tried["validation"], strict=True)
        ]
        cells = [
            Cell(", ".join(scores)),
            Cell(rate_text(tried.loc[tried["chosen"], "learning_rate"].iloc[0])),
            Cell(f"{tried['tokens_trained'].sum() / 1000:,.0f}"),
            Cell(f"{tried['tokens_generated'].sum() / 1000:,.0f}"),
            Cell(f"{tried['cpu_seconds'].sum():,.0f}"),
            Cell(seed),
        ]
        task = inputs.tasks.get(mixture)
        sheet.lines.append(Line((inputs.title(model), label, task.title if task else mixture), tuple(cells)))
    sheet.notes = [
        inputs.provenance(),
        "Every candidate is trained from scratch by the run of the seed that is named; the best on a carve of train is kept (the "
        "first of equals), and runs of other seeds train once with it. The score is the task's first metric, or the mean over "
        "the tasks of their first metrics; of reward models, the share of held-out pairs told apart; in percent. Tokens (of all "
        "passes) and CPU-seconds are of all candidates together, but for those that diverged, without validation. Runs whose "
        "settings name one learning rate were not tuned, and are not listed.",
    ]
    return sheet
