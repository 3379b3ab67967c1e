"""Intervals against plain resampling of rows, and the correction of tests."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import make_predictions, make_rows

from rl4nlu.scores.intervals import bootstrap, holm, mean_sd
from rl4nlu.tasks.metrics import score
from rl4nlu.tasks.task import load_tasks
from rl4nlu.tasks.units import by_group

TASKS = load_tasks()


@pytest.mark.parametrize("name", ["sst2", "mrpc", "cola", "cb", "stsb", "multirc", "record", "axg"])
def test_intervals_are_those_of_resampled_rows(name: str) -> None:
    """Rows (or whole groups) drawn with replacement and scored one resample at a time."""
    task = TASKS[name]
    rows = make_rows(task, 80)
    predictions = make_predictions(task, rows, 0.6, "b", 0.05)
    found = bootstrap(task, rows, predictions, 4000, 0)
    rng = np.random.default_rng(1)
    units = list(by_group(rows).values())
    values: dict[str, list[float]] = {metric: [] for metric in task.metrics}
    for _ in range(1000):
        drawn = [(copy, i) for copy, u in enumerate(rng.integers(0, len(units), len(units))) for i in units[u]]
        some = [replace(rows[i], id=f"{copy}/{i}", group=f"{copy}" if rows[i].group else None) for copy, i in drawn]
        for metric, value in score(task, some, [predictions[i] for _, i in drawn]).items():
            values[metric].append(value)
    for metric in task.metrics:
        low, high = np.percentile(values[metric], [2.5, 97.5])
        near = 0.3 * np.std(values[metric]) + 101 / len(units)  # percentiles of few draws, on the grid of the units
        assert found[metric] == (pytest.approx(low, abs=near), pytest.approx(high, abs=near)), metric


def test_intervals_hold_the_value_and_repeat() -> None:
    task = TASKS["stsb"]
    rows = make_rows(task, 50)
    predictions = make_predictions(task, rows, 0.7, "c")
    first = bootstrap(task, rows, predictions, 500, 3)
    assert first == bootstrap(task, rows, predictions, 500, 3)
    assert list(first) == task.metrics
    for metric, value in score(task, rows, predictions).items():
        low, high = first[metric]
        assert low < value < high
    assert bootstrap(task, rows, predictions, 0, 3) == {}


def test_holm_on_a_worked_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_keeps_the_order_and_lies_between_p_and_bonferroni(p_values: list[float]) -> None:
    found = holm(p_values)
    for p, adjusted in zip(p_values, found, strict=True):
        assert p <= adjusted <= min(1.0, p * len(p_values)) + 1e-12
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    assert all(found[i] <= found[j] for i, j in itertools.pairwise(order))


def test_mean_and_sample_deviation() -> None:
    assert mean_sd([1.0, 3.0]) == (2.0, pytest.approx(2**0.5))
    assert mean_sd([5.0]) == (5.0, None)
