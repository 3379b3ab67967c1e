"""Answers of a decoder: what it generates, what it finds likeliest, with and without an adapter."""

import pytest
import torch
from asking import CLOSE, MODELS, TASKS, TOKENIZER, ask_and_score, files, reading_backbone, rows_of, spec_of, write_data
from scenes import describing_backbone, scene_rows, scenes, scenes_spec
from tiny_models import RuleDecoder, tiny_decoder

from rl4nlu.answering.answer import Backbone
from rl4nlu.answering.decoder import ask
from rl4nlu.answering.generate import generate_tokens
from rl4nlu.answering.labels import read_labels
from rl4nlu.answering.score import score_choices
from rl4nlu.base.errors import ConfigError
from rl4nlu.config import Lora, Model
from rl4nlu.models.load import add_lora, encode_answer, encode_prompts
from rl4nlu.tasks.prompts import OPEN_TAG, answer_text, write_prompt
from rl4nlu.tasks.rows import Row


@pytest.fixture
def data(tmp_path):
    return write_data(tmp_path / "data")


@pytest.fixture
def backbone():
    return reading_backbone()


@pytest.mark.parametrize("kind", ["llama", "mpt"])
def test_scoring_takes_the_likeliest_label_word(data, tmp_path, kind):
    model = tiny_decoder(kind, len(TOKENIZER), positions=2048)
    spec = spec_of(evaluation={"decoding": {"how": "score"}, "bootstrap": 0})
    ask_and_score(spec, data, None, tmp_path / "out", Backbone(TOKENIZER, model))
    predictions, record = files(tmp_path / "out" / "sst2")
    task = TASKS["sst2"]
    choices = [encode_answer(TOKENIZER, answer_text(task, label, spec.protocol), OPEN_TAG) for label in task.labels]
    for row, found in zip(rows_of("sst2", 12), predictions, strict=True):
        prompt = encode_prompts(TOKENIZER, [write_prompt(task, row.fields, (), spec.protocol).text])
        (scores,) = score_choices(model, prompt, [choices])
        assert found["prediction"] == list(task.labels)[scores.index(max(scores))]
        weights = torch.tensor(scores, dtype=torch.float64).softmax(0)
        assert found["confidence"] == pytest.approx(weights[0].item(), abs=1e-5)
    assert record["decoding"] == "score"
    assert record["invalid_rate"] == 0.0


def test_dropped_demonstrations_and_shortened_rows_are_counted(data, tmp_path, backbone, monkeypatch):
    task = TASKS["sst2"]
    rows = rows_of("sst2", 3)
    long = Row("long", {task.fields[0]: "good " * 300}, "1")
    demonstrations = rows_of("sst2", 2, "train")
    room = len(encode_prompts(TOKENIZER, [write_prompt(task, rows[0].fields, demonstrations).text])[0])
    monkeypatch.setitem(MODELS, "tiny", Model(kind="decoder", path="none", max_length=room + 40))
    spec = spec_of(evaluation={"decoding": {"max_new_tokens": 38}})
    with pytest.warns(UserWarning, match="sst2: 1 of 4 "):
        answers = ask(spec, backbone.model, TOKENIZER, task, [rows[0], long, *rows[1:]], demonstrations)
    assert [a.dropped_demonstrations for a in answers] == [0, 2, 0, 0]
    assert [a.shortened for a in answers] == [False, True, False, False]
    assert read_labels(task, answers, spec.protocol) == ["1", "1", "0", "0"]


def test_a_trained_run_uses_its_adapter_and_leaves_the_backbone_alone(data, tmp_path):
    model = tiny_decoder("qwen2", len(TOKENIZER), positions=2048)
    policy = add_lora(tiny_decoder("qwen2", len(TOKENIZER), positions=2048), Lora(bias="all"), 0)
    with torch.no_grad():
        for parameter in policy.parameters():
            if parameter.requires_grad:
                parameter.normal_(std=0.5)
    policy.save_pretrained(tmp_path / "run" / "adapter")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    spec = spec_of("sft", mixture="sst2", evaluation={"bootstrap": 0, "decoding": {"how": "sample"}})
    for out in ("one", "two"):
        ask_and_score(spec, data, tmp_path / "run", tmp_path / out, Backbone(TOKENIZER, model))
    ask_and_score(
        spec_of(evaluation=spec.evaluation.model_dump()), data, None, tmp_path / "base", Backbone(TOKENIZER, model)
    )
    texts = {out: [p["text"] for p in files(tmp_path / out / "sst2")[0]] for out in ("one", "two", "base")}
    assert texts["one"] == texts["two"] != texts["base"]
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    with pytest.raises(ConfigError, match="needs the folder of the trained run"):
        ask_and_score(spec, data, None, tmp_path / "out", Backbone(TOKENIZER, model))
    with pytest.raises(ConfigError, match="holds no adapter"):
        ask_and_score(spec, data, tmp_path / "absent", tmp_path / "out", Backbone(TOKENIZER, model))


def test_answers_are_what_the_adapter_itself_generates(data, tmp_path):
    model = tiny_decoder("llama", len(TOKENIZER), positions=2048)
    spec = spec_of()
    task, rows = TASKS["sst2"], rows_of("sst2", 5)
    texts = [answer.text for answer in ask(spec, model, TOKENIZER, task, rows)]
    for row, text in zip(rows, texts, strict=True):
        (prompt,) = encode_prompts(TOKENIZER, [write_prompt(task, row.fields, (), spec.protocol).text])
        whole = model.generate(torch.tensor([prompt]), max_new_tokens=12, do_sample=False)[0, len(prompt) :].tolist()
        kept = [token for token in whole if token not in (TOKENIZER.eos_token_id, TOKENIZER.pad_token_id)]
        assert text == TOKENIZER.decode(kept)


def test_record_chooses_a_querys_candidate_by_the_confidence_of_yes(tmp_path):
    task = TASKS["record"]
    rows = [
        Row(f"r{i}", {"passage": "p", "query": f"is it {name}", "candidate": name}, label, "query", ["Ann"])
        for i, (name, label) in enumerate([("Bob", "0"), ("Ann", "1"), ("Cid", "0")])
    ]
    model = tiny_decoder("llama", len(TOKENIZER), positions=2048)
    answers = ask(spec_of(tasks=("record",)), model, TOKENIZER, task, rows)
    choices = [encode_answer(TOKENIZER, f" {word} {CLOSE}", OPEN_TAG) for word in task.labels.values()]
    for row, answer in zip(rows, answers, strict=True):
        prompt = encode_prompts(TOKENIZER, [write_prompt(task, row.fields).text])
        (scores,) = score_choices(model, prompt, [choices])
        expected = torch.tensor(scores, dtype=torch.float64).softmax(0)[0].item()
        assert answer.confidence == pytest.approx(expected, abs=1e-5)


def test_label_words_cannot_be_scored_behind_a_rationale(data, tmp_path, backbone):
    spec = spec_of(protocol={"response": "rationale"}, evaluation={"decoding": {"how": "score"}})
    with pytest.raises(ConfigError, match=r"how: score scores label words.*set it to label"):
        ask_and_score(spec, data, None, tmp_path / "out", backbone)


def sum_by_hand(model, prompt, answer):
    """Negative log-probability of an answer's tokens behind a prompt's."""
    logits = model(torch.tensor([[*prompt, *answer]])).logits[0].log_softmax(-1)
    places = torch.arange(len(prompt) - 1, len(prompt) + len(answer) - 1)
    return -logits[places, torch.tensor(answer)].sum().item()


def test_texts_end_at_the_end_token_or_at_their_greatest_length():
    spec, rows = scenes_spec(), scene_rows(6)
    model = describing_backbone().model
    answers = ask(spec, model, TOKENIZER, scenes(metrics=["rouge-l"]), rows)
    assert [a.text for a in answers] == ["a dog can run .", "", "horses", "a dog can sleep .", "", "horses"]
    assert answers[0].tokens == len(" a dog can run .") + 1
    assert answers[0].measured == {}
    short = ask(spec, model, TOKENIZER, scenes(metrics=["rouge-l"], most_tokens=6), rows[:1])
    assert (short[0].text, short[0].tokens) == ("a dog", 6)
    scored = scenes_spec(evaluation={"decoding": {"how": "score"}})  # has no labels to score, and is generated
    assert [a.text for a in ask(scored, model, TOKENIZER, scenes(metrics=["rouge-l"]), rows)] == [
        a.text for a in answers
    ]


def test_no_text_ends_before_its_least_length():
    silent = RuleDecoder(TOKENIZER, lambda prompt: "", start=" :").eval()
    for least in (0, 5):
        task = scenes(metrics=["rouge-l"], least_tokens=least, most_tokens=7)
        answers = ask(scenes_spec(task=task), silent, TOKENIZER, task, scene_rows(3))
        assert {a.tokens for a in answers} == {max(1, least + 1)}


def test_perplexities_are_of_the_reference_by_the_run_and_of_the_answer_by_its_foundation():
    rows, task = scene_rows(4), scenes(metrics=["perplexity", "output-perplexity"], most_tokens=9)
    base = tiny_decoder("llama", len(TOKENIZER), positions=512)
    policy = add_lora(base, Lora(rank=4), 0)
    for name, parameter in policy.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    policy.eval()
    answers = ask(scenes_spec(task=task), policy, TOKENIZER, task, rows)
    prompts = encode_prompts(TOKENIZER, [f"write of {row.fields['words']} :" for row in rows])
    completions = generate_tokens(policy, prompts, tokenizer=TOKENIZER, max_new_tokens=9, min_new_tokens=1)
    with torch.no_grad():
        for answer, row, prompt, completion in zip(answers, rows, prompts, completions, strict=True):
            reference = encode_answer(TOKENIZER, f" {row.answers[0]}", ":")[:9]
            written = [token for token in completion if token not in (1, 2)]
            assert (answer.measured["tokens"], answer.measured["output_tokens"]) == (9, len(written))
            assert answer.measured["nll"] == pytest.approx(sum_by_hand(policy, prompt, reference), rel=1e-4)
            with policy.disable_adapter():
                assert answer.measured["output_nll"] == pytest.approx(sum_by_hand(policy, prompt, written), rel=1e-4)
            assert answer.measured["output_nll"] != pytest.approx(sum_by_hand(policy, prompt, written), rel=1e-2)


def test_an_answer_is_measured_by_the_foundation_model():
    rows, task = [scene_rows(3)[n] for n in (0, 2)], scenes(metrics=["output-perplexity"])
    model = describing_backbone().model
    answers = ask(scenes_spec(task=task), model, TOKENIZER, task, [*rows, scene_rows(2)[1]])
    assert [a.measured["output_tokens"] for a in answers] == [len(" a dog can run ."), len(" horses"), 1]
    empty = scenes(metrics=["output-perplexity"], least_tokens=0)
    silent = RuleDecoder(TOKENIZER, lambda prompt: "", start=" :").eval()
    (answer,) = ask(scenes_spec(task=empty), silent, TOKENIZER, empty, rows[:1])
    assert (answer.text, answer.measured) == ("", {"output_nll": 0.0, "output_tokens": 0})


def test_texts_are_judged_in_points_and_only_as_far_as_is_asked_for():
    task, rows = scenes(metrics=["judge", "perplexity"], judge={"title": "Mood", "text_a": "{answer}"}), scene_rows(2)
    spec = scenes_spec(task=task, judges={"scenes": "vader"})
    happy = RuleDecoder(TOKENIZER, lambda prompt: " a wonderful day" if "dog" in prompt else " ", start=" :").eval()
    answers = ask(spec, happy, TOKENIZER, task, rows, metrics=["judge"])
    assert answers[0].measured["judge"] > 70
    assert answers[1].measured == {"judge": 0.0}  # an empty text is worth nothing
    assert ask(scenes_spec(task=task), happy, TOKENIZER, task, rows, metrics=["judge"])[0].measured == {}
