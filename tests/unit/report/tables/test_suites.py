"""Scores by method and task: which rows stand where, averages, common tasks, transfer."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from scenes import scene_inputs
from synthetic import cells_of, inputs

from rl4nlu.report.cells import own_cell
from rl4nlu.report.names import MethodRow
from rl4nlu.report.tables import build_sheets
from rl4nlu.report.tables.suites import other_tasks_sheet
from rl4nlu.report.typeset import Sheet, to_csv
from rl4nlu.tasks.metrics import average


def test_glue_rows_ours_above_the_papers(sheets: dict[str, Sheet]) -> None:
    heads = [line.heads for line in sheets["glue"].filled]
    assert heads[:3] == [("Rows scored", "ours"), ("Majority", "ours"), ("Random", "ours")]
    assert heads[3:7] == [
        ("micro-bert-base", "ours"),
        ("BERT-base", "paper"),
        ("micro-bert-large", "ours"),
        ("BERT-large", "paper"),
    ]
    assert heads[7:19] == [
        (name, who)
        for name in ("Zero-shot", "Few-shot", "SFT-ST", "PPO-ST", "SFT-MT", "PPO-MT")
        for who in ("ours", "paper")
    ]
    assert [name for name, _ in heads[19:]] == ["PPO-ST − SFT-ST"] * 2 + ["PPO-MT − SFT-MT"] * 2
    assert cells_of(sheets["glue"], "PPO-MT", "paper")["Avg."].text == "82.9"
    assert cells_of(sheets["glue"], "PPO-ST", "paper")["CoLA"].text == "59.9"
    assert cells_of(sheets["superglue"], "PPO-ST", "paper")["CB"].text == "74.7/88.0"


def test_averages_are_those_of_the_metrics(sheets: dict[str, Sheet]) -> None:
    m = inputs(True).metrics
    zero = m[(m["method"] == "zero-shot") & (m["model"] == "micro-llama")]
    scores = {str(t): dict(zip(rows["metric"], rows["value"], strict=True)) for t, rows in zero.groupby("task")}
    for suite in ("glue", "superglue"):
        wanted = average(suite, scores)
        assert wanted is not None
        assert cells_of(sheets[suite], "Zero-shot", "ours")["Avg."].text == f"{wanted:.1f}"


def test_common_tasks_are_those_of_every_decoder_row(sheets: dict[str, Sheet]) -> None:
    assert ("Common", "of 6") in sheets["glue"].columns
    assert any("QNLI, SST-2, CoLA, STS-B, MRPC, RTE" in note for note in sheets["glue"].notes)


def test_other_models_stand_with_their_family(sheets: dict[str, Sheet]) -> None:
    heads = [line.heads for line in sheets["other-models"].filled]
    assert heads.index(("micro-qwen2", "PPO-ST", "ours")) + 1 == heads.index(("Qwen2.5-7B-Instruct", "PPO-ST", "paper"))
    assert heads.index(("micro-mpt", "Zero-shot", "ours")) + 1 == heads.index(("MPT-7B-chat", "Zero-shot", "paper"))


def test_transfer_runs_stand_apart() -> None:
    m = inputs(True).metrics.copy()
    moved = m[
        (m["method"] == "ppo") & (m["mixture"] == "cola") & (m["task"] == "cola") & (m["variant"] == "main")
    ].copy()
    moved[["mixture", "mixture_kind"]] = "sst2", "transfer"
    found = build_sheets(replace(inputs(True), metrics=pd.concat([m, moved])))
    assert cells_of(found["other-tasks"], "micro-llama", "PPO", "SST-2")["CoLA"].text
    glue = build_sheets(inputs(True))["glue"]
    assert to_csv(found["glue"]) == to_csv(glue)


def test_a_metric_of_texts_that_cannot_be_computed_is_a_dash_among_others(tmp_path: Path) -> None:
    """Texts that no model wrote have no perplexity."""
    shown = scene_inputs(tmp_path, ["rouge-l", "perplexity"])
    task, random = shown.tasks["scenes"], MethodRow("random", "none")
    first = f"{shown.metrics.loc[(shown.metrics['method'] == 'random') & (shown.metrics['metric'] == 'rouge-l'), 'value'].mean():.1f}"
    assert own_cell(shown, "tiny", random, task).text == f"{first}/–"
    assert own_cell(shown, "tiny", MethodRow("ppo", "st"), task).text.count("–") == 0
    assert own_cell(shown, "tiny", MethodRow("grpo", "st"), task).text == ""
    (line,) = [line for line in other_tasks_sheet(shown).filled if line.heads[1] == "Random"]
    assert line.cells[0].text == f"{first}/–"
    only = replace(shown, tasks={"scenes": task.model_copy(update={"reported": ["perplexity"]})})
    assert own_cell(only, "tiny", random, only.tasks["scenes"]).text == ""


def test_a_task_of_texts_has_the_score_of_its_first_metric_and_no_chance(tmp_path: Path) -> None:
    shown = scene_inputs(tmp_path, ["perplexity", "rouge-l"])
    task, row = shown.tasks["scenes"], MethodRow("sft", "st")
    assert shown.score("tiny", row, task) == pytest.approx(sum(shown.first("tiny", row, task)) / 3)
    low = scene_inputs(tmp_path / "low", ["rouge-l"])
    low = replace(low, means=low.means.assign(low=0.0))  # of labels this would be near chance
    assert not low.near_chance(low.tasks["scenes"])
