"""Answers of a decoder: what it generates, what it finds likeliest, with and without an adapter."""

import pytest
import torch
from asking import CLOSE, MODELS, TASKS, TOKENIZER, ask_and_score, files, reading_backbone, rows_of, spec_of, write_data
from tiny_models import tiny_decoder

from rl4nlu.answering.answer import Backbone
from rl4nlu.answering.decoder import ask
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
