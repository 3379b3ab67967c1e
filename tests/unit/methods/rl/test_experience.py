"""From scores to rewards and advantages, by hand."""

import pytest
import torch
from roll_outs import ARCHITECTURES, PROMPTS, RESPONSES, SCORES, SETTINGS, policy_of

from rl4nlu.config import Ppo
from rl4nlu.methods.rl import ppo
from rl4nlu.methods.rl.experience import adapt_kl_coefficient, gather_experience, token_rewards, whiten
from rl4nlu.methods.rl.ppo import gae


def test_gae_by_hand():
    # gamma .5, lambda .5; row 1 has three tokens, row 2 one
    rewards = torch.tensor([[1.0, 0.0, 2.0], [3.0, 0.0, 0.0]])
    values = torch.tensor([[0.5, 1.0, -1.0], [1.0, 0.0, 0.0]])
    mask = torch.tensor([[1.0, 1, 1], [1, 0, 0]])
    # deltas: 1+.5*1-.5 = 1; 0+.5*(-1)-1 = -1.5; 2-(-1) = 3
    # advantages backwards: 3; -1.5+.25*3 = -.75; 1+.25*(-.75) = .8125
    found = gae(rewards, values, mask, gamma=0.5, lam=0.5)
    assert torch.equal(found, torch.tensor([[0.8125, -0.75, 3.0], [2.0, 0.0, 0.0]]))


def test_token_rewards_by_hand():
    kl = torch.tensor([[1.0, -2.0, 0.0], [4.0, 0.0, 0.0]])
    mask = torch.tensor([[1.0, 1, 1], [1, 0, 0]])
    found = token_rewards(torch.tensor([1.0, -3.0]), kl, mask, 0.5)
    assert torch.equal(found, torch.tensor([[-0.5, 1.0, 1.0], [-5.0, 0.0, 0.0]]))


def test_whitening_is_masked():
    mask = torch.tensor([[1.0, 1, 0], [1, 1, 0]])
    values = torch.tensor([[1.0, 2.0, 99.0], [3.0, 6.0, 99.0]])
    found = whiten(values, mask)
    kept = found[mask.bool()]
    assert kept.mean().item() == pytest.approx(0, abs=1e-6)
    assert kept.var().item() == pytest.approx(1, abs=1e-5)
    assert (found[:, 2] == 0).all()
    assert whiten(values, mask, shift=False)[mask.bool()].mean().item() == pytest.approx(3)


def test_adaptive_kl_by_hand():
    settings = Ppo(kl_control="adaptive", kl_target=6, kl_horizon=10000)
    coefficient, found = 0.2, []
    for kl in (0.0, 6.0, 6.6, 60.0):
        coefficient = adapt_kl_coefficient(coefficient, kl, 16, settings)
        found.append(coefficient)
    # errors -1 -> -.2, 0, .1, 9 -> .2; times 16/10000
    expected = [0.2 * (1 - 0.00032)]
    expected += [expected[0], expected[0] * 1.00016]
    expected += [expected[2] * 1.00032]
    assert found == pytest.approx(expected, rel=1e-12)
    assert adapt_kl_coefficient(0.2, 60.0, 16, Ppo(kl_control="fixed")) == 0.2


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_kl_to_the_reference_is_exactly_zero_at_first(architecture):
    policy = policy_of(architecture, moved=False)
    experience, _ = gather_experience(policy, PROMPTS, RESPONSES, ["t"] * 6, SCORES, 0.3, SETTINGS, ppo.PPO)
    assert torch.equal(experience.kl, torch.zeros_like(experience.kl))
    moved = policy_of(architecture)
    experience, _ = gather_experience(moved, PROMPTS, RESPONSES, ["t"] * 6, SCORES, 0.3, SETTINGS, ppo.PPO)
    assert experience.kl.abs().sum() > 0.01
