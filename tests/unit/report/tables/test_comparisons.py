"""Effects of the papers' discrepancies: which rows the table, the figure and the text take, in which order, with which marks."""

from dataclasses import replace

import pandas as pd
import pytest
from synthetic import cells_of, inputs

from rl4nlu.config import METHODS
from rl4nlu.report.figures.differences import effects_figure
from rl4nlu.report.inputs import Inputs
from rl4nlu.report.macros import build_macros, define_macros, find_switches
from rl4nlu.report.names import DISCREPANCIES
from rl4nlu.report.published import PAPER_1, PAPER_2
from rl4nlu.report.tables.comparisons import discrepancy_effects, effects_sheet, headline_gains, variants_sheet
from rl4nlu.report.typeset import to_tex
from rl4nlu.scores.comparisons import EFFECTS

ROWS = [
    # variant, model, method, mixture kind, task, without, with, low, high, p
    ("truncation", "micro-llama-short", "sft-rationale", "st", "movie-reviews", 80.0, 60.0, -25.0, -15.0, 0.01),
    ("averaging", "micro-llama", "rllr-mixed", "st", "rllr-sst2", 90.0, 91.0, -1.0, 3.0, 0.4),
    ("cosine", "micro-llama", "ppo", "st", "stsb", 75.0, 77.0, 0.5, 3.5, 0.04),
    ("cosine", "micro-llama", "sft", "st", "stsb", 70.0, 70.0, 0.0, 0.0, 1.0),
    ("sst2-no", "micro-llama", "sft", "st", "sst2", 95.0, 48.0, -50.0, -44.0, 0.001),
    ("from-sft", "micro-llama", "ppo", "st", "cola", 70.0, 75.0, 1.0, 9.0, 0.01),
]


@pytest.fixture(scope="module")
def audited() -> Inputs:
    rows = [
        {
            **dict.fromkeys(EFFECTS),
            **{
                "variant": variant,
                "model": model,
                "method": method,
                "mixture": task,
                "mixture_kind": kind,
                "task": task,
            },
            **{"main": main, "value": value, "difference": value - main, "low": low, "high": high, "p": p, "p_holm": p},
            "seeds": 5,
        }
        for variant, model, method, kind, task, main, value, low, high, p in ROWS
    ]
    return replace(inputs(True), effects=pd.DataFrame(rows, columns=list(EFFECTS)))


def test_the_gains_are_those_that_the_papers_print() -> None:
    assert headline_gains(inputs(False)) == pytest.approx({PAPER_1: 6.3, PAPER_2: 1.54})


def test_discrepancies_stand_by_paper_in_the_order_of_the_names(audited: Inputs) -> None:
    found = discrepancy_effects(audited)
    assert list(zip(found["paper"], found["variant"], found["method"], strict=True)) == [
        (PAPER_1, "sst2-no", "sft"), (PAPER_1, "cosine", "sft"), (PAPER_1, "cosine", "ppo"),
        (PAPER_2, "averaging", "rllr-mixed"), (PAPER_2, "truncation", "sft-rationale"),
    ]  # fmt: skip


def test_the_table_has_effects_beside_the_printed_gains(audited: Inputs) -> None:
    sheet = effects_sheet(audited)
    wrong = cells_of(sheet, DISCREPANCIES["sst2-no"][1], "micro-llama", "SFT-ST", "SST-2")
    assert (wrong["Without"].text, wrong["With"].text, wrong["Seeds"].text) == ("95.0", "48.0", "5")
    assert (wrong["Effect"].text, wrong["Effect"].below, wrong["Effect"].marks) == ("−47.0", "[−50.0, −44.0]", "*")
    none = cells_of(sheet, DISCREPANCIES["averaging"][1], "micro-llama", "RLLR-mixed-ST", "SST-2 (RLLR)")["Effect"]
    assert (none.text, none.marks) == ("+1.0", "")
    printed = [line for line in sheet.filled if line.kind == "paper"]
    assert [line.cells[2].text for line in printed] == ["+6.3", "+1.54"]
    assert [line.kind for line in sheet.filled].index("paper") == 3
    assert to_tex(effects_sheet(inputs(False))).startswith("% effects: nothing to show")


def test_a_discrepancy_stands_in_one_table(audited: Inputs) -> None:
    metrics = audited.metrics
    known = metrics[metrics["variant"] == "from-sft"].assign(variant="cosine")
    shown = {line.heads[0] for line in variants_sheet(replace(audited, metrics=pd.concat([metrics, known]))).filled}
    assert shown == {"from-sft"}


def test_the_figure_draws_every_effect_and_fills_what_is_told_from_none(audited: Inputs) -> None:
    first, second = effects_figure(audited).axes
    assert [label.get_text() for label in first.get_yticklabels()][::-1] == ["SST-2", "STS-B", "STS-B"]
    assert second.texts[0].get_text() == f"{DISCREPANCIES['truncation'][1]}\n(micro-llama, short)"
    marks = [line for line in (*first.lines, *second.lines) if line.get_marker() == "o" and len(line.get_xdata())]
    drawn = {float(mark.get_xdata()[0]): mark.get_markerfacecolor() for mark in marks}
    colour = {name: METHODS[name].colour for name in METHODS}
    assert drawn == {-47: colour["sft"], 0: "white", 2: colour["ppo"], 1: "white", -20: colour["sft-rationale"]}
    dashed = [line.get_xdata()[0] for axes in (first, second) for line in axes.lines if line.get_linestyle() == "--"]
    assert dashed == pytest.approx([6.3, 1.54])
    assert [text.get_text() for text in first.texts][::-1] == [DISCREPANCIES[v][1] for v in ("sst2-no", "cosine")]


def test_the_text_counts_effects(audited: Inputs) -> None:
    macros = build_macros(audited)
    names = (
        "Effects",
        "EffectDiscrepancies",
        "EffectsSure",
        "EffectsSureUp",
        "EffectsSureDown",
        "EffectsBeyondGain",
        "EffectsNone",
    )
    assert [macros[name] for name in names] == ["5", "4", "3", "1", "2", "2", "1"]
    assert (macros["EffectLowest"], macros["EffectHighest"]) == ("−47.0", "+2.0")
    assert macros["EffectHighestOf"].endswith(": PPO, STS-B")
    assert r"\auditedtrue" in define_macros(macros, find_switches(audited))
    assert r"\auditedfalse" in define_macros({}, find_switches(inputs(True)))
