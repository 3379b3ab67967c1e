"""The update: accumulation, the forward pass that is not repeated, minibatches that are skipped."""

import pytest
import torch
from roll_outs import ARCHITECTURES, PROMPTS, RESPONSES, SCORES, SETTINGS, policy_of, with_settings

from rl4nlu.config import Ppo
from rl4nlu.methods.rl import experience as experience_of_roll_outs
from rl4nlu.methods.rl import ppo
from rl4nlu.methods.rl import update as update_module
from rl4nlu.methods.rl.experience import Experience, gather_experience
from rl4nlu.methods.rl.policy import Policy, forward
from rl4nlu.methods.rl.update import update


def gradients(policy: Policy, settings: Ppo) -> list[torch.Tensor]:
    """What one pass over the rows asks of the parameters (SGD at rate 1 leaves its negative)."""
    before = [p.detach().clone() for p in policy.parameters()]
    experience, first = gather_experience(policy, PROMPTS, RESPONSES, ["t"] * 6, SCORES, 0.3, settings, ppo.PPO)
    update(
        policy,
        torch.optim.SGD(policy.parameters(), 1.0),
        experience,
        settings,
        torch.Generator().manual_seed(0),
        ppo.PPO,
        first,
    )
    return [old - new.detach() for old, new in zip(before, policy.parameters(), strict=True)]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_accumulation_equals_one_batch(architecture):
    whole = gradients(policy_of(architecture, torch.float64), with_settings(epochs=1))
    for change in ({"micro_batch_size": 1}, {"micro_batch_tokens": 64}):
        pieces = gradients(policy_of(architecture, torch.float64), with_settings(epochs=1, **change))
        assert all(torch.allclose(a, b, atol=1e-6, rtol=0) for a, b in zip(whole, pieces, strict=True))
        assert max(float(a.abs().max()) for a in whole) > 1e-2


def test_first_forward_is_not_repeated(monkeypatch):
    calls = []
    for module in (experience_of_roll_outs, update_module):
        monkeypatch.setattr(module, "forward", lambda *arguments: calls.append(1) or forward(*arguments))
    for change, expected in (({}, 1 + 1 + 1), ({"micro_batch_size": 3}, 2 + 2 + 4)):  # reference, policy, two epochs
        calls.clear()
        gradients(policy_of("llama"), with_settings(epochs=2, **change))
        assert len(calls) == expected


def test_a_minibatch_whose_ratio_explodes_is_skipped():
    policy = policy_of("llama")
    experience, _ = gather_experience(policy, PROMPTS, RESPONSES, ["t"] * 6, SCORES, 0.3, SETTINGS, ppo.PPO)
    far = Experience(**{**vars(experience), "logp": experience.logp - 90})  # its exponential is infinite
    before = [p.detach().clone() for p in policy.parameters()]
    found = update(
        policy, torch.optim.SGD(policy.parameters(), 1.0), far, SETTINGS, torch.Generator().manual_seed(0), ppo.PPO
    )
    assert found["skipped"] == 1
    assert found["loss"] == 0
    assert all(torch.equal(a, b) for a, b in zip(before, policy.parameters(), strict=True))
