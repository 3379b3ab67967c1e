import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from random_decoders import ALWAYS, MODELS, NEVER, TOKENIZER, VOCABULARY, prompts_of
from tiny_models import RuleDecoder, byte_tokenizer, tiny_decoder
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from rl4nlu.answering import generate as generation
from rl4nlu.answering.generate import (
    choose,
    decode_completions,
    generate_texts,
    generate_tokens,
    length_batches,
    shared_prefix,
)


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]


def test_greedy_equals_transformers_generate(model):
    prompts = prompts_of([9, 4, 17, 1, 30])
    ours = generate_tokens(model, prompts, tokenizer=TOKENIZER, max_new_tokens=12)
    for prompt, completion in zip(prompts, ours, strict=True):
        theirs = model.generate(torch.tensor([prompt]), max_new_tokens=12, do_sample=False)[0, len(prompt) :].tolist()
        assert completion == theirs
    assert len({tuple(c) for c in ours}) > 1


def test_greedy_ends_at_the_end_token_like_transformers():
    model = tiny_decoder("llama", VOCABULARY)
    with torch.no_grad():
        model.lm_head.weight[1] *= 3  # makes the end token likely now and then
    prompts = prompts_of([5] * 40)
    ours = generate_tokens(model, prompts, tokenizer=TOKENIZER, max_new_tokens=10)
    lengths = {len(c) for c in ours}
    assert any(c[-1] == 1 and len(c) < 10 for c in ours)
    assert len(lengths) > 1
    for prompt, completion in zip(prompts, ours, strict=True):
        theirs = model.generate(torch.tensor([prompt]), max_new_tokens=10, do_sample=False)[0, len(prompt) :].tolist()
        assert completion == theirs
        assert 1 not in completion[:-1]


@pytest.mark.parametrize("sample", [False, True])
def test_batch_size_and_padding_do_not_change_completions(model, sample):
    prompts = prompts_of([9, 4, 17, 1, 30, 12])

    def run(budget):
        generator = torch.Generator().manual_seed(5)
        return generate_tokens(
            model,
            prompts,
            tokenizer=TOKENIZER,
            max_new_tokens=8,
            sample=sample,
            generator=generator,
            batch_tokens=budget,
        )

    assert run(1) == run(100) == run(10_000)


def test_a_tokenizer_whose_end_token_pads_changes_nothing(model):
    """GPT-2's case: the end token fills rows, where it is never seen, and ends completions, where it is."""
    padding = byte_tokenizer(pad=False)
    padding.pad_token = padding.eos_token
    prompts = prompts_of([9, 4, 17, 1, 30, 12])

    def run(tokenizer):
        more = {"max_new_tokens": 8, "sample": True, "temperature": 3.0}
        return generate_tokens(model, prompts, tokenizer=tokenizer, generator=torch.Generator().manual_seed(5), **more)

    assert run(padding) == run(TOKENIZER)


def test_sampling_follows_its_seed_and_temperature():
    model, prompts = MODELS["llama"], prompts_of([6] * 8)

    def run(seed, **over):
        generator = torch.Generator().manual_seed(seed)
        return generate_tokens(
            model, prompts, tokenizer=TOKENIZER, max_new_tokens=6, sample=True, generator=generator, **over
        )

    greedy = generate_tokens(model, prompts, tokenizer=TOKENIZER, max_new_tokens=6)
    assert run(1) == run(1) != run(2)
    assert run(1, top_k=1) == greedy == run(1, temperature=1e-4)
    assert run(1, temperature=3.0) != run(1)


@pytest.mark.parametrize("shared", [1, 40])
def test_prefix_cache_changes_nothing(model, shared):
    prompts = prompts_of([9, 4, 17, 1, 30], shared)
    run = {"tokenizer": TOKENIZER, "max_new_tokens": 8, "batch_tokens": 200}
    assert generate_tokens(model, prompts, prefix_share=ALWAYS, **run) == generate_tokens(
        model, prompts, prefix_share=NEVER, **run
    )


@pytest.mark.parametrize("share", [NEVER, ALWAYS])
def test_a_prompt_that_is_asked_several_times_is_read_once(model, share, monkeypatch):
    one, other = prompts_of([9, 14], shared=3)
    asked, read = [one, other, one, one, other], []
    how = {"tokenizer": TOKENIZER, "max_new_tokens": 8, "sample": True, "prefix_share": share}
    alone = generate_tokens(model, asked, generator=torch.Generator().manual_seed(5), batch_tokens=1, **how)
    reading = generation.read_prompts
    monkeypatch.setattr(generation, "read_prompts", lambda m, p, *rest: read.append(p) or reading(m, p, *rest))
    assert generate_tokens(model, asked, generator=torch.Generator().manual_seed(5), **how) == alone
    assert read == [[other, one]]
    assert len({tuple(c) for c in alone}) > 2


def test_stop_string_over_several_tokens_and_as_one():
    for whole in ((), ("</J>",)):
        tokenizer = byte_tokenizer(whole)
        model = RuleDecoder(tokenizer, lambda prompt: "Yes </J>\nand more")
        prompts = [tokenizer.encode(f"{text}<Judgement>") for text in ("a", "bcd")]
        run = {"tokenizer": tokenizer, "max_new_tokens": 30}
        assert generate_texts(model, prompts, stop="</J>", **run) == ["Yes </J>"] * 2
        for tokens in generate_tokens(model, prompts, stop="</J>", **run):
            assert tokenizer.decode(tokens) == "Yes </J>"
            assert len(tokens) == (5 if whole else 8)
        assert generate_texts(model, prompts, **run) == ["Yes </J>\nand more"] * 2
        assert generate_tokens(model, prompts, **run)[0][-1] == tokenizer.eos_token_id


def test_decoding_drops_end_and_padding_and_cuts_behind_the_stop():
    ids = [*TOKENIZER.encode("No </J>x"), TOKENIZER.pad_token_id, TOKENIZER.eos_token_id]
    model = MODELS["llama"]
    assert decode_completions(model, TOKENIZER, [ids]) == ["No </J>x"]
    assert decode_completions(model, TOKENIZER, [ids], stop="</J>") == ["No </J>"]


def test_inverse_sampling_follows_the_distribution():
    logits = torch.tensor([[0.0, -torch.inf, 1.0, 2.0]])
    uniforms = (torch.arange(10_000) + 0.5) / 10_000
    tokens = choose(logits.expand(10_000, 4), uniforms, temperature=2.0)
    share = torch.bincount(tokens, minlength=4) / 10_000
    assert share.tolist() == pytest.approx((logits[0] / 2).softmax(-1).tolist(), abs=2e-4)
    assert choose(logits, torch.tensor([0.0])).item() == 0
    assert choose(logits.roll(-1), torch.tensor([0.0])).item() == 1  # never a token of zero probability
    assert choose(logits, torch.tensor([1.0])).item() == 3


@pytest.mark.parametrize(("temperature", "top_k", "top_p"), [
    (1.0, 0, 0.92), (0.7, 0, 0.5), (1.3, 5, 0.9), (1.0, 3, 0.999), (1.0, 0, 1e-9), (1.0, 50, 1.0), (2.0, 1, 0.3),
])  # fmt: skip
def test_nucleus_temperature_and_top_k_keep_the_tokens_that_transformers_warpers_keep(temperature, top_k, top_p):
    """Nine tokens of ten rows, one row flat, one with a sure token: what 2,000 even draws give, against the warpers' distribution."""
    logits = 2 * torch.randn(10, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    logits[3], logits[4, 2] = torch.arange(9) * 1e-6, 40.0
    warped = TemperatureLogitsWarper(temperature)(None, logits)
    warped = TopKLogitsWarper(top_k)(None, warped) if top_k else warped
    warped = TopPLogitsWarper(top_p)(None, warped)
    uniforms = (torch.arange(2_000) + 0.5) / 2_000
    for row, theirs in zip(logits, warped.softmax(-1), strict=True):
        drawn = choose(row.expand(2_000, 9), uniforms, temperature, top_k, top_p)
        share = torch.bincount(drawn, minlength=9) / 2_000
        assert ((share > 0) == (theirs > 1e-3)).logical_or(theirs < 1e-3).all()
        assert share[theirs == 0].sum() == 0
        assert share.tolist() == pytest.approx(theirs.tolist(), abs=1e-3)


def test_the_nucleus_is_reached_exactly_and_never_empty():
    """Of four equal tokens; the numbers are exact."""
    uniforms = (torch.arange(1_000) + 0.5) / 1_000
    for top_p, kept in ((0.0, 1), (0.01, 1), (0.25, 1), (0.26, 2), (0.5, 2), (0.75, 3), (0.76, 4), (1.0, 4)):
        assert len(set(choose(torch.zeros(1_000, 4), uniforms, top_p=top_p).tolist())) == kept
        if top_p < 1:
            assert TopPLogitsWarper(top_p)(None, torch.zeros(1, 4)).isfinite().sum() == kept


def test_no_end_token_before_the_least_length_like_transformers():
    model = tiny_decoder("llama", VOCABULARY)
    with torch.no_grad():
        model.lm_head.weight[1] *= 3
    prompts = prompts_of([5] * 40)
    free = generate_tokens(model, prompts, tokenizer=TOKENIZER, max_new_tokens=10)
    least = [4 + row % 3 for row in range(40)]
    ours = generate_tokens(model, prompts, tokenizer=TOKENIZER, max_new_tokens=10, min_new_tokens=least)
    assert ours != free
    assert any(len(c) == least[row] + 1 for row, c in enumerate(ours))
    for row, (prompt, completion) in enumerate(zip(prompts, ours, strict=True)):
        given = {"max_new_tokens": 10, "min_new_tokens": least[row], "do_sample": False}
        assert completion == model.generate(torch.tensor([prompt]), **given)[0, len(prompt) :].tolist()
    sampled = generate_tokens(
        model, prompts, tokenizer=TOKENIZER, max_new_tokens=6, min_new_tokens=6, sample=True,
        generator=torch.Generator().manual_seed(2),
    )  # fmt: skip
    assert {len(c) for c in sampled} == {6}
    assert not any(1 in c for c in sampled)


@pytest.mark.parametrize("sample", [False, True])
def test_every_row_has_its_own_room_and_the_others_do_not_feel_it(model, sample):
    prompts = prompts_of([9, 4, 17, 1, 30])

    def run(room, **more):
        return generate_tokens(
            model, prompts, tokenizer=TOKENIZER, max_new_tokens=room, sample=sample,
            generator=torch.Generator().manual_seed(5), **more,
        )  # fmt: skip

    whole, rooms = run(12), [12, 1, 5, 0, 7]
    assert run(rooms) == [completion[:room] for completion, room in zip(whole, rooms, strict=True)]
    assert run([12] * 5) == whole
    kept = []
    run(rooms, batch_tokens=1, keep=lambda rows, found: kept.extend(rows))
    assert sorted(kept) == [0, 1, 2, 4]


@pytest.mark.parametrize("sample", [False, True])
def test_a_cut_completion_that_is_continued_is_the_uncut_one(model, sample):
    """At every place, together and alone; the draws are those of the places."""
    prompts = prompts_of([9, 4, 17, 1, 30], shared=6)

    def run(begun, **more):
        generator = torch.Generator().manual_seed(5)
        given = {"max_new_tokens": 8, "top_p": 0.9, "sample": sample, "generator": generator}
        return generate_tokens(model, prompts, tokenizer=TOKENIZER, begun=begun, **given, **more)

    def cut(completion, place):  # what has ended is not continued
        return completion[:-1] if TOKENIZER.eos_token_id in completion[:place] else completion[:place]

    whole = run(None)
    for place in range(8):
        assert run([cut(completion, place) for completion in whole]) == whole
    assert run([cut(*each) for each in zip(whole, (0, 3, 8, 1, 5), strict=True)], batch_tokens=1) == whole
    assert run([[7, 7], [], [], [], []])[0][:2] == [7, 7]
    assert run([[7, TOKENIZER.eos_token_id], [], [], [], []])[0] == [7, TOKENIZER.eos_token_id]  # it has ended


def test_a_stop_text_may_lie_across_the_seam_of_what_is_begun():
    tokenizer = byte_tokenizer()
    model = RuleDecoder(tokenizer, lambda prompt: "Yes </J>\nand more")
    prompts, whole = [tokenizer.encode("a<Judgement>")], tokenizer.encode("Yes </J>")
    for cut in range(len(whole)):
        run = {"tokenizer": tokenizer, "max_new_tokens": 30, "stop": "</J>"}
        assert generate_tokens(model, prompts, begun=[whole[:cut]], **run) == [whole]


def test_nan_logits_and_empty_prompts_are_refused():
    with pytest.raises(FloatingPointError, match="NaN"):
        choose(torch.tensor([[float("nan"), 0.0]]), None)
    with pytest.raises(FloatingPointError, match="NaN"):
        choose(torch.tensor([[float("nan"), 0.0]]), torch.tensor([0.5]))
    with pytest.raises(ValueError, match="prompt 1 is empty"):
        generate_tokens(MODELS["llama"], [[3], []], tokenizer=TOKENIZER, max_new_tokens=1)
    with pytest.raises(ValueError, match="Generator"):
        generate_tokens(MODELS["llama"], [[3]], tokenizer=TOKENIZER, max_new_tokens=1, sample=True)


def test_nothing_to_do():
    assert generate_tokens(MODELS["llama"], [], tokenizer=TOKENIZER, max_new_tokens=3) == []


def test_shared_prefix_threshold():
    assert shared_prefix([[1, 2, 3, 4], [1, 2, 5, 6]], 0.25) == [1, 2]
    assert shared_prefix([[1, 2, 3, 4], [1, 2, 5, 6]], 0.26) == []
    assert shared_prefix([[1, 2], [1, 2]], 0.0) == [1]  # a token of each prompt stays outside
    assert shared_prefix([[1, 2]], 0.0) == []


@given(st.lists(st.integers(1, 200), max_size=60), st.integers(1, 400))
def test_length_batches_hold_every_row_once_within_the_budget(lengths, budget):
    batches = length_batches(lengths, budget)
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[r] for r in batch) <= budget
