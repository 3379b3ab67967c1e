"""The update: accumulation, the forward pass that is not repeated, minibatches that are skipped."""

import pytest
import torch
from roll_outs import ARCHITECTURES, PROMPTS, RESPONSES, SCORES, SETTINGS, policy_of, with_settings

from rl4nlu.config import Ppo
from rl4nlu.methods.rl import experience as experience_of_roll_outs
from rl4nlu.methods.rl import ppo
from rl4nlu.methods.rl import update as update_module
from rl4nlu.methods.rl.experience import Experience, Spans, gather_experience
from rl4nlu.methods.rl.policy import Policy, forward
from rl4nlu.methods.rl.update import update


def gradients(policy: Policy, settings: Ppo, prompts=PROMPTS, responses=RESPONSES, **more) -> list[torch.Tensor]:
    """What one pass over the rows asks of the parameters (SGD at rate 1 leaves its negative)."""
    before = [p.detach().clone() for p in policy.parameters()]
    experience, first = gather_experience(policy, prompts, responses, ["t"] * 6, SCORES, 0.3, settings, ppo.PPO, **more)
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


# Answers that are only in part the policy's ---------------------------------------------------------------------------

SWITCH = [1, 0, 2, 1, 3, 1]
HEADS = [range(k) for k in SWITCH]
TAILS = [range(k, len(r)) for k, r in zip(SWITCH, RESPONSES, strict=True)]
FREE = with_settings(epochs=1, max_grad_norm=None, ratio_threshold=None)


def close(ours, theirs, within=1e-6) -> bool:
    return all(torch.allclose(a, b, atol=within, rtol=0) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_what_stands_in_the_prompt_teaches_as_what_is_masked_in_the_answer(architecture):
    """A prefix that another wrote: read with the prompt, or as the answer's first tokens, which teach nothing."""
    cut = [min(k, len(r) - 1) for k, r in zip(SWITCH, RESPONSES, strict=True)]
    tails = [range(k, len(r)) for k, r in zip(cut, RESPONSES, strict=True)]
    prompts = [p + r[:k] for p, r, k in zip(PROMPTS, RESPONSES, cut, strict=True)]
    responses = [r[k:] for r, k in zip(RESPONSES, cut, strict=True)]
    read = gradients(policy_of(architecture, torch.float64), FREE, prompts, responses)
    masked = gradients(policy_of(architecture, torch.float64), FREE, spans=Spans(tails, tails, tails))
    assert close(read, masked)
    assert not close(read, gradients(policy_of(architecture, torch.float64), FREE), 1e-3)
    assert max(float(a.abs().max()) for a in read) > 1e-2


def test_every_loss_is_the_mean_over_the_tokens_that_take_it():
    """By plain loops: the first tokens take the policy's loss, the others the value's; at first all ratios are one."""
    ours, plain = policy_of("llama", torch.float64), policy_of("llama", torch.float64)
    settings = FREE.model_copy(update={"whiten_advantages": False, "entropy_coefficient": 0.1})
    experience, first = gather_experience(
        ours, PROMPTS, RESPONSES, ["t"] * 6, SCORES, 0.3, settings, ppo.PPO, Spans(HEADS, HEADS, TAILS)
    )
    found = update(
        ours, torch.optim.SGD(ours.parameters(), 1.0), experience, settings, torch.Generator().manual_seed(0), ppo.PPO, first
    )  # fmt: skip
    policy, worth, entropy = [], [], []
    for row, (prompt, response) in enumerate(zip(PROMPTS, RESPONSES, strict=True)):
        out = plain.model(input_ids=torch.tensor([prompt + response]), output_hidden_states=True)
        for t, token in enumerate(response):
            at = len(prompt) - 1 + t
            logs = out.logits[0, at].log_softmax(-1)
            if t in HEADS[row]:
                policy.append(-experience.advantage[row, t] * (logs[token] - logs[token].detach()).exp())
                entropy.append(-(logs.exp() * logs).sum())
            else:
                value = plain.head(out.hidden_states[-1][:, at])
                worth.append(0.5 * (value - experience.returns[row, t]) ** 2)
    losses = {"policy_loss": sum(policy) / len(policy), "value_loss": (sum(worth) / len(worth)).squeeze()}
    loss = losses["policy_loss"] + settings.value_coefficient * losses["value_loss"] - 0.1 * sum(entropy) / len(entropy)
    loss.backward()
    assert found["loss"].item() == pytest.approx(loss.item(), abs=1e-6)
    assert {n: found[n].item() for n in losses} == pytest.approx({n: v.item() for n, v in losses.items()}, abs=1e-6)
    old = policy_of("llama", torch.float64).parameters()
    asked = [before - now for before, now in zip(old, ours.parameters(), strict=True)]
    assert close(asked, [p.grad for p in plain.parameters()])


def test_a_minibatch_without_a_token_of_the_policys_teaches_the_value_alone():
    none = [range(0)] * 6
    every = Spans.whole(RESPONSES).valued
    ours = gradients(policy_of("llama", torch.float64), FREE, spans=Spans(none, none, every))
    assert all(g.isfinite().all() for g in ours)
    assert max(float(g.abs().max()) for g in ours[-2:]) > 1e-2
    nothing = gradients(policy_of("llama", torch.float64), FREE, spans=Spans(none, none, none))
    assert all((g == 0).all() for g in nothing)


def test_no_kl_is_paid_on_tokens_of_others_and_none_is_told():
    policy = policy_of("llama")
    whole, _ = gather_experience(policy, PROMPTS, RESPONSES, ["t"] * 6, SCORES, 0.3, FREE, ppo.PPO)
    parts, _ = gather_experience(
        policy, PROMPTS, RESPONSES, ["t"] * 6, SCORES, 0.3, FREE, ppo.PPO, Spans(HEADS, HEADS, TAILS)
    )
    own = parts.own.bool()
    assert torch.equal(parts.kl[own], whole.kl[own])
    assert (whole.kl[~own & whole.mask.bool()] != 0).all()
    assert (parts.kl[~own] == 0).all()
    last = [len(r) - 1 for r in RESPONSES]
    assert torch.allclose(parts.rewards[range(6), last] + 0.3 * parts.kl[range(6), last], torch.tensor(SCORES))
    logp = [whole.logp[row, t] for row, places in enumerate(HEADS) for t in places]
    assert parts.summary()["entropy"].item() == pytest.approx(-sum(logp).item() / len(logp), rel=1e-5)


def test_gold_answers_are_learnt_by_their_cross_entropy():
    """The difference that the term makes is its own gradient, by plain loops, whatever was read before the answers."""
    gold = [([1, 5, 6, n], [30 + n, 2][: 1 + n % 2]) for n in range(6)]
    settings = FREE.model_copy(update={"supervised_coefficient": 0.25, "temperature": 0.7})
    with_gold = gradients(policy_of("llama", torch.float64), settings, gold=gold)
    without = gradients(policy_of("llama", torch.float64), settings)
    plain = policy_of("llama", torch.float64)
    terms = []
    for prompt, answer in gold:
        logs = plain.model(input_ids=torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
        terms += [-logs[len(prompt) - 1 + t, token] for t, token in enumerate(answer)]
    (0.25 * sum(terms) / len(terms)).backward()
    assert len(terms) == 9
    asked = [a - b for a, b in zip(with_gold, without, strict=True)]
    expected = [torch.zeros_like(p) if p.grad is None else p.grad for p in plain.parameters()]
    assert close(asked, expected)
    assert max(float(g.abs().max()) for g in expected) > 1e-2
