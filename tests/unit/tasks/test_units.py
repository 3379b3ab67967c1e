"""What is drawn together: units that share a text, by one rule for all layouts."""

from dataclasses import replace

import numpy as np
import pytest
from synthetic import make_predictions, make_rows_that_share

from rl4nlu.config import Data
from rl4nlu.scores.intervals import bootstrap
from rl4nlu.tasks.metrics import score, summarise, tally
from rl4nlu.tasks.prepare import read
from rl4nlu.tasks.rows import Row
from rl4nlu.tasks.task import load_tasks
from rl4nlu.tasks.units import by_group, cluster_of, draw_together

TASKS = load_tasks()
SIMILARITY = TASKS["stsb"].model_copy(update={"carve_by": "sentence1"})
CLUSTERED = [*(task for task in TASKS.values() if task.carve_by and task.answer != "text"), SIMILARITY]


def test_groups_keep_the_order_and_single_rows_are_groups() -> None:
    rows = [Row(str(n), {}, "1", group) for n, group in enumerate(["b", "a", "b", None])]
    assert by_group(rows) == {"b": [0, 2], "a": [1], "3": [3]}


@pytest.mark.parametrize("task", CLUSTERED, ids=lambda task: task.name)
def test_a_cluster_counts_as_all_of_its_units(task) -> None:
    """Every weighting of clusters is the same weighting of the rows in them."""
    rows = make_rows_that_share(task, 60, 3)
    runs = [make_predictions(task, rows, skill, str(skill), 0.1) for skill in (0.9, 0.4)]
    found, alone = summarise(task, rows, runs), tally(task, rows, runs)
    assert found.codes.shape[1] * 3 == alone.codes.shape[1]
    times = np.random.default_rng(0).integers(0, 4, size=(5, found.codes.shape[1])).astype(float)
    for run in range(2):
        wanted = alone.evaluate(times.repeat(3, axis=1), alone.codes[run])
        for name, values in found.evaluate(times, found.codes[run]).items():
            np.testing.assert_allclose(values, wanted[name], atol=1e-8)
        for name, value in score(task, rows, runs[run]).items():
            assert found.values(run)[name] == pytest.approx(value)


@pytest.mark.parametrize("task", CLUSTERED, ids=lambda task: task.name)
def test_units_that_share_no_text_are_drawn_as_they_are(task) -> None:
    rows = make_rows_that_share(task, 40, 1)
    runs = [make_predictions(task, rows, 0.7, "a")]
    found, alone = summarise(task, rows, runs), tally(task, rows, runs)
    assert (found.codes == alone.codes).all()
    assert draw_together(alone, [None] * alone.codes.shape[1]) is alone


def test_rows_that_agree_within_a_text_make_the_interval_as_wide_as_the_texts_are_few() -> None:
    """Four questions on each of 25 passages, all answered alike: as much as 25 rows know, not as 100."""
    task, rows = TASKS["boolq"], make_rows_that_share(TASKS["boolq"], 100, 4)
    predictions = [
        row.label if place // 4 % 2 else next(label for label in task.labels if label != row.label)
        for place, row in enumerate(rows)
    ]
    low, high = bootstrap(task, rows, predictions, 4000, 0)["accuracy"]
    few = [(rows[4 * n], predictions[4 * n]) for n in range(25)]
    assert bootstrap(task, [row for row, _ in few], [p for _, p in few], 4000, 0)["accuracy"] == (
        pytest.approx(low, abs=4.1),
        pytest.approx(high, abs=4.1),
    )
    apart = bootstrap(task.model_copy(update={"carve_by": None}), rows, predictions, 4000, 0)["accuracy"]
    assert high - low == pytest.approx(2 * (apart[1] - apart[0]), rel=0.15)


def test_clusters_are_named_by_their_text_and_tasks_without_such_a_field_have_none() -> None:
    one, other = (Row(str(n), {"passage": "p" * 999, "question": str(n)}, "true") for n in range(2))
    assert cluster_of(TASKS["boolq"], one) == cluster_of(TASKS["boolq"], other)
    assert len(str(cluster_of(TASKS["boolq"], one))) < 20
    assert cluster_of(TASKS["boolq"], replace(one, fields=one.fields | {"passage": "q"})) != cluster_of(
        TASKS["boolq"], one
    )
    assert cluster_of(TASKS["cola"], Row("0", {"sentence": "s"}, "1")) is None


@pytest.mark.real_data
def test_official_multirc_is_drawn_by_passage(official_data) -> None:
    task = TASKS["multirc"]
    rows = read(task, Data(source="local", data_root=str(official_data)))[0]["test"]
    predictions = make_predictions(task, rows, 0.5, "official")
    questions = len({row.group for row in rows})
    found = summarise(task, rows, [predictions])
    assert found.codes.shape[1] == len({row.fields["passage"] for row in rows}) < questions / 5
    assert found.values(0)["multirc-em"] == pytest.approx(score(task, rows, predictions)["multirc-em"])
