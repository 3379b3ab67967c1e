"""From the records of trained runs to candidates.csv: every learning rate that was tried, its validation score and its cost."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import pandas as pd

from ..config import METHODS
from ..tasks.task import LOWER_IS_BETTER, Task
from .collect import find_records, mixture_kind

CANDIDATES = (
    "scale", "model", "method", "mixture", "mixture_kind", "variant", "seed", "learning_rate", "validation", "metric", "loss",
    "chosen", "tokens_trained", "tokens_generated", "seconds", "cpu_seconds", "learning_rate_from",
)  # fmt: skip
"""Columns of candidates.csv: one row a run and learning rate that it trained with.

`validation` is empty where training diverged, and so is its cost. Where another run chose the rate, `learning_rate_from` has
that run's address.
"""

TOLD_APART = "pairs told apart"
"""What reward models are chosen by: the share of held-out pairs that they tell apart."""

MEAN_OF_TASKS = "mean"
"""What a run on several tasks is chosen by: the mean of their first metrics (those of which less is better below zero)."""


def candidates_table(
    results: Path, tasks: dict[str, Task], scale: str, runs: Collection[str] | None = None
) -> pd.DataFrame:
    """candidates.csv, from the run.json of every run that learns (`runs`: only these addresses)."""
    suites, rows = {task.suite for task in tasks.values()}, []
    for run, record in find_records(results, [name for name, method in METHODS.items() if method.learns], runs):
        facts, spec = record["facts"], record["spec"]
        shared = {
            "scale": scale,
            **run,
            "mixture_kind": mixture_kind(run["mixture"], tasks.get(run["mixture"]), suites),
            "metric": chosen_by(run["method"], spec["train_tasks"]),
            "learning_rate_from": spec.get("learning_rate_from"),
        }
        for candidate in facts["candidates"]:
            known = {name: candidate.get(name) for name in CANDIDATES if name not in shared}
            rows.append({**shared, **known, "chosen": candidate["learning_rate"] == facts["learning_rate"]})
    return pd.DataFrame(rows, columns=list(CANDIDATES))


def chosen_by(method: str, train_tasks: list[dict[str, Any]]) -> str:
    """What the candidates of a method that trains on these tasks are compared by."""
    if not METHODS[method].scored:
        return TOLD_APART
    if len(train_tasks) > 1:
        return MEAN_OF_TASKS
    metric = str(train_tasks[0]["metrics"][0])
    return f"-{metric}" if metric in LOWER_IS_BETTER else metric
