"""candidates.csv: one row a run and learning rate, with what it is chosen by, what it cost, and who chose."""

from pathlib import Path

import pandas as pd
import pytest

from rl4nlu.base.files import write_json
from rl4nlu.scores.tuning import CANDIDATES, candidates_table, chosen_by
from rl4nlu.tasks.task import load_tasks

TASKS = load_tasks()


def candidate(rate: float, validation: float | None, **more: float) -> dict:
    return {"learning_rate": rate, "validation": validation, "loss": 0.5 if validation else None, **more}


COST = {"tokens_trained": 900, "tokens_generated": 40, "seconds": 3.5, "cpu_seconds": 2.5}
RUNS = {  # run -> first metrics of its tasks, candidates, who chose
    "m/sft/cola/main/seed0": (["matthews"], [candidate(1e-3, 61.0, **COST), candidate(1e-2, None)], None),
    "m/sft/cola/main/seed1": (["matthews"], [candidate(1e-3, 60.0, **COST)], "m/sft/cola/main/seed0"),
    "m/ppo/glue/main/seed0": (["matthews", "accuracy"], [candidate(3e-3, 50.0), candidate(1e-3, 70.0)], None),
    "m/reward-label/sst2/main/seed0": (["accuracy"], [candidate(1e-3, 90.0)], None),
}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for run, (metrics, candidates, chose) in RUNS.items():
        best = max(candidates, key=lambda c: c["validation"] or 0)
        spec = {"learning_rate_from": chose, "train_tasks": [{"metrics": [name, "f1"]} for name in metrics]}
        facts = {"learning_rate": best["learning_rate"], "candidates": candidates}
        write_json(tmp_path / run / "run.json", {"facts": facts, "spec": spec})
    write_json(tmp_path / "m/merged-backbone/sst2/main/seed0/run.json", {"facts": {}, "spec": {}})
    return tmp_path


def test_every_rate_of_every_run_that_learns_has_a_row(results: Path) -> None:
    found = candidates_table(results, TASKS, "embedded")
    assert list(found.columns) == list(CANDIDATES)
    shown = found[["method", "mixture", "mixture_kind", "seed", "learning_rate", "validation", "metric", "chosen"]]
    assert [tuple(None if value != value else value for value in row) for row in shown.to_numpy(dtype=object)] == [
        ("ppo", "glue", "mt", 0, 3e-3, 50.0, "mean", False),
        ("ppo", "glue", "mt", 0, 1e-3, 70.0, "mean", True),
        ("reward-label", "sst2", "st", 0, 1e-3, 90.0, "pairs told apart", True),
        ("sft", "cola", "st", 0, 1e-3, 61.0, "matthews", True),
        ("sft", "cola", "st", 0, 1e-2, None, "matthews", False),
        ("sft", "cola", "st", 1, 1e-3, 60.0, "matthews", True),
    ]


def test_cost_and_who_chose_stand_in_the_row(results: Path) -> None:
    found = candidates_table(results, TASKS, "embedded")
    chose, diverged, took = (row for _, row in found[found["method"] == "sft"].iterrows())
    assert chose[list(COST)].to_dict() == took[list(COST)].to_dict() == COST
    assert diverged[list(COST)].isna().all()
    assert pd.isna(chose["learning_rate_from"])
    assert took["learning_rate_from"] == "m/sft/cola/main/seed0"


def test_runs_that_are_not_asked_for_are_left_out(results: Path) -> None:
    found = candidates_table(results, TASKS, "embedded", {"m/sft/cola/main/seed1"})
    assert found[["method", "seed"]].to_numpy().tolist() == [["sft", 1]]


def test_where_less_is_better_the_score_stands_below_zero() -> None:
    assert chosen_by("sft", [{"metrics": ["perplexity", "judge"]}]) == "-perplexity"
    assert chosen_by("sft", [{"metrics": ["judge", "perplexity"]}]) == "judge"
