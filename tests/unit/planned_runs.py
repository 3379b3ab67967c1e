"""Runs whose cost the planner's tests estimate, and a folder in which no rows are prepared."""

from pathlib import Path

from rl4nlu.config import load_config, load_models
from rl4nlu.runs.resolve import resolve
from rl4nlu.runs.spec import Address, RunSpec
from rl4nlu.tasks.task import load_tasks

NOWHERE = Path("/nonexistent")


def spec_of(method: str, model: str = "micro-llama", mixture: str = "rte", seed: int = 0, **values) -> RunSpec:
    config, tasks = load_config(values), load_tasks()
    tested = mixture if mixture in tasks and tasks[mixture].answer == "text" else "rte"
    return resolve(config, load_models(), tasks, Address(model, method, mixture, "main", seed), [tested])
