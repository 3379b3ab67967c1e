import pytest
import torch
from random_decoders import ALWAYS, MODELS, NEVER, TOKENIZER, VOCABULARY, prompts_of
from tiny_models import KINDS, RuleDecoder, tiny_decoder

from rl4nlu.answering import score as scoring
from rl4nlu.answering.score import answer_logprobs, score_choices, score_tokens
from rl4nlu.config import Lora
from rl4nlu.models.load import add_lora

LENGTHS = [[3, 1], [2, 2], [1, 1], [4, 1, 2], [5, 3]]
"""Lengths of five prompts' choices."""


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]


def brute_force(model, prompt, answer):
    """Log-probabilities of the answer's tokens from one full forward without padding or cache."""
    with torch.no_grad():
        logits = model(torch.tensor([prompt + answer])).logits[0]
    return [logits[len(prompt) - 1 + n].log_softmax(-1)[token].item() for n, token in enumerate(answer)]


@pytest.mark.parametrize("budget", [1, 120, 100_000])
@pytest.mark.parametrize("share", [NEVER, ALWAYS])
@pytest.mark.parametrize("longest", [0, 10**6])
def test_scores_equal_one_row_at_a_time(model, budget, share, longest, monkeypatch):
    """Cached or not, in one batch or many, choices side by side or in rows of their own."""
    monkeypatch.setattr(scoring, "LONGEST_PACKED", longest)
    prompts = prompts_of([9, 4, 17, 1, 30], shared=12)
    choices = [prompts_of(lengths, seed=n) for n, lengths in enumerate(LENGTHS)]
    found = score_tokens(model, prompts, choices, batch_tokens=budget, prefix_share=share)
    for prompt, options, scores in zip(prompts, choices, found, strict=True):
        for option, score in zip(options, scores, strict=True):
            assert score == pytest.approx(brute_force(model, prompt, option), abs=1e-5)
    sums = score_choices(model, prompts, choices, batch_tokens=budget, prefix_share=share)
    assert sums[3] == pytest.approx([sum(s) for s in found[3]])


@pytest.mark.parametrize("kind", KINDS)
def test_choices_of_a_short_row_stand_side_by_side_where_the_architecture_takes_positions(kind, monkeypatch):
    ways = []
    for way in ("_side_by_side", "_in_copies"):
        plain = getattr(scoring, way)
        monkeypatch.setattr(scoring, way, lambda *given, way=way, plain=plain: ways.append(way) or plain(*given))
    choices = [prompts_of([3, 2], seed=1)]
    score_tokens(MODELS[kind], prompts_of([9]), choices)
    monkeypatch.setattr(scoring, "LONGEST_PACKED", 8)
    score_tokens(MODELS[kind], prompts_of([9]), choices)
    assert ways == ["_in_copies" if kind == "mpt" else "_side_by_side", "_in_copies"]


def test_windowed_attention_and_models_without_a_config_keep_a_row_a_choice():
    model = tiny_decoder("llama", VOCABULARY)
    assert scoring._packs(model)
    model.config.sliding_window = 4
    assert not scoring._packs(model)
    assert not scoring._packs(RuleDecoder(TOKENIZER, str))


def test_scores_of_a_model_with_an_adapter_equal_one_row_at_a_time():
    policy = add_lora(tiny_decoder("qwen2", VOCABULARY), Lora(rank=2), seed=0).eval()
    with torch.no_grad():
        for name, parameter in policy.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.3)
    prompts, choices = prompts_of([5, 8]), [prompts_of([2, 3], seed=4)] * 2
    for prompt, scores in zip(prompts, score_tokens(policy, prompts, choices), strict=True):
        for option, score in zip(choices[0], scores, strict=True):
            assert score == pytest.approx(brute_force(policy, prompt, option), abs=1e-5)


def test_answers_are_scored_one_a_prompt(model):
    prompts, answers = prompts_of([9, 4, 17, 1, 30], shared=40), prompts_of([3, 1, 2, 4, 2], seed=9)
    cached = answer_logprobs(model, prompts, answers, prefix_share=ALWAYS)
    whole = answer_logprobs(model, prompts, answers, prefix_share=NEVER)
    for prompt, answer, one, other in zip(prompts, answers, cached, whole, strict=True):
        assert one == pytest.approx(other, abs=1e-5)
        assert one == pytest.approx(brute_force(model, prompt, answer), abs=1e-5)


def test_no_position_is_asked_for_that_a_table_of_positions_does_not_have(monkeypatch):
    """A long prompt with a short choice beside a short prompt with a long one, and nothing over twenty tokens."""
    monkeypatch.setattr(scoring, "LONGEST_PACKED", 0)
    model = tiny_decoder("gpt2", VOCABULARY, positions=20)
    prompts, choices = prompts_of([18, 11]), [prompts_of([2]), prompts_of([9], seed=1)]
    for prompt, (choice,), (scores,) in zip(prompts, choices, score_tokens(model, prompts, choices), strict=True):
        assert scores == pytest.approx(brute_force(model, prompt, choice), abs=1e-5)


def test_empty_prompts_and_choices_are_refused():
    with pytest.raises(ValueError, match="prompt 1 is empty"):
        score_tokens(MODELS["llama"], [[3], []], [[[4]], [[4]]])
    with pytest.raises(ValueError, match="choice 0 is empty"):
        score_tokens(MODELS["llama"], [[3]], [[[]]])


def test_nothing_to_do():
    assert score_choices(MODELS["llama"], [], []) == []
