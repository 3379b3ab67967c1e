"""Cost, budgets, and the table of learning rates: scores and cost of every candidate of the runs that chose."""

from dataclasses import replace

import pytest
from synthetic import cells_of, inputs

from rl4nlu.report.names import MethodRow
from rl4nlu.report.tables.budgets import rate_text, seconds_per_batch, tuning_sheet
from rl4nlu.report.typeset import Sheet


def test_cost_is_training_time_per_sixteen_prompts(sheets: dict[str, Sheet]) -> None:
    assert seconds_per_batch(inputs(True), "micro-llama", MethodRow("ppo", "st")) == pytest.approx(21.5 / 1600 * 16)
    assert cells_of(sheets["cost"], "PPO-ST", "ours")["s / 16 prompts"].text == "0.215"
    assert cells_of(sheets["cost"], "GRPO-ST", "paper")["s / 16 prompts"].text == "5.155"


def test_budgets_variants_and_data(sheets: dict[str, Sheet]) -> None:
    ppo = cells_of(sheets["budgets"], "micro-llama", "PPO-ST")
    assert [ppo[name].text for name in ("Runs", "Prompts seen", "Optimiser steps")] == ["20", "1,600", "80"]
    assert cells_of(sheets["variants"], "from-sft", "micro-llama", "PPO-ST", "CoLA")["Seeds"].text == "3"
    assert cells_of(sheets["data"], "glue", "CoLA")["Reported"].text == "40"
    assert sheets["other-tasks"].lines == []


def test_candidates_are_shown_with_their_scores_and_the_cost_of_all(sheets: dict[str, Sheet]) -> None:
    texts = {name: cell.text for name, cell in cells_of(sheets["tuning"], "micro-llama", "SFT", "CoLA").items()}
    assert texts == {
        "Validation score": "1e-3: 74.0, 3e-3: 80.0, 1e-2: 60.0",
        "Chosen": "3e-3",
        "Tokens trained": "270",  # three times 90,000
        "Tokens sampled": "0",
        "CPU-seconds": "60",
        "Seed": "0",
    }
    ppo = cells_of(sheets["tuning"], "micro-llama", "PPO", "CoLA")
    assert ppo["Validation score"].text == "1e-3: 74.0, 3e-3: 80.0, 1e-2: diverged"
    assert ppo["CPU-seconds"].text == "40"


def test_runs_that_did_not_choose_have_no_row() -> None:
    found = inputs(True)
    heads = [line.heads for line in tuning_sheet(found).filled]
    assert len(heads) == len(set(heads))  # a row for the seed that chose, none for the others
    assert {("micro-llama", "PPO (from-sft)", "CoLA"), ("micro-llama", "PPO", "glue")} < set(heads)
    one = found.candidates["method"].eq("encoder") & ~found.candidates["chosen"]
    methods = {line.heads[1] for line in tuning_sheet(replace(found, candidates=found.candidates[~one])).filled}
    assert methods == {"SFT", "PPO", "PPO (from-sft)"}


@pytest.mark.parametrize(("rate", "text"), [(3e-4, "3e-4"), (0.0015, "1.5e-3"), (1.0, "1e0"), (9e-6, "9e-6")])
def test_rates_are_written_short(rate: float, text: str) -> None:
    assert rate_text(rate) == text
