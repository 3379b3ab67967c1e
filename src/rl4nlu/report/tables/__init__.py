"""The paper's tables: each stands here once, by its name and the function that makes its sheet."""

from __future__ import annotations

from collections.abc import Callable

from ..inputs import Inputs
from ..typeset import Sheet
from .budgets import budgets_sheet, cost_sheet, tuning_sheet
from .comparisons import comparisons_sheet, effects_sheet, variants_sheet
from .data import data_sheet, invalid_sheet
from .ppo_rm import ppo_rm_sheet
from .printed import averages_sheet, other_print_sheet, transfer_sheet
from .rlgf import context_sheet, generation_sheet, rlgf_sheet
from .rllr import differences_sheet, reward_models_sheet, reward_pairs_sheet, rllr_sheet
from .suites import glue_sheet, other_models_sheet, other_tasks_sheet, superglue_sheet, validation_sheet

TABLES: dict[str, Callable[[Inputs], Sheet]] = {
    "glue": glue_sheet,
    "superglue": superglue_sheet,
    "other-models": other_models_sheet,
    "cost": cost_sheet,
    "validation": validation_sheet,
    "comparisons": comparisons_sheet,
    "budgets": budgets_sheet,
    "invalid": invalid_sheet,
    "variants": variants_sheet,
    "effects": effects_sheet,
    "other-tasks": other_tasks_sheet,
    "rllr": rllr_sheet,
    "rllr-differences": differences_sheet,
    "reward-models": reward_models_sheet,
    "reward-pairs": reward_pairs_sheet,
    "ppo-rm": ppo_rm_sheet,
    "rlgf": rlgf_sheet,
    "generation": generation_sheet,
    "tuning": tuning_sheet,
    "data": data_sheet,
    "averages": averages_sheet,
    "published-transfer": transfer_sheet,
    "published-other": other_print_sheet,
    "published-context": context_sheet,
}
"""Every table in the paper's order; each is written as .tex, .csv and .md, and has a caption in workflow/report/tables."""


def build_sheets(inputs: Inputs) -> dict[str, Sheet]:
    """Every table by name."""
    return {name: make(inputs) for name, make in TABLES.items()}
