"""Differences between methods, and the marks of tasks."""

from dataclasses import replace

from synthetic import cells_of, inputs

from rl4nlu.report.cells import number
from rl4nlu.report.names import MethodRow
from rl4nlu.report.tables.suites import glue_sheet


def test_differences_and_stars() -> None:
    found = inputs(True)
    tasks, glue = found.tasks, glue_sheet(found)
    gap = found.score("micro-llama", MethodRow("ppo", "st"), tasks["cola"]) - found.score(
        "micro-llama", MethodRow("sft", "st"), tasks["cola"]
    )
    assert cells_of(glue, "PPO-ST − SFT-ST", "ours")["CoLA"].text == number(gap, sign=True)
    assert cells_of(glue, "PPO-ST − SFT-ST", "paper")["SST-2"].text == "+22.6"
    tests = found.comparisons.copy()
    tests.loc[(tests["comparison"] == "ppo vs sft (st)") & (tests["task"] == "rte"), "p_holm"] = 0.01
    starred = glue_sheet(replace(found, comparisons=tests))
    assert cells_of(starred, "PPO-ST − SFT-ST", "ours")["RTE"].marks == "*"


def test_bold_are_those_that_lead() -> None:
    found = inputs(True)
    means = found.means.copy()
    means["leads"] = (means["method"] == "sft") & (means["task"] == "rte")
    glue = glue_sheet(replace(found, means=means))
    assert cells_of(glue, "SFT-ST", "ours")["RTE"].bold
    assert not cells_of(glue, "PPO-ST", "ours")["RTE"].bold
    assert not cells_of(glue, "SFT-ST", "ours")["CoLA"].bold


def test_stale_and_near_chance_are_marked() -> None:
    found = inputs(True)
    m = found.metrics.copy()
    m.loc[(m["method"] == "sft") & (m["task"] == "mrpc"), "stale"] = True
    means = found.means.copy()
    means.loc[(means["task"] == "cola") & ~means["method"].isin(["majority", "random"]), "low"] = -100.0
    glue = glue_sheet(replace(found, metrics=m, means=means))
    assert cells_of(glue, "SFT-ST", "ours")["MRPC"].marks == "‡"
    names = [name for name, _ in glue.columns]
    assert "CoLA°" in names
    assert "SST-2" in names
