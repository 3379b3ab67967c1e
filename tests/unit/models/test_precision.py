"""One precision for every way in which a model is run, from its `dtype`."""

import pytest
import torch
from roll_outs import PROMPTS, RESPONSES, SETTINGS, VOCABULARY
from tiny_models import KINDS, byte_tokenizer, tiny_decoder

from rl4nlu.answering.generate import generate_tokens
from rl4nlu.answering.score import answer_logprobs
from rl4nlu.config import Lora
from rl4nlu.methods.rl.policy import Policy, ValueHead, forward, states
from rl4nlu.methods.sft import AnswerTrainer, Collator, Example
from rl4nlu.models.load import add_lora


def policy_of(kind, dtype):
    """A policy that has moved away from its backbone, which is held in `dtype`."""
    backbone = tiny_decoder(kind, VOCABULARY, spread=0.1).to(dtype)
    policy = Policy(add_lora(backbone, Lora(rank=3, bias="all"), 0).eval(), ValueHead(32))
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return policy


def sample(policy, prompts=PROMPTS):
    chance = torch.Generator().manual_seed(0)
    more = {"tokenizer": byte_tokenizer(), "max_new_tokens": 4, "sample": True, "generator": chance}
    return generate_tokens(policy.model, prompts, **more)


def learn_supervised(policy):
    pool = [Example(prompt + answer, len(prompt)) for prompt, answer in zip(PROMPTS, RESPONSES, strict=True)]
    batch = Collator(pool, 2)([{"example": n} for n in range(len(pool))])
    AnswerTrainer.compute_loss(object.__new__(AnswerTrainer), policy.model, batch)


WAYS = {
    "sampling and answering": sample,
    "scoring and judging": lambda policy: answer_logprobs(policy.model, PROMPTS, RESPONSES),
    "policies": lambda policy: forward(policy, PROMPTS, RESPONSES, SETTINGS),
    "reward models and critics": lambda policy: states(policy.model, PROMPTS, RESPONSES, read=True),
    "supervised": learn_supervised,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("held", "computed"), [("bfloat16", "bfloat16"), ("float16", "float16"), ("float32", None)])
def test_every_way_of_running_a_model_computes_in_its_dtype(way, held, computed):
    policy = policy_of("llama", getattr(torch, held))
    seen = set()

    def note(*_):
        seen.add(torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None)

    decoder = policy.model.get_base_model()
    decoder.lm_head.register_forward_hook(note)
    decoder.base_model.layers[0].register_forward_hook(note)
    WAYS[way](policy)
    assert seen == {computed and getattr(torch, computed)}
    assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_trained_is_float32_and_what_is_frozen_is_not(kind):
    policy = policy_of(kind, torch.bfloat16)
    trained = {name: p.dtype for name, p in policy.model.named_parameters() if p.requires_grad}
    assert set(trained.values()) == {torch.float32}
    assert any(name.endswith("base_layer.bias") for name in trained) == (kind in ("qwen2", "gpt2", "gpt_neox"))
    norms = [m for m in policy.model.modules() if isinstance(m, torch.nn.LayerNorm) and m.bias is not None]
    assert {norm.weight.dtype for norm in norms} == ({torch.float32} if kind.startswith("gpt") else set())
    kept = {id(norm.weight) for norm in norms}
    assert {p.dtype for p in policy.model.parameters() if not p.requires_grad and id(p) not in kept} == {torch.bfloat16}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_updates_see_the_probabilities_that_answers_are_sampled_and_scored_by(kind, dtype):
    policy = policy_of(kind, dtype)
    for prompt in PROMPTS:
        drawn = []
        hook = policy.model.get_base_model().register_forward_hook(lambda _m, _a, out, to=drawn: to.append(out.logits))
        (answer,) = sample(policy, [prompt])
        hook.remove()
        sampled = [logits[0, -1].float().log_softmax(-1)[token] for logits, token in zip(drawn, answer, strict=True)]
        updated = forward(policy, [prompt], [answer], SETTINGS)
        (scored,) = answer_logprobs(policy.model, [prompt], [answer])
        for other in (sampled, scored):
            torch.testing.assert_close(updated.logp[0], torch.tensor(other), atol=1e-5, rtol=0)
        assert updated.logp.dtype == updated.value.dtype == torch.float32
