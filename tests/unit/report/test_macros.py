"""The numbers of the paper's text: one macro each, the same names in every build."""

import re
from dataclasses import replace

import pandas as pd
import pytest
from synthetic import inputs

from rl4nlu.report.macros import build_macros, define_macros, fair_mixtures, find_switches


def test_the_same_macros_in_every_build_macros() -> None:
    full, empty = build_macros(inputs(True)), build_macros(inputs(False))
    assert list(full) == list(empty)
    for name in full:
        assert re.fullmatch(r"[A-Z][A-Za-z]+", name), name


def test_the_switch_and_missing_numbers() -> None:
    text = define_macros(build_macros(inputs(False)), find_switches(inputs(False)))
    assert r"\reproducedfalse" in text
    assert r"\newcommand{\nPpoSftStGain}{--}" in text
    assert r"\newcommand{\nPaperGluePpoSt}{84.8}" in text
    assert r"\reproducedtrue" in define_macros({}, find_switches(inputs(True)))


def test_who_was_ahead_agrees_with_the_comparisons() -> None:
    found, tasks = inputs(True).comparisons, inputs(True).tasks
    rows = found[(found["comparison"] == "ppo vs sft (st)") & (found["model_a"] == "micro-llama")]
    rows = rows[[tasks[name].trained_with is None for name in rows["task"]]]
    macros = build_macros(inputs(True))
    assert int(macros["PpoSftStCompared"]) == len(rows) == 10  # followers of RTE are not counted again
    assert int(macros["PpoSftStWins"]) == (rows["difference"] > 0).sum()
    assert int(macros["PpoSftStLosses"]) == (rows["difference"] < 0).sum()
    assert sum(int(macros[f"PpoSftSt{part}"]) for part in ("Wins", "Losses", "Ties")) == len(rows)
    assert float(macros["PpoSftStGain"].replace("−", "-")) == pytest.approx(rows["difference"].mean(), abs=0.051)


def test_what_is_said_of_the_mean_is_what_the_test_says() -> None:
    overall = inputs(True).overall
    chosen = (overall["comparison"] == "ppo vs sft (st)") & (overall["model_a"] == "micro-llama")
    found = {
        name: build_macros(replace(inputs(True), overall=overall.assign(**values).where(chosen)))["PpoSftStVerdict"]
        for name, values in (("sure", {"p": 0.001, "p_holm": 0.01}), ("unsure", {"p": 0.03, "p_holm": 0.06}))
    }
    assert found == {"sure": "significant", "unsure": "not significant"}
    untested = overall.assign(p=float("nan"), p_holm=float("nan"))
    assert build_macros(replace(inputs(True), overall=untested))["PpoSftStVerdict"] == "not tested, for want of seeds"


def test_the_label_bug_in_numbers() -> None:
    macros = build_macros(inputs(False))
    # a model right on 96.4 % of balanced items, whose "No" is answered by a coin
    assert macros["SstTossed"] == "73.2"
    assert (macros["LeadPrinted"], macros["LeadMended"], macros["SstMended"]) == ("6.3", "3.8", "81.0")
    assert (macros["PpoMtRecomputed"], macros["SuperFewRecomputed"], macros["Misprints"]) == ("82.79", "58.49", "2")


def test_values_of_tau_are_counted() -> None:
    """The figure of the sweep over tau stands in the paper where there are two or more."""
    runs = inputs(True).runs
    one = runs.iloc[:1].assign(method="rllr-mixed", threshold=1.5)
    swept = pd.concat(
        [runs, one, one.assign(variant="tau-low", threshold=0.5), one.assign(variant="x", threshold=None)]
    )
    before = int(build_macros(inputs(True))["Thresholds"])
    assert before < 2
    assert int(build_macros(replace(inputs(True), runs=swept))["Thresholds"]) == 2


def test_unequal_budgets_are_noticed() -> None:
    runs = inputs(True).runs
    main = runs[(runs["model"] == "micro-llama") & (runs["variant"] == "main")]
    assert all(fair_mixtures(main).values())
    other = main.copy()
    other.loc[(other["method"] == "ppo") & (other["mixture"] == "cola"), "prompts_seen"] = 3200
    assert [name for name, fair in fair_mixtures(other).items() if not fair] == ["cola"]
    macros = build_macros(replace(inputs(True), runs=other))
    assert int(macros["BudgetEqual"]) == int(macros["BudgetMixtures"]) - 1
