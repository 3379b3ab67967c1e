"""The simulation of the tests' errors: small, and what the page about it claims of one situation."""

import numpy as np
import pytest

from rl4nlu.scores.simulation import TESTS, draw_trainings, show_simulation, simulate, simulate_runs, simulation_table


@pytest.mark.parametrize(("kind", "deviation"), [("normal", 0), ("normal", 10), ("one in five fails", 10)])
def test_equal_methods_are_seldom_told_apart(kind: str, deviation: float) -> None:
    found = {row["test"]: row["rejected"] for row in simulate(kind, 3, deviation, 0, 300, 100)}
    assert found["seeds and rows"] <= 0.07
    if deviation:
        assert found["rows only"] > 0.3


def test_large_differences_are_found() -> None:
    found = {row["test"]: row["rejected"] for row in simulate("normal", 5, 2, 20, 100, 100)}
    assert found["seeds and rows"] > 0.95


def test_trainings_vary_by_one_standard_deviation() -> None:
    for kind in ("normal", "one in five fails"):
        drawn = draw_trainings(kind, 20000, np.random.default_rng(0))
        assert drawn.shape == (2, 20000)
        assert (drawn.mean(), drawn.std()) == (pytest.approx(0, abs=0.02), pytest.approx(1, abs=0.02))


def test_simulated_runs_are_as_right_as_asked_and_share_their_rows() -> None:
    runs = np.array(simulate_runs([np.full(200, 0.75)], np.random.default_rng(0))[0])
    assert 1 - runs.mean() == pytest.approx(0.75, abs=0.05)
    assert np.corrcoef(runs)[0, 1:].mean() > 0.2


def test_every_situation_has_a_line() -> None:
    table = simulation_table(repeats=2, draws=10)
    assert set(table["test"]) == set(TESTS)
    lines = show_simulation(table).splitlines()
    assert len(lines) == 2 + 5 + 5 + 4
    assert all(line.count("|") == lines[0].count("|") for line in lines)
