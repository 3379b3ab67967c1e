"""PPO against an independent brute-force implementation, and that it learns."""

import copy
import math

import pytest
import torch
from roll_outs import ARCHITECTURES, PROMPTS, RESPONSES, SCORES, learn_bandit, policy_of, with_settings

from rl4nlu.config import Ppo
from rl4nlu.methods.rl import ppo
from rl4nlu.methods.rl.experience import gather_experience
from rl4nlu.methods.rl.policy import Policy, ValueHead
from rl4nlu.methods.rl.update import update


def brute_force(policy: Policy, settings: Ppo, learning_rate: float, orders: list[list[int]]) -> None:
    """PPO on the six rows by definition: a row at a time, a token at a time, logits everywhere, no cache; plain SGD."""
    rows = range(len(PROMPTS))

    def per_token(row):
        prompt, response = PROMPTS[row], RESPONSES[row]
        out = policy.model(input_ids=torch.tensor([prompt + response]), output_hidden_states=True)
        states = range(len(prompt) - 1, len(prompt) + len(response) - 1)
        logp = [torch.log_softmax(out.logits[0, s] / settings.temperature, -1) for s in states]
        weight, bias = policy.head.linear.weight[0], policy.head.linear.bias[0]
        values = [out.hidden_states[-1][0, s] @ weight + bias for s in states]
        entropies = [-(row_logp.exp() * row_logp).sum() for row_logp in logp]
        return [lp[token] for lp, token in zip(logp, response, strict=True)], values, entropies

    with torch.no_grad():
        old = [[[float(x) for x in part] for part in per_token(row)] for row in rows]
        with policy.model.disable_adapter():
            reference = [[float(x) for x in per_token(row)[0]] for row in rows]
    rewards = [
        [-settings.kl_coefficient * (new - ref) for new, ref in zip(old[row][0], reference[row], strict=True)]
        for row in rows
    ]
    for row in rows:
        rewards[row][-1] += SCORES[row]

    def normal(table, shift):
        flat = [x for row in table for x in row]
        mean = sum(flat) / len(flat)
        variance = sum((x - mean) ** 2 for x in flat) / (len(flat) - 1)
        return [[(x - mean) / math.sqrt(variance + 1e-8) + (0 if shift else mean) for x in row] for row in table]

    if settings.whiten_rewards:
        rewards = normal(rewards, shift=False)
    advantages = []
    for row in rows:
        values, found = old[row][1], []
        for t in range(len(values)):  # the sum that GAE abbreviates
            total = 0.0
            for k in range(t, len(values)):
                following = values[k + 1] if k + 1 < len(values) else 0.0
                total += (settings.gamma * settings.gae_lambda) ** (k - t) * (
                    rewards[row][k] + settings.gamma * following - values[k]
                )
            found.append(total)
        advantages.append(found)
    returns = [[a + v for a, v in zip(advantages[row], old[row][1], strict=True)] for row in rows]
    if settings.whiten_advantages:
        advantages = normal(advantages, shift=True)

    parameters = policy.parameters()
    for order in orders:
        for start in range(0, len(order), settings.minibatch_size):
            minibatch = order[start : start + settings.minibatch_size]
            terms, ratios = [], []
            for row in minibatch:
                logp, values, entropies = per_token(row)
                for t in range(len(logp)):
                    a, v0 = advantages[row][t], old[row][1][t]
                    ratio = torch.exp(logp[t] - old[row][0][t])
                    bounded = torch.clamp(ratio, 1 - settings.clip_range, 1 + settings.clip_range)
                    surrogate = torch.min(ratio * a, bounded * a)
                    clipped = torch.clamp(values[t], v0 - settings.clip_range_value, v0 + settings.clip_range_value)
                    error = torch.max((values[t] - returns[row][t]) ** 2, (clipped - returns[row][t]) ** 2) / 2
                    terms.append(
                        -surrogate + settings.value_coefficient * error - settings.entropy_coefficient * entropies[t]
                    )
                    ratios.append(ratio)
            for parameter in parameters:
                parameter.grad = None
            (sum(terms) / len(terms)).backward()
            if settings.ratio_threshold is not None and sum(ratios) / len(ratios) > settings.ratio_threshold:
                continue
            if settings.max_grad_norm is not None:
                norm = math.sqrt(sum(float((p.grad**2).sum()) for p in parameters))
                for parameter in parameters:
                    parameter.grad *= min(1.0, settings.max_grad_norm / (norm + 1e-6))
            with torch.no_grad():
                for parameter in parameters:
                    parameter -= learning_rate * parameter.grad


VARIANTS = {
    "plain": {},
    "minibatches": {"minibatch_size": 2, "epochs": 3},
    "pieces": {"micro_batch_size": 2},
    "raw advantages, tight clips, no gradient clipping": {
        "whiten_advantages": False, "clip_range": 0.02, "clip_range_value": 0.01, "max_grad_norm": None, "epochs": 4,
    },
    "white rewards, discounts": {"whiten_rewards": True, "gamma": 0.9, "gae_lambda": 0.7},
    "entropy, temperature": {"entropy_coefficient": 0.05, "temperature": 1.7},
    "steps skipped": {"ratio_threshold": 1.0001, "epochs": 4, "max_grad_norm": None},
}  # fmt: skip


CASES = [("llama", variant) for variant in VARIANTS] + [
    (a, v) for a in ARCHITECTURES[1:] for v in ("plain", "minibatches")
]


@pytest.mark.parametrize(("architecture", "variant"), CASES)
def test_update_equals_brute_force(architecture, variant):
    settings = with_settings(**VARIANTS[variant])
    rate = 0.5 if settings.max_grad_norm else 0.02
    policy = policy_of(architecture, torch.float64)
    naive, before = copy.deepcopy(policy), copy.deepcopy(policy)

    chance = torch.Generator().manual_seed(3)
    experience, first = gather_experience(
        policy, PROMPTS, RESPONSES, ["t"] * 6, SCORES, settings.kl_coefficient, settings, ppo.PPO
    )
    update(policy, torch.optim.SGD(policy.parameters(), rate), experience, settings, chance, ppo.PPO, first)

    chance = torch.Generator().manual_seed(3)
    brute_force(naive, settings, rate, [torch.randperm(6, generator=chance).tolist() for _ in range(settings.epochs)])
    moved = 0.0
    for found, expected, old in zip(policy.parameters(), naive.parameters(), before.parameters(), strict=True):
        assert torch.allclose(found, expected, atol=1e-6, rtol=0)  # transformers normalises in float32
        moved = max(moved, float((found - old).detach().abs().max()))
    assert moved > 1e-3


def test_reward_is_learned():
    settings = Ppo(prompts=640, batch_size=32, minibatch_size=32, learning_rates=[0.02], kl_coefficient=0.0)
    history = learn_bandit(ValueHead(16), settings, ppo.PPO)
    assert history[0]["reward"] < -0.4
    assert history[-1]["reward"] > 0.6
