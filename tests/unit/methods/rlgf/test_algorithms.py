"""The table of modes: LOLS's frequency, D2LOLS's order, and the switch's distribution."""

import pytest
import torch

from rl4nlu.config import Rlgf
from rl4nlu.methods.rlgf.algorithms import MODES, choose_mode, draw_switches, switch_at


def modes(method, steps, **settings):
    chance = torch.Generator().manual_seed(4)
    return [choose_mode(method, step, steps, Rlgf(**settings), chance) for step in range(steps)]


def switches(length, roll_in, rows=200_000):
    has, places = draw_switches(rows, roll_in, torch.Generator().manual_seed(7))
    return torch.tensor([switch_at(place, length) if one else 0 for one, place in zip(has, places, strict=True)])


def test_ppo_pp_and_aggrevated_have_one_mode():
    assert modes("ppo++", 9) == ["ppo++"] * 9
    assert modes("aggrevated", 9) == ["aggrevated"] * 9


def test_lols_draws_ppo_pps_mode_with_its_share():
    found = modes("lols", 20_000)
    assert found.count("ppo++") / 20_000 == pytest.approx(0.8, abs=0.01)
    assert set(found) == set(MODES["lols"])
    assert modes("lols", 50, lols_share=0) == ["aggrevated"] * 50
    assert modes("lols", 50, lols_share=1) == ["ppo++"] * 50


@pytest.mark.parametrize(
    ("share", "steps", "first"), [(0.4, 50, 20), (0.2, 500, 100), (0.4, 5, 2), (0, 7, 0), (1, 7, 7)]
)
def test_d2lols_is_aggrevated_first_and_ppo_pp_then(share, steps, first):
    """Its release: 20 of 50 and 100 of 500 iterations."""
    assert modes("d2lols", steps, d2lols_share=share) == ["aggrevated"] * first + ["ppo++"] * (steps - first)


def test_the_switch_is_uniform_below_the_length_and_there_is_none_without_a_roll_in():
    """L = 48 and beta = .6: 40 % have none, the others 1 to 47, 24 on average; the release's own code gave 39.3 % and 24.0."""
    found = switches(48, 0.6)
    assert (found == 0).float().mean().item() == pytest.approx(0.4, abs=0.005)
    kept = found[found > 0]
    assert (kept.min().item(), kept.max().item()) == (1, 47)
    assert kept.float().mean().item() == pytest.approx(24, abs=0.15)
    counts = torch.bincount(kept, minlength=48)[1:] / len(kept)
    assert counts.tolist() == pytest.approx([1 / 47] * 47, rel=0.1)


def test_a_short_roll_in_has_few_places_and_one_token_none():
    """L = 5 and beta = .8: 0 to 4, a fifth each."""
    assert (torch.bincount(switches(5, 0.8), minlength=6) / 200_000).tolist() == pytest.approx(
        [0.2] * 5 + [0], abs=0.005
    )
    assert set(switches(2, 1.0, 100).tolist()) == {1}
    assert set(switches(1, 1.0, 100).tolist()) == set(switches(0, 1.0, 100).tolist()) == {0}
    assert set(switches(48, 0.0, 1000).tolist()) == {0}
    assert (switches(48, 1.0) > 0).all()
    assert switch_at(1 - 2**-53, 48) == 47
