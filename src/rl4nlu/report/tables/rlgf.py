"""The third paper's tables: every metric of the text tasks, and what each roll-in and roll-out is worth beside its cost."""

from __future__ import annotations

import pandas as pd

from ...config import METHODS
from ...scores.collect import MAIN_VARIANT
from ...tasks.task import Task
from ..cells import MARK_NOTES, difference_cell, over_seeds, range_cell
from ..inputs import Inputs
from ..names import METRIC_TITLES, SOURCE_TITLES, MethodRow, method_rows
from ..published import PAPER_3
from ..typeset import Cell, Line, Sheet
from .board import RULE

GENERATION_SUITE = "generation"
GUIDED = tuple(name for name, method in METHODS.items() if method.section == "rlgf")
"""Methods that roll in or out with a guide."""
COMPARED = ("zero-shot", "few-shot", "sft", "sft-rationale", "ppo", *GUIDED)
TEXT_METHODS = tuple(name for name in METHODS if name in {*COMPARED, "random", "grpo", "raft"})
UNREWARDED = ("polarity", "facts")
"""Metrics that no reward sees: what the text says, read off it by the generated language's own grammar."""
SWEEP = "roll-in-"
"""How the names of variants begin that sweep the share of roll-ins; it follows in percent (`config/rlgf-sweeps.yaml`)."""
MEASURED = ["model", "method", "mixture", "variant", "seed"]


def generation_sheet(inputs: Inputs) -> Sheet:
    """Methods by text tasks, with every metric that a task reports; printed cells where the paper's are known."""
    tasks = [task for task in inputs.of_suite(GENERATION_SUITE) if _is_scored(inputs, task)]
    pairs = [(task, metric) for task in tasks for metric in task.metrics]
    columns = [(task.title if metric == task.metrics[0] else "", METRIC_TITLES[metric]) for task, metric in pairs]
    title = "Text tasks: every method by every metric, beside the third paper's two known numbers."
    sheet = Sheet("generation", title, ("Model", "Method", "Source"), columns, size="scriptsize", quiet=True)
    printed = inputs.published[(inputs.published["paper"] == PAPER_3) & (inputs.published["table"] == "main")]
    known = printed.dropna(subset=["value"]).set_index(["task", "metric", "method"])["value_printed"]
    for model in [*inputs.decoders("main"), *inputs.decoders("other")]:
        for row in method_rows(TEXT_METHODS):
            if row.kind == "mt":
                continue
            cells = [_metric_cell(inputs, model, row, task, metric) for task, metric in pairs]
            if any(cell.text for cell in cells):
                sheet.lines.append(Line((inputs.title(model), row.label, "ours"), tuple(cells)))
            said = [known.get((task.name, metric, row.method), "") for task, metric in pairs]
            if model in inputs.decoders("main")[:1] and any(said):
                cells = [Cell(str(value)) for value in said]
                sheet.lines.append(Line(("GPT-J-6B", row.label, "paper"), tuple(cells), "paper"))
        sheet.lines.append(RULE)
    sheet.notes = [
        inputs.provenance(),
        "Perplexity: of the references under the method's own model; output perplexity: of its texts under the foundation model; "
        "both are better when lower. A judge's score is of a classifier that no method trains. Polarity and facts are read off "
        "the text by the generated language's grammar, and no reward sees them. Printed: a reward model's raw score, which no "
        "score of ours can be compared with; all other cells of the paper's tables are not available to us.",
        MARK_NOTES,
    ]
    return sheet


def _is_scored(inputs: Inputs, task: Task) -> bool:
    return bool((inputs.metrics["task"] == task.name).any())


def _metric_cell(inputs: Inputs, model: str, row: MethodRow, task: Task, metric: str) -> Cell:
    """Mean over seeds of one metric, the standard deviation below; the compared one bold where no method is surely better."""
    cell = over_seeds(inputs.values(model, row, task.name, metric)["value"], 1)
    mean = inputs.mean(model, row, task.name, metric)
    return Cell(cell.text, cell.below, "", metric in task.compared and mean is not None and bool(mean["leads"]))


def rlgf_sheet(inputs: Inputs) -> Sheet:
    """By task: what is rewarded and what it stands for, the difference from PPO, KL, the guide's own score, and tokens of both."""
    columns = [
        ("Rewarded", "first metric"), ("− PPO", "first metric"), ("Exact", "never rewarded"), ("KL", "nats a response"),
        ("Guide", "on validation"), ("Tokens", "learner, thousands"), ("Tokens", "guide, thousands"), ("Seeds", ""),
    ]  # fmt: skip
    title = "Reinforcement learning with a guide, on equal prompts: reward, exact metric, KL and cost."
    sheet = Sheet("rlgf", title, ("Task", "Model", "Method"), columns, size="scriptsize", quiet=True)
    m = inputs.metrics
    trained = set(m.loc[m["method"].isin(GUIDED) & (m["variant"] == MAIN_VARIANT), "mixture"])
    last = last_steps(inputs)
    for task in [task for task in inputs.tasks.values() if task.name in trained]:
        for model in [*inputs.decoders("main"), *inputs.decoders("other")]:
            for method in COMPARED:
                row = MethodRow(method, "st" if METHODS[method].module else "none")
                first = inputs.values(model, row, task.name, task.columns[0])["value"]
                if not first.empty:
                    cells = _guided_cells(inputs, model, row, task, last)
                    sheet.lines.append(Line((task.title, inputs.title(model), row.label), tuple(cells)))
        sheet.lines.append(RULE)
    exact = ", ".join(METRIC_TITLES[name] for name in UNREWARDED)
    sheet.notes = [
        inputs.provenance(),
        f"Exact: {exact}, where the task has it; where the reward rises and it falls, the reward is hacked. − PPO: with its 95 % "
        "interval over seeds and rows; * p < .05, Holm-corrected. KL: to the start, of the learner's own tokens in the last "
        "roll-out; guided roll-outs have fewer of them. Guide: its own answers to the validation rows, by the first metric. "
        "Tokens are sampled in training, by the learner and by the guide.",
    ]
    return sheet


def last_steps(inputs: Inputs) -> pd.DataFrame:
    """The last recorded roll-out of every main run that samples from a policy."""
    h = inputs.history
    h = h[(h["variant"] == MAIN_VARIANT) & h["method"].isin(("ppo", *GUIDED))]
    return h.sort_values("step", kind="stable").groupby(MEASURED, as_index=False).last()


def _guided_cells(inputs: Inputs, model: str, row: MethodRow, task: Task, last: pd.DataFrame) -> list[Cell]:
    def own(frame: pd.DataFrame) -> pd.DataFrame:
        return frame[(frame["model"] == model) & (frame["method"] == row.method) & (frame["mixture"] == task.name)]

    runs = own(inputs.runs[inputs.runs["variant"] == MAIN_VARIANT])
    c = inputs.comparisons
    versus = c[
        (c["method_a"] == row.method)
        & (c["method_b"] == "ppo")
        & (c["model_a"] == model)
        & (c["model_b"] == model)
        & (c["task"] == task.name)
    ]
    exact = next((name for name in task.metrics if name in UNREWARDED), "")
    guided, trained = row.method in GUIDED, bool(METHODS[row.method].module)
    return [
        _metric_cell(inputs, model, row, task, task.columns[0]),
        difference_cell(versus.iloc[0] if len(versus) else None),
        _metric_cell(inputs, model, row, task, exact) if exact else Cell(),
        over_seeds(own(last)["kl"].dropna().astype(float), 2),
        over_seeds(runs["guide_validation"].dropna().astype(float), 1),
        range_cell(runs["tokens_generated"] / 1000, 1) if trained else Cell(),
        range_cell(runs["tokens_guided"] / 1000, 1) if guided else Cell(),
        Cell(str(runs["seed"].nunique()) if len(runs) and METHODS[row.method].seeded else ""),
    ]


def context_sheet(inputs: Inputs) -> Sheet:
    """What other papers print on the third paper's tasks, for orientation: none of it is RLGF's."""
    title = "Other papers' numbers on the third paper's tasks, for orientation; none of them is from RLGF."
    sheet = Sheet(
        "published-context",
        title,
        ("Task", "Model", "Method", "Metric"),
        [("Printed", "")],
        size="scriptsize",
        quiet=True,
    )
    p = inputs.published
    for _, row in p[(p["paper"] == PAPER_3) & (p["table"] == "context")].iterrows():
        task = inputs.tasks.get(row["task"])
        heads = (task.title if task else row["task"], row["model"], row["method"], METRIC_TITLES[row["metric"]])
        sheet.lines.append(Line(heads, (Cell(row["value_printed"]),), "paper"))
    sheet.notes = [
        "Sources: resources/published/rlgf.csv. Splits, lengths and judges differ between these papers and from ours "
        f"({', '.join(SOURCE_TITLES.values())}), so that no difference of two rows means anything."
    ]
    return sheet
