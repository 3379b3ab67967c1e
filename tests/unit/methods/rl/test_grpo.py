"""GRPO: group advantages and loss by hand, one update by brute force, a whole run, and that it learns."""

import json
from pathlib import Path

import pytest
import torch
from roll_outs import ARCHITECTURES, PROMPTS, RESPONSES, backbone_of, learn_bandit, make_roll_out

from rl4nlu.base.errors import ConfigError
from rl4nlu.config import Config, Grpo, Lora, Model, check
from rl4nlu.methods.rl import grpo, loop
from rl4nlu.methods.rl import policy as policies
from rl4nlu.methods.rl.experience import gather_experience
from rl4nlu.methods.rl.policy import Policy
from rl4nlu.methods.rl.rollout import Judgement, Prompt
from rl4nlu.methods.rl.update import update
from rl4nlu.models.load import add_lora, load_adapter, load_backbone
from rl4nlu.runs.resolve import resolve
from rl4nlu.runs.spec import Address
from rl4nlu.tasks.task import load_tasks

SETTINGS = Grpo(prompts=3, batch_size=3, group_size=2, minibatch_size=6, epochs=2, max_grad_norm=None)
SCORES = [1.0, -1.0, 1.0, 1.0, -3.0, 1.0]


def policy_of(architecture: str) -> Policy:
    """A policy without a value head, moved away from its reference."""
    policy = Policy(add_lora(backbone_of(architecture, torch.float64), Lora(rank=3), 0).double().eval(), None)
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return policy


def test_an_advantage_is_the_distance_from_the_group_in_its_standard_deviations() -> None:
    mask = torch.tensor([[1.0, 1, 0], [1, 1, 1], [1, 0, 0], [1, 1, 0]])
    zero = torch.zeros_like(mask)
    scores = torch.tensor([1.0, -1.0, 1.0, 1.0])
    settings = Grpo(group_size=2)
    rewards, advantage, returns = grpo.compare_in_groups(scores, zero, zero, mask, mask, 0.0, settings)
    near = 1 / (2**0.5 + 1e-4)  # the unbiased deviation of 1 and -1 is the root of 2
    assert torch.allclose(advantage, torch.tensor([[near, near, 0], [-near] * 3, [0, 0, 0], [0, 0, 0]]))
    assert rewards.tolist() == [[0, 1, 0], [0, 0, -1], [1, 0, 0], [0, 1, 0]]
    assert not returns.any()
    plain = grpo.compare_in_groups(scores, zero, zero, mask, mask, 0.0, Grpo(group_size=2, scale_advantages=False))[1]
    assert plain[:, 0].tolist() == [1, -1, 0, 0]


def brute_force(policy: Policy, settings: Grpo, learning_rate: float) -> None:
    """GRPO with plain loops over rows and tokens, full logits and no cache."""

    def logps(row: int) -> torch.Tensor:
        prompt, response = PROMPTS[row], RESPONSES[row]
        logits = policy.model(input_ids=torch.tensor([prompt + response])).logits[0]
        return logits.log_softmax(-1)[range(len(prompt) - 1, len(prompt) + len(response) - 1), response]

    with torch.no_grad():
        old = [logps(row) for row in range(6)]
        with policy.model.disable_adapter():
            reference = [logps(row) for row in range(6)]
    groups = torch.tensor(SCORES, dtype=torch.float64).view(-1, settings.group_size)
    advantage = ((groups - groups.mean(1, keepdim=True)) / (groups.std(1, keepdim=True) + 1e-4)).flatten()
    optimiser = torch.optim.SGD(policy.parameters(), lr=learning_rate)
    for _ in range(settings.epochs):
        losses = []
        for row in range(6):
            new = logps(row)
            for now, before, base in zip(new, old[row], reference[row], strict=True):
                ratio = (now - before).exp()
                gain = min(ratio * advantage[row], ratio.clamp(0.8, 1.2) * advantage[row])
                kl = (base - now).exp() - (base - now) - 1
                losses.append(-gain + settings.kl_coefficient * kl)
        torch.stack(losses).mean().backward()
        optimiser.step()
        optimiser.zero_grad()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("micro", [None, 2])
def test_one_update_equals_brute_force(architecture: str, micro: int | None) -> None:
    settings = SETTINGS.model_copy(update={"micro_batch_size": micro, "kl_coefficient": 0.3, "ratio_threshold": None})
    ours, plain = policy_of(architecture), policy_of(architecture)
    before = [p.detach().clone() for p in ours.parameters()]
    experience, first = gather_experience(ours, PROMPTS, RESPONSES, ["t"] * 6, SCORES, 0.3, settings, grpo.GRPO)
    optimiser = torch.optim.SGD(ours.parameters(), lr=0.5)
    update(ours, optimiser, experience, settings, torch.Generator().manual_seed(0), grpo.GRPO, first)
    brute_force(plain, settings, 0.5)
    for mine, theirs, old in zip(ours.parameters(), plain.parameters(), before, strict=True):
        assert torch.allclose(mine, theirs, atol=1e-6)
        assert not torch.allclose(mine, old, atol=1e-4)


def spec_of(place: Path, **settings: object):
    values = {"prompts": 12, "batch_size": 4, "group_size": 2, "minibatch_size": 4, "epochs": 2, "max_new_tokens": 3}
    config = Config(grpo=Grpo.model_validate(values | {"lora": {"rank": 2}} | settings))
    model = Model(kind="decoder", path=str(place / "model"))
    return resolve(config, {"tiny": model}, load_tasks(), Address("tiny", "grpo", "sst2", "main", 1))


def test_a_run_answers_every_prompt_of_a_group_and_saves_an_adapter(place, tmp_path):
    facts = grpo.train(spec_of(place), place / "data", tmp_path)
    history = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert [row["prompts"] for row in history] == [4, 8, 12]
    assert {k: facts[k] for k in ("optimiser_steps", "prompts_seen")} == {"optimiser_steps": 12, "prompts_seen": 12}
    assert history[0]["kl"] == 0
    assert "value_loss" not in history[0]
    assert facts["tokens_generated"] >= 24
    load_adapter(load_backbone(spec_of(place).model_spec), tmp_path / "adapter")


def test_a_candidate_that_diverges_is_dropped_and_recorded(place, tmp_path):
    spec = spec_of(place, learning_rates=[1e30, 1e-4], max_grad_norm=None, optimiser="adafactor", ratio_threshold=None)
    facts = grpo.train(spec, place / "data", tmp_path)
    assert facts["candidates"][0] == {"learning_rate": 1e30, "validation": None, "loss": None}
    assert facts["learning_rate"] == 1e-4


def test_answers_to_one_prompt_are_read_behind_it_once(monkeypatch) -> None:
    settings = Grpo(prompts=3, batch_size=3, group_size=4, minibatch_size=12, kl_coefficient=0.1)
    policy = policy_of("llama")
    prompts = [[1] + [n] * (300 + n) for n in (7, 8, 9)]
    task = load_tasks()["sst2"]
    asked = [Prompt(task, None, tokens) for tokens in prompts for _ in range(4)]  # type: ignore[arg-type]
    pieces, predictions = [], policies.predictions
    monkeypatch.setattr(
        policies, "predictions", lambda model, rows, *rest: pieces.append(rows) or predictions(model, rows, *rest)
    )
    loop.optimise(
        policy,
        asked,
        lambda batch: make_roll_out(batch, [[5, 6]] * len(batch)),
        lambda answers: Judgement([1.0, -1.0] * 6, 0.0),
        settings,
        1e-3,
        seed=0,
        objective=grpo.GRPO,
    )
    assert pieces
    assert all(len(rows) == 4 and rows == rows[:1] * 4 for rows in pieces)


def test_reward_is_learned() -> None:
    settings = Grpo(prompts=80, batch_size=4, group_size=8, minibatch_size=32, kl_coefficient=0.0)
    history = learn_bandit(None, settings, grpo.GRPO)
    assert history[0]["reward"] < -0.4
    assert history[-1]["reward"] > 0.6


def test_a_roll_out_is_cut_into_whole_minibatches() -> None:
    with pytest.raises(ConfigError, match=r"batch_size 3 x group_size 4 is not a multiple of minibatch_size 8"):
        check(Grpo, {"prompts": 6, "batch_size": 3, "group_size": 4, "minibatch_size": 8}, "grpo")
