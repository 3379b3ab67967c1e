"""Tables: what stands where, marks, averages, empty places, and the three spellings."""

import csv
import io
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from synthetic import inputs

from rl4nlu.report.inputs import Row, family, load_inputs, number
from rl4nlu.report.tables import TABLES, build_sheets
from rl4nlu.report.tables.records import task_notes
from rl4nlu.report.tables.scores import seconds_per_batch
from rl4nlu.report.typeset import Cell, Line, Sheet, tex, to_csv, to_markdown, to_tex, write_sheet
from rl4nlu.scores.intervals import mean_sd
from rl4nlu.tasks.metrics import average


@pytest.fixture(scope="module")
def sheets() -> dict[str, Sheet]:
    return build_sheets(inputs(True))


@pytest.fixture(scope="module")
def printed_only() -> dict[str, Sheet]:
    return build_sheets(inputs(False))


def row(sheet: Sheet, *heads: str) -> dict[str, Cell]:
    (line,) = [line for line in sheet.filled if line.heads == heads]
    return dict(zip([name.rstrip("°") for name, _ in sheet.columns], line.cells, strict=True))


def test_all_tables_are_built_in_order(sheets: dict[str, Sheet], printed_only: dict[str, Sheet]) -> None:
    assert [sheet.name for sheet in sheets.values()] == [sheet.name for sheet in printed_only.values()] == list(TABLES)


@pytest.mark.parametrize("reproduced", [True, False])
def test_every_row_has_every_column(reproduced: bool) -> None:
    for sheet in build_sheets(inputs(reproduced)).values():
        for line in sheet.filled:
            assert len(line.heads) == len(sheet.heads), sheet.name
            assert len(line.cells) == len(sheet.columns), (sheet.name, line.heads)


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
    assert row(sheets["glue"], "PPO-MT", "paper")["Avg."].text == "82.9"
    assert row(sheets["glue"], "PPO-ST", "paper")["CoLA"].text == "59.9"
    assert row(sheets["superglue"], "PPO-ST", "paper")["CB"].text == "74.7/88.0"


def test_a_cell_is_mean_and_deviation_over_seeds(sheets: dict[str, Sheet]) -> None:
    m = inputs(True).metrics
    values = m[
        (m["method"] == "ppo")
        & (m["mixture"] == "cola")
        & (m["variant"] == "main")
        & (m["task"] == "cola")
        & (m["metric"] == "matthews")
    ]["value"]
    mean, sd = mean_sd(values.tolist())
    cell = row(sheets["glue"], "PPO-ST", "ours")["CoLA"]
    assert (cell.text, cell.below, cell.marks) == (f"{mean:.1f}", f"±{sd:.1f}", "")


def test_few_seeds_are_marked_and_missing_cells_empty(sheets: dict[str, Sheet]) -> None:
    ppo = row(sheets["glue"], "PPO-ST", "ours")
    assert (ppo["QNLI"].marks, ppo["QNLI"].below) == ("†", "")
    assert ppo["QQP"] == Cell()
    assert ppo["Avg."] == Cell()  # no average over missing tasks
    zero = row(sheets["glue"], "Zero-shot", "ours")
    assert "†" not in "".join(cell.marks for cell in zero.values())  # greedy zero-shot has no seed


def test_averages_are_those_of_the_metrics(sheets: dict[str, Sheet]) -> None:
    m = inputs(True).metrics
    zero = m[(m["method"] == "zero-shot") & (m["model"] == "micro-llama")]
    scores = {str(t): dict(zip(rows["metric"], rows["value"], strict=True)) for t, rows in zero.groupby("task")}
    for suite in ("glue", "superglue"):
        wanted = average(suite, scores)
        assert wanted is not None
        assert row(sheets[suite], "Zero-shot", "ours")["Avg."].text == f"{wanted:.1f}"


def test_common_tasks_are_those_of_every_decoder_row(sheets: dict[str, Sheet]) -> None:
    assert ("Common", "of 6") in sheets["glue"].columns
    assert any("QNLI, SST-2, CoLA, STS-B, MRPC, RTE" in note for note in sheets["glue"].notes)


def test_differences_and_stars(sheets: dict[str, Sheet]) -> None:
    found = inputs(True)
    tasks = found.tasks
    gap = found.score("micro-llama", Row("ppo", "st"), tasks["cola"]) - found.score(
        "micro-llama", Row("sft", "st"), tasks["cola"]
    )
    assert row(sheets["glue"], "PPO-ST − SFT-ST", "ours")["CoLA"].text == number(gap, sign=True)
    assert row(sheets["glue"], "PPO-ST − SFT-ST", "paper")["SST-2"].text == "+22.6"
    tests = found.comparisons.copy()
    tests.loc[(tests["comparison"] == "ppo vs sft (st)") & (tests["task"] == "rte"), "p_holm"] = 0.01
    starred = build_sheets(replace(found, comparisons=tests))
    assert row(starred["glue"], "PPO-ST − SFT-ST", "ours")["RTE"].marks == "*"


def test_stale_and_near_chance_are_marked() -> None:
    found = inputs(True)
    m = found.metrics.copy()
    m.loc[(m["method"] == "sft") & (m["task"] == "mrpc"), "stale"] = True
    m.loc[(m["task"] == "cola") & ~m["method"].isin(["majority", "random"]), "low"] = -100.0
    sheets = build_sheets(replace(found, metrics=m))
    assert row(sheets["glue"], "SFT-ST", "ours")["MRPC"].marks == "‡"
    names = [name for name, _ in sheets["glue"].columns]
    assert "CoLA°" in names
    assert "SST-2" in names


def test_every_table_says_what_its_numbers_are(sheets: dict[str, Sheet]) -> None:
    for name, sheet in sheets.items():
        if not name.startswith("published") and name != "averages":
            assert (
                "Scale “embedded”; reproduced rows are scored on generated microworld test rows. Made-up numbers."
                in sheet.notes[0]
            ), name


def test_other_models_stand_with_their_family(sheets: dict[str, Sheet]) -> None:
    heads = [line.heads for line in sheets["other-models"].filled]
    assert heads.index(("micro-qwen2", "PPO-ST", "ours")) + 1 == heads.index(("Qwen2.5-7B-Instruct", "PPO-ST", "paper"))
    assert heads.index(("micro-mpt", "Zero-shot", "ours")) + 1 == heads.index(("MPT-7B-chat", "Zero-shot", "paper"))
    assert [family(m) for m in ("micro-qwen2", "qwen2.5-7b-instruct", "bert-large", "mine")] == [
        "qwen",
        "qwen",
        "bert-large",
        "mine",
    ]


def test_cost_is_training_time_per_sixteen_prompts(sheets: dict[str, Sheet]) -> None:
    assert seconds_per_batch(inputs(True), "micro-llama", Row("ppo", "st")) == pytest.approx(21.5 / 1600 * 16)
    assert row(sheets["cost"], "PPO-ST", "ours")["s / 16 prompts"].text == "0.215"
    assert row(sheets["cost"], "GRPO-ST", "paper")["s / 16 prompts"].text == "5.155"


def test_budgets_variants_and_data(sheets: dict[str, Sheet]) -> None:
    ppo = row(sheets["budgets"], "micro-llama", "PPO-ST")
    assert [ppo[name].text for name in ("Runs", "Prompts seen", "Optimiser steps")] == ["20", "1,600", "80"]
    assert row(sheets["variants"], "from-sft", "micro-llama", "PPO-ST", "CoLA")["Seeds"].text == "3"
    assert row(sheets["data"], "glue", "CoLA")["Reported"].text == "40"
    assert sheets["other-tasks"].lines == []


def test_transfer_runs_stand_apart(tmp_path: Path) -> None:
    m = inputs(True).metrics.copy()
    moved = m[
        (m["method"] == "ppo") & (m["mixture"] == "cola") & (m["task"] == "cola") & (m["variant"] == "main")
    ].copy()
    moved[["mixture", "mixture_kind"]] = "sst2", "transfer"
    found = build_sheets(replace(inputs(True), metrics=pd.concat([m, moved])))
    assert row(found["other-tasks"], "micro-llama", "PPO", "SST-2")["CoLA"].text
    glue = build_sheets(inputs(True))["glue"]
    assert to_csv(found["glue"]) == to_csv(glue)


def test_printed_numbers_alone(printed_only: dict[str, Sheet]) -> None:
    assert {line.kind for line in printed_only["glue"].filled} == {"paper"}
    assert len(printed_only["glue"].filled) == 8 + 2
    assert row(printed_only["published-other"], "11", "SQuAD, F1")["PPO"].text == "81.82"
    assert row(printed_only["published-transfer"], "Emotion")["GPT-4o"].below == "[77.0, 78.2]"
    assert row(printed_only["published-other"], "11", "SQuAD, F1")["Not tuned"].text == "32.27"
    assert printed_only["budgets"].filled == []
    assert "No such rows in this build." in to_tex(printed_only["budgets"])
    assert to_tex(printed_only["variants"]).startswith("% variants: nothing to show")


def test_three_spellings_hold_the_same_cells(sheets: dict[str, Sheet], tmp_path: Path) -> None:
    for sheet in sheets.values():
        write_sheet(sheet, tmp_path)
        body = (tmp_path / f"{sheet.name}.tex").read_text()
        rows = [line for line in body.splitlines() if line.endswith(r"\\") and not line.startswith(r"\multicolumn")]
        columns = len(sheet.heads) + len(sheet.columns)
        if sheet.filled:
            assert {line.replace(r"\&", "").count("&") for line in rows} == {columns - 1}, sheet.name
        parsed = list(csv.DictReader(io.StringIO((tmp_path / f"{sheet.name}.csv").read_text())))
        assert len(parsed) == len(sheet.filled)
        pipes = [line for line in (tmp_path / f"{sheet.name}.md").read_text().splitlines() if line.startswith("|")]
        assert len(pipes) == len(sheet.filled) + 2
        assert {line.replace(r"\|", "").count("|") for line in pipes} == {columns + 1}
    glue = list(csv.DictReader((tmp_path / "glue.csv").open()))
    ppo = next(line for line in glue if line["method"] == "PPO-ST" and line["origin"] == "ours")
    assert float(ppo["CoLA MCC"]) > 0
    assert float(ppo["CoLA MCC spread"]) >= 0
    assert ppo["QNLI acc. marks"] == "†"


def test_latex_is_escaped() -> None:
    sheet = Sheet(
        "x", "50 % & more_", ("A",), [("B#", "")], [Line(("a_b",), (Cell("−1", "±2", "†", True),))], ["~ ^ \\"]
    )
    out = to_tex(sheet)
    for part in (
        r"50 \% \& more\_",
        r"a\_b",
        r"B\#",
        r"\twolines{\textbf{$-$1}\textsuperscript{\textdagger}}{\tiny $\pm$2}",
    ):
        assert part in out
    assert tex("{x}") == r"\{x\}"
    assert r"a\|b" in to_markdown(Sheet("x", "t", ("A",), [], [Line(("a|b",), ())]))


def test_numbers_in_tables() -> None:
    assert [number(v) for v in (1.25, -0.04, -3.0, float("nan"))] == ["1.2", "0.0", "−3.0", ""]
    assert [number(v, sign=True) for v in (1.0, -1.0, 0.01)] == ["+1.0", "−1.0", "0.0"]


def test_task_notes_name_every_task() -> None:
    notes = task_notes(inputs(False))
    assert len(re.findall(r"^\\item", notes, re.MULTILINE)) == len(inputs(False).tasks)
    assert r"\{sentence\}" in notes


def test_files_of_another_version_are_refused(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("scale,model\n")
    found = inputs(False)
    with pytest.raises(ValueError, match=r"metrics\.csv: no column method, .*collect the results again"):
        load_inputs(tmp_path, found.tasks, found.models, tmp_path)
