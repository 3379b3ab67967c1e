"""Preferences by hand: the loss on last scores, and how well margins tell pairs apart."""

import math

import pytest
import torch

from rl4nlu.base.errors import Diverged
from rl4nlu.methods.preferences import last_loss, told_apart


def test_last_loss_by_hand():
    found = last_loss(torch.tensor([1.0, -1.0]), torch.tensor([0.0, 2.0]))
    assert found.tolist() == pytest.approx([math.log(1 + math.exp(-1)), math.log(1 + math.exp(3))])


def test_told_apart_by_hand():
    found = told_apart([math.log(3), math.log(3), -math.log(3), math.log(3)])  # confidence .75 four times, right thrice
    assert (found["n"], found["accuracy"]) == (4, 0.75)
    assert found["calibration"] == pytest.approx(0, abs=1e-12)
    assert found["margin"] == pytest.approx(math.log(3) / 2)
    assert found["loss"] == pytest.approx((3 * math.log(4 / 3) + math.log(4)) / 4)
    assert told_apart([8.0, -8.0])["calibration"] == pytest.approx(1 / (1 + math.exp(-8)) - 0.5)
    assert told_apart([])["accuracy"] is None
    assert told_apart([0.0])["accuracy"] == 0  # a tie is not told apart
    with pytest.raises(Diverged, match="no longer finite"):
        told_apart([1.0, math.nan])
