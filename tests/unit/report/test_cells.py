"""Cells: means and deviations over seeds, marks, numbers."""

from synthetic import cells_of, inputs

from rl4nlu.report.cells import number
from rl4nlu.report.tables.suites import glue_sheet
from rl4nlu.report.typeset import Cell
from rl4nlu.scores.intervals import mean_sd


def test_a_cell_is_mean_and_deviation_over_seeds() -> None:
    m = inputs(True).metrics
    values = m[
        (m["method"] == "ppo")
        & (m["mixture"] == "cola")
        & (m["variant"] == "main")
        & (m["task"] == "cola")
        & (m["metric"] == "matthews")
    ]["value"]
    mean, sd = mean_sd(values.tolist())
    cell = cells_of(glue_sheet(inputs(True)), "PPO-ST", "ours")["CoLA"]
    assert (cell.text, cell.below, cell.marks) == (f"{mean:.1f}", f"±{sd:.1f}", "")


def test_few_seeds_are_marked_and_missing_cells_empty() -> None:
    ppo = cells_of(glue_sheet(inputs(True)), "PPO-ST", "ours")
    assert (ppo["QNLI"].marks, ppo["QNLI"].below) == ("†", "")
    assert ppo["QQP"] == Cell()
    assert ppo["Avg."] == Cell()  # no average over missing tasks
    zero = cells_of(glue_sheet(inputs(True)), "Zero-shot", "ours")
    assert "†" not in "".join(cell.marks for cell in zero.values())  # greedy zero-shot has no seed


def test_numbers_in_tables() -> None:
    assert [number(v) for v in (1.25, -0.04, -3.0, float("nan"))] == ["1.2", "0.0", "−3.0", ""]
    assert [number(v, sign=True) for v in (1.0, -1.0, 0.01)] == ["+1.0", "−1.0", "0.0"]
