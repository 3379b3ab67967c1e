"""Where a task's rows would come from, and the one line that says why there are none."""

from pathlib import Path

import pytest

from rl4nlu.base.errors import ConfigError
from rl4nlu.config import Data
from rl4nlu.tasks.available import at_source, files_of, local_files, source_of, why_absent
from rl4nlu.tasks.task import Task, load_tasks

TASKS = load_tasks()


def test_a_task_with_a_source_of_its_own_keeps_it() -> None:
    pinned = TASKS["cola"].model_copy(update={"source": "hub"})
    assert source_of(TASKS["cola"], Data())[0] == "microworld"
    assert source_of(pinned, Data())[0] == "hub"


def test_absent_files_are_named_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "glue" / "RTE").mkdir(parents=True)
    (tmp_path / "glue" / "RTE" / "trains.tsv").write_text("x")
    line = str(why_absent(TASKS["rte"], Data(source="local", data_root=str(tmp_path))))
    assert line.startswith("task rte: no file")
    assert "did you mean 'trains.tsv'" in line


def test_a_source_that_a_task_does_not_name_is_named() -> None:
    assert why_absent(TASKS["ax"], Data()) is None
    assert "task ax: no rows in source hub" in str(why_absent(TASKS["ax"], Data(source="hub")))


def test_files_are_those_of_local_tasks_alone(tmp_path: Path) -> None:
    data = Data(source="local", data_root=str(tmp_path))
    assert [p.relative_to(tmp_path).as_posix() for p in local_files(TASKS["cola"], data)] == [
        "glue/CoLA/train.tsv",
        "glue/CoLA/dev.tsv",
    ]
    assert local_files(TASKS["cola"], Data()) == []
    source = TASKS["rte"].sources.local
    assert source is not None
    with pytest.raises(ConfigError, match="data_root: is missing"):
        files_of(source, Data(source="local"))


def test_a_source_may_state_other_lengths() -> None:
    task = Task(
        title="Text", description="", query="{text}", fields=["text"], answer="text", most_tokens=8, most_prompt_tokens=9,
        reward="overlap", metrics=["rouge-l"], sources={"microworld": {"most_tokens": 30, "least_tokens": 0}, "hub": {"repository": "r"}},
    )  # fmt: skip
    task = task.model_copy(update={"least_tokens": 4})
    micro, hub = (at_source(task, Data(source=name)) for name in ("microworld", "hub"))
    assert (micro.least_tokens, micro.most_tokens, micro.most_prompt_tokens) == (0, 30, 9)
    assert hub == task
    assert at_source(TASKS["cola"], Data()) == TASKS["cola"]
