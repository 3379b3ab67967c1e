"""Intervals and tests against scikit-learn, SciPy, enumeration and plain resampling of rows."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from synthetic import make_predictions, make_rows

from rl4nlu.scores.intervals import bootstrap, holm, intervals, mcnemar, mean_sd, paired
from rl4nlu.tasks.metrics import score, summarise, summarise_classes
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


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_two_sided_binomial_test(only_a: int, only_b: int) -> None:
    wanted = stats.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    assert mcnemar(only_a, only_b) == pytest.approx(wanted)


def test_one_pair_with_accuracy_is_mcnemars() -> None:
    gold = [0] * 20
    a, b = [0] * 15 + [1] * 5, [0] * 6 + [1] * 11 + [2] * 3  # unparseable answers are wrong
    found = paired(summarise_classes(gold, [a, b], 2), [(0, 1)], ["accuracy"], 1000, 0)
    only_a, only_b = 9, 0
    assert found.test == "McNemar, exact"
    assert found.p == pytest.approx(mcnemar(only_a, only_b))
    assert (found.value_a, found.value_b, found.difference) == (75, 30, 45)
    assert found.low < 45 < found.high


@pytest.mark.parametrize(
    ("name", "metric"), [("cola", "matthews"), ("mrpc", "f1"), ("stsb", "spearman"), ("rte", "accuracy")]
)
def test_permutation_p_is_that_of_all_exchanges(name: str, metric: str) -> None:
    """Ten rows, two pairs of runs: every one of the 2^10 exchanges, scored by metrics.py."""
    task = TASKS[name]
    rows = make_rows(task, 10)
    runs = [make_predictions(task, rows, skill, f"{k}{skill}", 0.1) for k in range(2) for skill in (0.95, 0.3)]
    found = paired(summarise(task, rows, runs), [(0, 1), (2, 3)], [metric], 20000, 0)
    differences = []
    for swaps in itertools.product([False, True], repeat=10):
        total = 0.0
        for a, b in ((runs[0], runs[1]), (runs[2], runs[3])):
            left = [y if s else x for x, y, s in zip(a, b, swaps, strict=True)]
            right = [x if s else y for x, y, s in zip(a, b, swaps, strict=True)]
            total += score(task, rows, left)[metric] - score(task, rows, right)[metric]
        differences.append(total / 2)
    assert found.difference == pytest.approx(differences[0])
    wanted = np.mean(np.abs(differences) >= abs(differences[0]) - 1e-9)
    assert found.test == "paired permutation"
    assert found.p == pytest.approx(wanted, abs=0.015)


def test_a_method_against_itself_does_not_differ() -> None:
    task = TASKS["cola"]
    rows = make_rows(task, 30)
    run = make_predictions(task, rows, 0.7, "s")
    found = paired(summarise(task, rows, [run, run]), [(0, 1)], ["matthews"], 200, 0)
    assert (found.difference, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_paired_intervals_are_narrower_than_unpaired_ones() -> None:
    """Two runs that agree on most rows: resampling rows moves both."""
    gold = [0, 1] * 100
    a = [g if i % 5 else 1 - g for i, g in enumerate(gold)]
    b = [g if i % 5 and i % 31 else 1 - g for i, g in enumerate(gold)]
    summary = summarise_classes(gold, [a, b], 2)
    found = paired(summary, [(0, 1)], ["accuracy"], 2000, 0)
    alone = intervals(summary, 2000, 0)["accuracy"]
    assert found.high - found.low < (alone[1] - alone[0]) / 1.5


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
