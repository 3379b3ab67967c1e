"""The learning rate over a run."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rl4nlu.methods.schedule import rate_factor


@settings(deadline=None)
@given(st.integers(1, 400))
def test_cosine_rises_over_a_tenth_and_falls_to_a_tenth(steps: int) -> None:
    factors = [rate_factor(step, steps, "cosine") for step in range(steps)]
    peak = factors.index(max(factors))
    assert factors[peak] == 1
    assert peak == max(1, round(steps / 10)) - 1
    assert factors[: peak + 1] == sorted(factors[: peak + 1])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)
    assert min(factors) > 0
    if steps > 1:
        assert factors[-1] == pytest.approx(0.1)


def test_constant_is_constant() -> None:
    assert {rate_factor(step, 30, "constant") for step in range(30)} == {1.0}
