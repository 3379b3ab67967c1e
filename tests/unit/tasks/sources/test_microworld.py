"""Generated rows: every task has them, with what they are derived from."""

from itertools import combinations

import pytest

from rl4nlu.base.errors import ConfigError
from rl4nlu.config import Data
from rl4nlu.microworld import generators
from rl4nlu.tasks.prepare import carve, read
from rl4nlu.tasks.sources import microworld
from rl4nlu.tasks.sources.layouts import to_rows
from rl4nlu.tasks.task import load_tasks
from rl4nlu.tasks.units import text_kept_apart

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


SOME = Data(train_rows=600, validation_rows=100, test_rows=200)


@pytest.mark.parametrize("name", sorted(TASKS))
def test_no_text_that_is_kept_apart_stands_in_two_splits(name: str) -> None:
    """Of a task that another one trains for: in the other's training rows."""
    task = TASKS[name]
    leader = TASKS[task.trained_with or name]
    found = {other.name: read(other, SOME)[0] for other in (leader, task)}
    train, validation = carve(leader, found[leader.name]["train"], 100, 0)
    splits = [(leader, train), (leader, validation), (task, found[name]["test"])]
    texts = [{text_kept_apart(owner, row) for row in rows} for owner, rows in splits]
    assert [len(rows) >= n for (_, rows), n in zip(splits, (600, 90, 200), strict=True)] == [True] * 3
    assert not any(one & other for one, other in combinations(texts, 2))


def test_rows_that_are_left_out_are_replaced_and_no_other_row_changes() -> None:
    task, source = TASKS["wsc"], TASKS["wsc"].sources.microworld
    found = microworld.read(task, source, SOME)[0]
    drawn = generators.rows("wsc", "train", 700, SOME.seed)
    tested = {raw.values["text"] for raw in found["test"].rows}
    kept = [row["text"] for row in drawn if row["text"] not in tested]
    assert 600 < len(kept) < 700
    assert [raw.values["text"] for raw in found["train"].rows][: len(kept)] == kept
    assert len(found["train"].rows) == 700
    assert [raw.values for raw in found["test"].rows] == generators.rows("wsc", "test", 200, SOME.seed)


def test_unknown_generators_are_errors() -> None:
    source = TASKS["cola"].sources.microworld.model_copy(update={"task": "colla"})
    with pytest.raises(ConfigError, match=r"task cola: sources.microworld: .*colla"):
        microworld.read(TASKS["cola"], source, Data(train_rows=5, validation_rows=1))
