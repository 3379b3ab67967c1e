"""Means and differences over seeds and rows, against closed forms, SciPy's tests and plain resampling."""

import numpy as np
import pytest
from scipy import stats
from synthetic import make_predictions, make_rows

from rl4nlu.scores.inference import Contrast, covariance, infer, resample
from rl4nlu.tasks.metrics import score, summarise, summarise_classes
from rl4nlu.tasks.task import load_tasks

TASKS = load_tasks()
A, B = np.array([70.0, 74.0, 81.0]), np.array([60.0, 61.0, 66.5, 58.0])


def test_without_row_variance_it_is_welchs_test() -> None:
    found = infer([Contrast(A, B, 0.0, 300)])
    wanted = stats.ttest_ind(A, B, equal_var=False)
    assert found.value == pytest.approx(A.mean() - B.mean())
    assert (found.p, found.freedom) == (pytest.approx(wanted.pvalue), pytest.approx(wanted.df))
    assert found.bounds == pytest.approx(tuple(wanted.confidence_interval(0.95)))


def test_runs_that_share_trainings_are_pairs() -> None:
    found = infer([Contrast(A, B[:3], 0.0, 300, shared=True)])
    wanted = stats.ttest_rel(A, B[:3])
    assert (found.p, found.freedom) == (pytest.approx(wanted.pvalue), 2)


def test_rows_add_their_variance_and_many_degrees_of_freedom() -> None:
    seeds, rows = A.var(ddof=1) / 3, 4.0
    found = infer([Contrast(A, np.zeros(1), rows, 300)])
    assert found.variance == pytest.approx(seeds + rows)
    assert found.freedom == pytest.approx((seeds + rows) ** 2 / (seeds**2 / 2 + rows**2 / 299))


def test_tasks_of_one_run_vary_together_and_tasks_of_others_do_not() -> None:
    """Multi-task runs: what a seed does to all tasks doesn't average out; single-task runs: it does."""
    one = Contrast(A, np.zeros(1), 1.0, 300)
    together, apart = infer([one, one]), infer([one], [one])
    seeds = A.var(ddof=1) / 3
    assert together.variance == pytest.approx(seeds + 1 / 2)
    assert apart.variance == pytest.approx(seeds / 2 + 1 / 2)
    assert together.value == apart.value == pytest.approx(A.mean())


def test_the_interval_is_where_the_test_begins_to_reject() -> None:
    found = infer([Contrast(A, B, 2.0, 50)])
    low, _ = found.bounds
    edge = infer([Contrast(A - low, B, 2.0, 50)])
    assert edge.p == pytest.approx(0.05)


def test_nothing_that_varies_is_no_test() -> None:
    same, other = np.full(3, 80.0), np.full(3, 70.0)
    assert infer([Contrast(same, same, 0.0, 9)]).p == 1
    assert infer([Contrast(same, same, 0.0, 9)]).bounds == (0, 0)
    assert np.isnan(infer([Contrast(same, other, 0.0, 9)]).p)


def test_a_detectable_difference_is_found_four_times_in_five() -> None:
    found = infer([Contrast(A, B, 0.0, 300)])
    shift = found.detectable() / found.variance**0.5
    limit = stats.t.ppf(0.975, found.freedom)
    assert stats.nct.sf(limit, found.freedom, shift) == pytest.approx(0.8, abs=1e-4)
    assert found.detectable(0.01) > found.detectable()


def test_covariances_of_different_runs() -> None:
    draws = np.random.default_rng(0).normal(size=(400, 5))
    every = np.cov(draws, rowvar=False)
    within = (every[:3, :3].sum() - np.trace(every[:3, :3])) / 6
    assert covariance(draws[:, :3]) == pytest.approx(within)
    assert covariance(draws[:, :1]) == pytest.approx(every[0, 0])  # a single run has but itself
    assert covariance(draws[:, :3], draws[:, 3:]) == pytest.approx(every[:3, 3:].mean())
    paired = (every[:2, 2:4].sum() - np.trace(every[:2, 2:4])) / 2
    assert covariance(draws[:, :2], draws[:, 2:4], apart=True) == pytest.approx(paired)


@pytest.mark.parametrize("name", ["sst2", "cola", "stsb", "multirc"])
def test_resamples_are_of_whole_units_and_the_same_for_all_runs(name: str) -> None:
    task = TASKS[name]
    rows = make_rows(task, 60)
    runs = [make_predictions(task, rows, skill, str(skill), 0.05) for skill in (0.9, 0.9, 0.4)]
    metric = task.metrics[0]
    found = resample(summarise(task, rows, runs), 250, 0)
    assert found.observed[metric] == pytest.approx([score(task, rows, run)[metric] for run in runs])
    assert found.drawn[metric].shape == (250, 3)
    assert found.drawn[metric][:, 0] == pytest.approx(found.drawn[metric][:, 1])  # two equal runs
    assert np.std(found.drawn[metric][:, 2]) > 1
    assert found.units == len({row.group or row.id for row in rows})
    again = resample(summarise(task, rows, runs), 250, 0)
    assert (again.drawn[metric] == found.drawn[metric]).all()


def test_the_variance_of_the_rows_is_the_binomials() -> None:
    """Two methods without seeds: right on 3 of 4 rows and on every second one, independently."""
    gold = [0] * 400
    a = [int(i % 4 == 0) for i in range(400)]
    b = [int((i // 4) % 2 == 0) for i in range(400)]
    found = resample(summarise_classes(gold, [a, b], 2), 4000, 0)
    difference = found.contrast(["accuracy"], [0], [1])
    right = 1 - np.array([a, b])
    assert difference.rows == pytest.approx(1e4 * np.var(right[0] - right[1]) / 400, rel=0.1)
    assert found.contrast(["accuracy"], [0]).rows == pytest.approx(1e4 * 0.75 * 0.25 / 400, rel=0.1)


def test_a_method_against_itself_does_not_differ() -> None:
    gold = [0, 1] * 50
    run = [g if i % 7 else 1 - g for i, g in enumerate(gold)]
    found = resample(summarise_classes(gold, [run, run], 2), 200, 0)
    same = infer([found.contrast(["accuracy"], [0], [1])])
    assert (same.value, same.bounds, same.p) == (0, (0, 0), 1)
