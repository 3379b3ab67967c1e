"""What the paper prints and nothing here reproduces: its averages recomputed, transfer, language modelling."""

from __future__ import annotations

from ..inputs import Inputs
from ..names import MethodRow
from ..published import PAPER_1, recompute_averages
from ..typeset import Cell, Line, Sheet
from .board import RULE


def averages_sheet(inputs: Inputs) -> Sheet:
    """The paper's printed averages against the means of its own cells."""
    title = "The paper's printed averages, recomputed from its own cells."
    sheet = Sheet(
        "averages",
        title,
        ("Table", "Model", "Method"),
        [("Printed", ""), ("Recomputed", ""), ("Tasks", ""), ("Verdict", "")],
    )
    found = recompute_averages(inputs.published[inputs.published["paper"] == PAPER_1])
    for _, row in found.iterrows():
        method = MethodRow(row["method"], row["mixture_kind"]).label
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
    columns = [(inputs.title(model), MethodRow(method, "none").label) for model, method in who]
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
