"""The second paper's tables: scores of its methods, their differences beside the printed ones, and the reward models."""

from __future__ import annotations

import math

from ...config import METHODS
from ...scores.collect import MAIN_VARIANT
from ..cells import MARK_NOTES, difference_cell, mean_cell, number, over_seeds, own_cell, range_cell
from ..inputs import Inputs
from ..names import BASELINES, DECODER_METHODS, MethodRow, method_rows
from ..published import PAPER_2
from ..typeset import Cell, Line, Sheet
from .board import RULE, task_columns

RLLR_SUITE = "rllr"
RLLR_ROWS = method_rows((*BASELINES, *DECODER_METHODS))
RLLR_DIFFERENCES = [(a, b) for a, method in METHODS.items() if method.section == "rllr" for b in method.against]
"""Methods that are compared, the first with the second; each is a column."""

PAIR_KINDS = {
    "label": "Label-sensitive",
    "ranked": "Ranked replies",
    "rationale": "Rationale-sensitive",
    "policy": "Own errors",
}


def rllr_sheet(inputs: Inputs) -> Sheet:
    """Methods by tasks: accuracy, mean and standard deviation over seeds, and the mean over tasks."""
    tasks = inputs.of_suite(RLLR_SUITE)
    columns = [*task_columns(inputs, tasks), ("Avg.", f"of {len(tasks)}")]
    title = "RLLR: accuracy of the second paper's methods on its eight tasks."
    sheet = Sheet("rllr", title, ("Model", "Method"), columns, size="scriptsize")
    for model in [*inputs.decoders("main"), *inputs.decoders("other")]:
        for row in RLLR_ROWS:
            cells = [own_cell(inputs, model, row, task) for task in tasks]
            if row.kind == "none" and not any(_has_trained(inputs, model, t.name) for t in tasks):
                continue
            if any(cell.text for cell in cells):
                mean = mean_cell([inputs.score(model, row, task) for task in tasks])
                sheet.lines.append(Line((inputs.title(model), row.label), (*cells, mean)))
        sheet.lines.append(RULE)
    sheet.notes = [
        inputs.provenance(),
        "The paper's own table is not available to us. The suite's methods train one adapter on all eight tasks; RLHF, RLLR and "
        "RLLR-mixed start from the merged SFT model with rationales, and answers with a rationale are read by the one parser.",
        MARK_NOTES,
    ]
    return sheet


def _has_trained(inputs: Inputs, model: str, task: str) -> bool:
    m = inputs.metrics
    return bool(((m["model"] == model) & (m["task"] == task) & (m["mixture_kind"] != "none")).any())


def differences_sheet(inputs: Inputs) -> Sheet:
    """Differences per task, their mean over tasks, and the two differences that the paper's abstract prints."""
    columns = [(f"{MethodRow(a, 'none').label} −", MethodRow(b, "none").label) for a, b in RLLR_DIFFERENCES]
    title = "RLLR: differences on the same rows, in points, beside the printed ones."
    sheet = Sheet("rllr-differences", title, ("Task", "Source"), columns)
    tasks, models = inputs.of_suite(RLLR_SUITE), inputs.decoders("main")[:1]
    found = inputs.comparisons[
        inputs.comparisons["model_a"].isin(models) & (inputs.comparisons["mixture_kind"] == "mt")
    ]
    found = found[found["mixture_a"] == RLLR_SUITE]
    tested = {key: rows.iloc[0] for key, rows in found.groupby(["method_a", "method_b", "task"])}
    for task in tasks:
        rows = [tested.get((a, b, task.name)) for a, b in RLLR_DIFFERENCES]
        if any(row is not None for row in rows):
            sheet.lines.append(Line((task.title, "ours"), tuple(difference_cell(row) for row in rows)))
    if sheet.lines:
        overall = inputs.overall[inputs.overall["model_a"].isin(models) & (inputs.overall["mixture_kind"] == "mt")]
        averages = {key: rows.iloc[0] for key, rows in overall.groupby(["method_a", "method_b"])}
        cells = tuple(difference_cell(averages.get(pair), 2) for pair in RLLR_DIFFERENCES)
        sheet.lines += [RULE, Line(("Mean over tasks", "ours"), cells)]
    printed = inputs.published[inputs.published["paper"] == PAPER_2].set_index("method")["value"]
    values = [float(printed.get(f"{a} - {b}", math.nan)) for a, b in RLLR_DIFFERENCES]
    sheet.lines.append(
        Line(("Mean over tasks and models", "paper"), tuple(Cell(number(v, 2, sign=True)) for v in values), "paper")
    )
    sheet.notes = [
        inputs.provenance(),
        "Brackets: 95 % interval over seeds and rows. * p < .05, Holm-corrected over the column (means: over all comparisons' "
        "means). The printed "
        "differences are averages over five models and eight tasks; the abstract doesn't say which SFT it means, nor whether "
        "its per cent are points.",
    ]
    return sheet


def reward_models_sheet(inputs: Inputs) -> Sheet:
    """What each reward model tells apart: both models on every kind of held-out pairs, the merged model's own errors among them."""
    columns = []
    for kind in PAIR_KINDS.values():
        columns += [(kind, "accuracy, %"), ("", "margin"), ("", "calibration error")]
    title = "RLLR: reward models on held-out pairs; the objective mismatch is what stands off the diagonal."
    sheet = Sheet("reward-models", title, ("Model", "Trained on", "Reward model"), columns)
    frame = inputs.rewards[inputs.rewards["variant"] == MAIN_VARIANT]
    for (model, mixture), rows in frame.groupby(["model", "mixture"]):
        for method in [name for name in METHODS if name in set(rows["method"])]:
            cells = []
            for kind in PAIR_KINDS:
                some = rows[(rows["method"] == method) & (rows["pairs"] == kind)]
                for column, factor, digits in (("accuracy", 100, 1), ("margin", 1, 2), ("calibration", 1, 3)):
                    cells.append(over_seeds(some[column].dropna().astype(float) * factor, digits))
            if any(cell.text for cell in cells):
                trained = inputs.tasks[mixture].title if mixture in inputs.tasks else str(mixture)
                sheet.lines.append(Line((inputs.title(str(model)), trained, METHODS[method].title), tuple(cells)))
    shares = inputs.replies[(inputs.replies["variant"] == MAIN_VARIANT) & (inputs.replies["split"] == "train")][
        "same_label"
    ].dropna()
    sheet.notes = [
        inputs.provenance(),
        "Margin: chosen minus rejected score; calibration error: of the confidence that the margin implies, over ten bins. Ranked "
        "replies: pairs as the rationale model learns from; rationale-sensitive: those of them whose labels agree. Own errors: "
        "a right against a wrong reply that the merged model itself gave to one prompt. Of the encoder's pairs the "
        "rationale-sensitive ones are a response with a rationale against one without.",
    ]
    if len(shares):
        sheet.notes.append(
            f"Of the best and worst replies to a prompt, whatever they say, "
            f"{number(100 * float(shares.mean()))} % have two equal labels (mean over seeds); the paper's share is not known to us."
        )
    return sheet


def reward_pairs_sheet(inputs: Inputs) -> Sheet:
    """What each reward model learnt from: pairs at hand and kept, seen, distinct ones among the seen, and passes over these."""
    columns = [
        ("At hand", "distinct"), ("Kept", "distinct"), ("Labels agree", "% of kept"), ("Seen", "pairs"), ("Distinct", "among the seen"),
        ("Passes", "seen by distinct"),
    ]  # fmt: skip
    title = "RLLR: the pairs of responses that the reward models learnt from."
    sheet = Sheet("reward-pairs", title, ("Model", "Trained on", "Reward model"), columns)
    frame = inputs.rewards.dropna(subset=["pairs_kept"])
    for (model, mixture, variant), rows in frame.groupby(["model", "mixture", "variant"]):
        for method in [name for name in METHODS if name in set(rows["method"])]:
            own = rows[rows["method"] == method]
            cells = [
                range_cell(own["pairs_at_hand"]),
                range_cell(own["pairs_kept"]),
                range_cell(100 * own["rationale_sensitive"].astype(float), 1),
                range_cell(own["pairs_seen"]),
                range_cell(own["distinct_pairs_seen"]),
                range_cell(own["passes"], 2),
            ]
            trained = inputs.tasks[mixture].title if mixture in inputs.tasks else str(mixture)
            label = METHODS[method].title + ("" if variant == MAIN_VARIANT else f" ({variant})")
            sheet.lines.append(Line((inputs.title(str(model)), trained, label), tuple(cells)))
    sheet.notes = [
        inputs.provenance(),
        "No pair twice: a pair is a prompt and two texts. Both models keep, task by task, the smaller number of both, unless a "
        "variant says so; tasks have equal shares in what is seen, and one with few pairs is passed through more often. A range "
        "is the least and the greatest over seeds.",
    ]
    return sheet
