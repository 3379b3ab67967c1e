"""Guides: the frozen start, another model with another tokenizer, a server, the gold answers."""

import json
import re

import pytest
import torch
from chat_server import KEY, completion, served
from guided import prompts_of, sampler_of, spec_of
from interruptions import lines_of, without_times
from roll_outs import WORDS
from scenes import scenes
from tiny_models import RuleDecoder, byte_tokenizer, tiny_decoder

from rl4nlu.base.errors import ConfigError
from rl4nlu.config import Model, load_config, load_models
from rl4nlu.methods.rl.rollout import gold_answer, plan_prompts
from rl4nlu.methods.rlgf import guides, rlgf
from rl4nlu.methods.rlgf.guides import ModelGuide, ServerGuide, TextGuide, open_guide, score_guide
from rl4nlu.models.load import load_tokenizer
from rl4nlu.runs.resolve import resolve
from rl4nlu.runs.spec import Address
from rl4nlu.tasks.rows import Row

ID = {word: number for number, word in enumerate(WORDS)}
END = ID["</s>"]


def tokens_of(*words):
    return [ID[word] for word in words]


ANSWER = tokens_of(" ", "Positive", " ", "</Judgement>")
NOTHING = [[]] * 8


def guide_of(spec, **more):
    sampler = sampler_of(spec, **more)
    return open_guide(spec, sampler, None, None)


# The start -------------------------------------------------------------------------------------------------------------


def test_the_start_stays_where_it_was_and_the_learner_does_not(place):
    spec = spec_of(place)
    prompts = prompts_of(spec, place)
    unmoved = guide_of(spec, moved=False).write(prompts, NOTHING, 3)
    assert guide_of(spec).write(prompts, NOTHING, 3) == unmoved
    assert guide_of(spec).write(prompts, NOTHING, 4) != unmoved
    learner = spec_of(place, guide_weights="learner")
    assert guide_of(learner, moved=False).write(prompts, NOTHING, 3) == unmoved
    assert guide_of(learner).write(prompts, NOTHING, 3) != unmoved
    assert guide_of(spec).digest() == guide_of(spec, moved=False).digest()


def test_the_start_is_sampled_from_its_nucleus_and_the_policy_is_what_it_was(place):
    spec = spec_of(place, guide_top_p=1e-9)
    guide = guide_of(spec)
    prompts = prompts_of(spec, place)
    assert guide.write(prompts, NOTHING, 1) == guide.write(prompts, NOTHING, 2)  # greedy
    guide = guide_of(spec_of(place))
    policy = guide.sampler.policy
    before = policy.model(input_ids=torch.tensor([prompts[0].tokens])).logits
    assert guide.write(prompts, NOTHING, 1) != guide.write(prompts, NOTHING, 2)
    assert torch.equal(policy.model(input_ids=torch.tensor([prompts[0].tokens])).logits, before)


def test_what_a_policy_has_begun_is_gone_on_with_token_for_token(place):
    spec = spec_of(place)
    guide, prompts = guide_of(spec), prompts_of(spec, place)
    whole = guide.write(prompts, NOTHING, 5)
    for cut in range(1, 6):
        assert guide.write(prompts, [answer[:cut] for answer in whole], 5) == whole
    begun = [tokens_of("good", "film")] * 8
    assert all(answer[:2] == begun[0] for answer in guide.write(prompts, begun, 5))


def test_its_score_is_that_of_its_own_answers(place, monkeypatch):
    spec = spec_of(place)
    guide = guide_of(spec)
    monkeypatch.setattr(guide, "write", lambda prompts, begun, draw: [ANSWER for _ in prompts])
    assert score_guide(spec, guide, guide.sampler, place / "data") == 50  # three of six validation rows are positive
    monkeypatch.setattr(guide, "write", lambda prompts, begun, draw: [tokens_of("dull") for _ in prompts])
    assert score_guide(spec, guide, guide.sampler, place / "data") == 0


# Another model ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def other(place, monkeypatch):
    """A guide with a byte-level tokenizer that answers every prompt rightly; and what it has read."""
    tokenizer, read = byte_tokenizer(("<Judgement>", "</Judgement>")), []

    def rule(prompt):
        asked = prompt.rpartition("Prompt:")[2]
        read.append(asked)
        return f" {'Positive' if 'good' in asked else 'Negative'} </Judgement> and more"

    decoder = RuleDecoder(tokenizer, rule).eval()
    genuine = guides.load_tokenizer
    monkeypatch.setattr(guides, "load_backbone", lambda model: decoder)
    monkeypatch.setattr(guides, "load_tokenizer", lambda model: tokenizer if model.path == "other" else genuine(model))
    models = {"other": Model(kind="decoder", path="other", max_length=2000)}
    spec = spec_of(place, guide="model", guide_model="other", models=models, max_new_tokens=40)
    return spec, ModelGuide(spec, sampler_of(spec), None), prompts_of(spec, place)


def test_a_guide_with_another_tokenizer_speaks_in_the_policys_tokens(other):
    _, guide, prompts = other
    word = {"1": "Positive", "0": "Negative"}
    wanted = [tokens_of(" ", word[p.row.label], " ", "</Judgement>") for p in prompts]
    assert guide.write(prompts, NOTHING, 0) == wanted
    for cut in (1, 2, 3):
        assert guide.write(prompts, [answer[:cut] for answer in wanted], 0) == wanted
    assert len(guide.digest()) == 16


def test_a_prefix_that_comes_out_as_other_tokens_is_not_gone_on_with(other):
    """Two words without a space between them are read as one, an unknown one."""
    _, guide, prompts = other
    begun = [tokens_of("good", "film"), tokens_of(" "), *[[]] * 6]
    found = guide.write(prompts, begun, 0)
    assert found[0] is None
    assert all(answer is not None for answer in found[1:])


def test_an_end_of_the_guides_is_the_policys_and_nothing_outgrows_the_room(other):
    _, guide, (prompt, *_) = other
    assert guide.join(prompt, [], " Positive", True, 9) == [*tokens_of(" ", "Positive"), END]
    assert guide.join(prompt, [], " Positive", False, 9) == tokens_of(" ", "Positive")
    assert guide.join(prompt, [], " Positive </Judgement>", True, 9) == ANSWER
    assert guide.join(prompt, [], " Positive </Judgement>", True, 2) == ANSWER[:2]
    assert guide.join(prompt, ANSWER[:2], "", False, 9) == [*ANSWER[:2], END]
    assert guide.join(prompt, ANSWER[:2], " </Judgement>", False, 1) == ANSWER[:2]
    assert guide.join(prompt, [], "", True, 9) == [END]


@pytest.mark.parametrize("name", ["micro-llama", "micro-qwen2", "micro-mpt"])
def test_every_shipped_tokenizer_goes_on_from_every_cut_of_an_answer(place, name, monkeypatch):
    spec = spec_of(place)
    sampler = sampler_of(spec)
    sampler.tokenizer = load_tokenizer(load_models()[name])
    texts = TextGuide(spec, sampler)
    prompt = prompts_of(spec, place)[0]
    answer = gold_answer(spec, sampler.tokenizer, prompt.task, prompt.row)
    whole = texts.text_of(prompt, answer)
    assert re.fullmatch(r" (Positive|Negative) ?</Judgement>", whole)
    for cut in range(len(answer)):
        begun = texts.text_of(prompt, answer[:cut])
        assert whole.startswith(begun)
        assert texts.join(prompt, answer[:cut], whole[len(begun) :], True, 99) == answer


def test_a_run_with_another_model_as_its_guide(place, tmp_path):
    tiny_decoder("llama", len(byte_tokenizer()), positions=2048).save_pretrained(tmp_path / "other")
    byte_tokenizer().save_pretrained(tmp_path / "other")
    models = {"other": Model(kind="decoder", path=str(tmp_path / "other"), max_length=2048)}
    spec = spec_of(place, "d2lols", guide="model", guide_model="other", models=models)
    facts = rlgf.train(spec, place / "data", tmp_path / "run")
    assert facts["tokens_guided"] > 0
    history = lines_of(tmp_path / "run" / "history.jsonl")
    assert [row["mode"] for row in history] == ["aggrevated", "aggrevated", "ppo++"]


# A server --------------------------------------------------------------------------------------------------------------


def server_spec(place, url, method="d2lols", **more):
    endpoint = {"base_url": url, "model": "m", "key_variable": "TEST_KEY", "attempts": 1, "longest_wait": 0.01} | more
    return spec_of(place, method, guide="endpoint", guide_endpoint=endpoint)


def right(number, prompt):
    """What a server says that knows the label, and repeats what it was given of an answer."""
    text = prompt.rpartition("Prompt:")[2]
    begun = text.rpartition("<Judgement>")[2]
    word = "Positive" if "good" in text else "Negative"
    return 200, {}, completion(f"{begun.strip()} {word} </Judgement>".strip())


def test_a_server_is_asked_to_go_on_and_its_repetition_is_cut_off(place, tmp_path, monkeypatch):
    monkeypatch.setenv("TEST_KEY", KEY)
    with served(right) as state:
        spec = server_spec(place, state.url)
        guide, prompts = ServerGuide(spec, sampler_of(spec), tmp_path), prompts_of(spec, place)
        word = {"1": "Positive", "0": "Negative"}
        wanted = [tokens_of(" ", word[p.row.label], " ", "</Judgement>") for p in prompts]
        assert guide.write(prompts, NOTHING, 0) == wanted
        asked = len(state.requests)
        assert guide.write(prompts, NOTHING, 0) == wanted
        assert len(state.requests) == asked  # the same draw is asked for once
        guide.write(prompts, NOTHING, 1)
        assert len(state.requests) == 2 * asked
        begun = [tokens_of(" ", "dull")] * 8
        found = guide.write(prompts, begun, 0)
        assert found == [begun[0] + tokens_of(" ", word[p.row.label], " ", "</Judgement>")[:4] for p in prompts]
        said = state.requests[0][2]
        assert said["max_tokens"] == 6
        assert "Write only what follows" in said["messages"][0]["content"]
    assert KEY not in "".join(path.read_text() for path in tmp_path.iterdir())


@pytest.mark.parametrize(("begun", "answer", "added"), [
    ("", "Positive </Judgement>", " Positive </Judgement>"),
    (" Positive", "Positive </Judgement>", " </Judgement>"),
    (" Positive", "</Judgement> because", " </Judgement>"),
    (" Positive ", "</Judgement>", "</Judgement>"),
    (" dull", ", good", ", good"),
    (" dull", "", ""),
])  # fmt: skip
def test_what_a_server_adds(place, tmp_path, monkeypatch, begun, answer, added):
    monkeypatch.setenv("TEST_KEY", KEY)
    spec = server_spec(place, "http://127.0.0.1:9")
    assert ServerGuide(spec, sampler_of(spec), tmp_path).go_on("Assistant:\n<Judgement>", begun, answer) == added


@pytest.mark.parametrize("method", ["ppo++", "d2lols"])
def test_a_server_that_dies_half_way_is_asked_for_the_rest(place, tmp_path, monkeypatch, method):
    monkeypatch.setenv("TEST_KEY", KEY)

    def train(spec, name):
        return rlgf.train(spec, place / "data", tmp_path / name, cache=tmp_path / f"cache-{name}")

    with served(right) as state:
        whole = train(server_spec(place, state.url, method), "whole")
        needed = len(state.requests)
    dead = []
    with served(
        lambda number, prompt: (500, {}, b"") if dead or number >= needed // 2 else right(number, prompt)
    ) as state:
        spec = server_spec(place, state.url, method, concurrency=1)
        with pytest.raises(ConfigError, match=r"rlgf\.guide_endpoint: .* gave no usable answer in 1 tries"):
            train(spec, "cut")
        before = len(state.requests)
        state.rule = right
        again = train(spec, "cut")
        assert len(state.requests) - before == needed - needed // 2
    assert without_times(again) == without_times(whole)
    assert lines_of(tmp_path / "cut" / "history.jsonl") == lines_of(tmp_path / "whole" / "history.jsonl")


def test_a_server_needs_a_place_for_its_texts(place):
    spec = server_spec(place, "http://127.0.0.1:9")
    with pytest.raises(ConfigError, match="no folder is given in which the server's texts are kept"):
        open_guide(spec, sampler_of(spec), None, None)


# Gold answers ----------------------------------------------------------------------------------------------------------


def test_references_are_the_rows_gold_answers(place, tmp_path):
    spec = spec_of(place, guide="references")
    prompts = prompts_of(spec, place)
    word = {"1": "Positive", "0": "Negative"}
    assert guide_of(spec).write(prompts, NOTHING, 0) == [
        tokens_of(" ", word[p.row.label], " ", "</Judgement>") for p in prompts
    ]
    facts = rlgf.train(spec, place / "data", tmp_path / "run")
    assert (facts["guide_validation"], facts["guide_digest"]) == (None, None)
    assert facts["tokens_guided"] > 0
    assert not any(prompt.gold for prompt in prompts_of(spec_of(place), place))


def test_gold_answers_have_their_rationale_where_answers_have_one(place, tmp_path):
    spec = spec_of(place, guide="references", protocol={"response": "rationale"}, max_new_tokens=12)
    (tmp_path / "sst2").mkdir()
    for split in ("train", "validation"):
        (tmp_path / "sst2" / f"{split}.jsonl").write_text((place / "data" / "sst2" / f"{split}.jsonl").read_text())
    lines = [
        {"split": "train", "id": f"train{n}", "label": str(n % 2), "gold": str(n % 2), "rationale": "dull film"}
        for n in range(20)
    ]
    (tmp_path / "sst2" / "rationales.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    prompts, _ = plan_prompts(spec, tmp_path, load_tokenizer(spec.model_spec))
    assert len({prompt.row.id for prompt in prompts}) == 20  # the rows that have one
    gold = tokens_of("dull", " ", "film", " ", "<Judgement>", " ", "Positive", " ", "</Judgement>")
    assert next(p for p in prompts if p.row.label == "1").gold == gold


def test_the_gold_answer_of_a_continued_review_is_what_follows_or_the_reviews_start():
    review = Row("x", {"words": "the film was good"}, None, answers=["and so was the end of it ."])
    models, texts = load_models(), []
    tokenizer = load_tokenizer(models["micro-llama"])
    task = scenes(query="{words}", layout="continuation", metrics=["bleu-4"])
    for target in ("continuation", "review-start"):
        config = load_config({"rlgf": {"target": target, "supervised_coefficient": 0.1}})
        spec = resolve(config, models, {"scenes": task}, Address("micro-llama", "ppo++", "scenes", "main", 0))
        texts.append(tokenizer.decode(gold_answer(spec, tokenizer, task, review), skip_special_tokens=True).strip())
    assert texts == ["and so was the end of it .", "the film was good and so was the end of it ."]
