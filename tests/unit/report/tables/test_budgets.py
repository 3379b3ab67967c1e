"""Cost and budgets."""

import pytest
from synthetic import cells_of, inputs

from rl4nlu.report.names import MethodRow
from rl4nlu.report.tables.budgets import seconds_per_batch
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
