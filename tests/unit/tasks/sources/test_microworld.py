"""Generated rows: every task has them, with what they are derived from."""

import pytest

from rl4nlu.base.errors import ConfigError
from rl4nlu.config import Data
from rl4nlu.tasks.sources import microworld
from rl4nlu.tasks.sources.layouts import to_rows
from rl4nlu.tasks.task import load_tasks

TASKS = load_tasks()


@pytest.mark.parametrize("name", sorted(TASKS))
def test_every_task_has_microworld_rows_with_derivations(name: str) -> None:
    task = TASKS[name]
    readings, origin = microworld.read(
        task, task.sources.microworld, Data(train_rows=12, validation_rows=3, test_rows=8)
    )
    assert set(readings) == ({"test"} if task.trained_with else {"train", "test"})
    assert origin["generator"] == (task.sources.microworld.task or name)
    for found in readings.values():
        rows, dropped = to_rows(task, found)
        assert dropped == []
        assert len(rows) >= 8
        assert all(row.derivation for row in rows)
        if task.sources.microworld.bins:
            assert {row.label for row in rows} <= set(task.labels)
        elif task.labels:
            assert {row.label for row in rows} == set(task.labels)


def test_unknown_generators_are_errors() -> None:
    source = TASKS["cola"].sources.microworld.model_copy(update={"task": "colla"})
    with pytest.raises(ConfigError, match=r"task cola: sources.microworld: .*colla"):
        microworld.read(TASKS["cola"], source, Data(train_rows=5, validation_rows=1))
