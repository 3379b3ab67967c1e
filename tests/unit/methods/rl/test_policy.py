"""The policy's forward pass against plain transformers calls, and what of it is trained."""

import pytest
import torch
from roll_outs import ARCHITECTURES, PROMPTS, RESPONSES, SETTINGS, VOCABULARY, policy_of, spec_of, with_settings
from tiny_models import TRANSFORMING, tiny_decoder

from rl4nlu.answering.score import answer_logprobs
from rl4nlu.base.errors import ConfigError
from rl4nlu.config import Lora
from rl4nlu.methods.rl.policy import Policy, ValueHead, build_policy, forward, save_adapter
from rl4nlu.models.load import add_lora, load_backbone


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_log_probabilities_do_not_depend_on_batch_padding_or_shared_prefix(architecture):
    policy = policy_of(architecture)
    together = forward(policy, PROMPTS, RESPONSES, SETTINGS)
    left_padded = answer_logprobs(policy.model, PROMPTS, RESPONSES)
    for row, (prompt, response) in enumerate(zip(PROMPTS, RESPONSES, strict=True)):
        alone = forward(policy, [prompt], [response], SETTINGS)
        logits = policy.model(input_ids=torch.tensor([prompt + response])).logits[0, len(prompt) - 1 : -1]
        naive = logits.log_softmax(-1)[range(len(response)), response]
        for other in (alone.logp[0], naive, torch.tensor(left_padded[row])):
            assert torch.allclose(together.logp[row, : len(response)], other, atol=1e-5, rtol=0)
        assert torch.allclose(together.value[row, : len(response)], alone.value[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", TRANSFORMING)
def test_log_probabilities_are_the_whole_models_whatever_it_does_to_its_logits(kind):
    policy = Policy(
        add_lora(tiny_decoder(kind, VOCABULARY), Lora(rank=3, targets="all-linear"), 0).eval(), ValueHead(32)
    )
    heads = []
    policy.model.get_base_model().lm_head.register_forward_hook(lambda _m, args, _o: heads.append(args[0].shape))
    prompts = [[1, 5, 6, 7, 8, 9, 20, *prompt] for prompt in PROMPTS]  # longer than Gemma's window
    found = forward(policy, prompts, RESPONSES, SETTINGS)
    assert heads == [(6, 4, 32)]  # logits exist at response positions only
    scored = answer_logprobs(policy.model, prompts, RESPONSES)
    for row, (prompt, response) in enumerate(zip(prompts, RESPONSES, strict=True)):
        logits = policy.model(input_ids=torch.tensor([prompt + response])).logits[0, len(prompt) - 1 : -1]
        whole = logits.log_softmax(-1)[range(len(response)), response]
        for logp in (found.logp[row, : len(response)], torch.tensor(scored[row])):
            assert torch.allclose(logp, whole, atol=1e-5, rtol=0)


def test_log_probabilities_are_those_of_the_sampling_temperature():
    policy = policy_of("llama")
    found = forward(policy, PROMPTS[:1], RESPONSES[:1], with_settings(temperature=2.0, entropy_coefficient=0.1))
    logits = policy.model(input_ids=torch.tensor([PROMPTS[0] + RESPONSES[0]])).logits[0, len(PROMPTS[0]) - 1 : -1] / 2
    assert torch.allclose(found.logp[0], logits.log_softmax(-1)[range(3), RESPONSES[0]], atol=1e-5)
    assert torch.allclose(found.entropy[0], torch.distributions.Categorical(logits=logits).entropy(), atol=1e-5)


def test_only_the_new_adapter_and_the_value_head_are_trained(place, tmp_path):
    sft = add_lora(load_backbone(spec_of(place).model_spec), Lora(rank=3), 7)
    sft.save_pretrained(str(tmp_path))
    policy = build_policy(spec_of(place, start="sft"), tmp_path)
    with policy.reference():
        pass
    trained = {name for name, p in policy.model.named_parameters() if p.requires_grad}
    assert trained
    assert all(".default." in name for name in trained)
    save_adapter(policy, tmp_path / "again")
    assert {name for name, p in policy.model.named_parameters() if p.requires_grad} == trained


def test_sft_start_is_checked(place, tmp_path):
    with pytest.raises(ConfigError, match="no adapter to start from"):
        build_policy(spec_of(place, start="sft"))
    with pytest.raises(ConfigError, match="bias"):
        build_policy(spec_of(place, start="sft", lora={"bias": "all"}), tmp_path)
