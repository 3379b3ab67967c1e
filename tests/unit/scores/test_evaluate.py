import json
import subprocess
import sys
from dataclasses import asdict

import pytest
import torch
from tiny_models import RuleDecoder, byte_tokenizer, tiny_decoder

from rl4nlu.answering import answers
from rl4nlu.answering.answers import ask, validation_score
from rl4nlu.answering.score import score_choices
from rl4nlu.base.errors import ConfigError
from rl4nlu.base.files import read_json, read_jsonl, write_jsonl
from rl4nlu.base.journal import Journal
from rl4nlu.config import Config, Lora, Model
from rl4nlu.models.load import add_lora, encode_answer, encode_prompts
from rl4nlu.runs.resolve import resolve
from rl4nlu.runs.spec import Address, RunSpec
from rl4nlu.scores import evaluate
from rl4nlu.scores.evaluate import Backbone, evaluate_run
from rl4nlu.tasks.metrics import score
from rl4nlu.tasks.prompts import answer_text, write_prompt
from rl4nlu.tasks.reading import OPEN_TAG
from rl4nlu.tasks.rows import Row
from rl4nlu.tasks.task import load_tasks

CLOSE = "</Judgement>"
TOKENIZER = byte_tokenizer((CLOSE,))
TASKS = load_tasks()
MODELS = {"tiny": Model(kind="decoder", path="none", max_length=2000)}


def spec_of(method="zero-shot", tasks=("sst2",), mixture="none", seed=0, **settings) -> RunSpec:
    settings.setdefault("evaluation", {"bootstrap": 20})
    return resolve(Config(**settings), MODELS, TASKS, Address("tiny", method, mixture, "main", seed), list(tasks))


def rows_of(task, n, split="test"):
    """Rows whose texts say their label: the first field holds `good` or `bad`."""
    labels = list(TASKS[task].labels) or [1.0, 4.5]
    made = []
    for i in range(n):
        fields = dict.fromkeys(TASKS[task].fields, f"text {i}")
        fields[TASKS[task].fields[0]] = f"{'good' if i % 3 == 0 else 'bad'} {i}"
        made.append(Row(f"{task}/{split}:{i}", fields, labels[0] if i % 3 == 0 else labels[1]))
    return made


@pytest.fixture
def data(tmp_path):
    for task in ("sst2", "rte", "stsb", "superglue-rte"):
        for split, n in (("train", 9), ("validation", 8), ("test", 12)):
            rows = [] if task == "superglue-rte" and split != "test" else rows_of(task, n, split)
            write_jsonl(tmp_path / "data" / task / f"{split}.jsonl", (asdict(row) for row in rows))
    return tmp_path / "data"


def reader(prompt: str) -> str:
    """Answers SST-2 rightly where the row says `good`, and not at all where it holds a 7."""
    asked = prompt.rpartition("Prompt:")[2]
    if "7" in asked:
        return " maybe " + CLOSE
    return f" {'Positive' if 'good' in asked else 'Negative'} {CLOSE}\n<Analysis>"


@pytest.fixture
def backbone():
    return Backbone(TOKENIZER, RuleDecoder(TOKENIZER, reader).eval())


def files(folder):
    return read_jsonl(folder / "predictions.jsonl"), read_json(folder / "metrics.json")


def test_the_record_says_what_was_asked_and_the_scores_follow_from_the_predictions(data, tmp_path, backbone):
    spec = spec_of(seed=3)
    evaluate_run(spec, data, None, tmp_path / "out", backbone)
    predictions, record = files(tmp_path / "out" / "sst2")
    rows = rows_of("sst2", 12)
    assert [p["id"] for p in predictions] == [row.id for row in rows]
    assert [p["gold"] for p in predictions] == [row.label for row in rows]
    assert predictions[0]["text"] == f" Positive {CLOSE}"
    assert predictions[7]["prediction"] is None
    assert predictions[7]["score"] == 0.0
    found = score(TASKS["sst2"], rows, [p["prediction"] for p in predictions])
    assert {name: m["value"] for name, m in record["metrics"].items()} == found
    assert found["accuracy"] == pytest.approx(100 * 11 / 12)
    assert all(m["low"] <= m["value"] <= m["high"] for m in record["metrics"].values())
    expected = {"model": "tiny", "method": "zero-shot", "mixture": "none", "variant": "main", "seed": 3, "task": "sst2"}
    expected |= {"split": "test", "n": 12, "shots": 0, "decoding": "greedy", "digest": spec.evaluation_digest}
    assert {key: record[key] for key in expected} == expected
    assert record["invalid_rate"] == pytest.approx(1 / 12)
    assert record["generated_tokens"] == sum(len(TOKENIZER.encode(p["text"])) for p in predictions)


def test_protocol_switches_parser_fallback_and_stop(data, tmp_path, backbone):
    def run(rule, **protocol):
        over = Backbone(TOKENIZER, RuleDecoder(TOKENIZER, rule))
        settings = {"bootstrap": 0, "decoding": {"max_new_tokens": 30}}
        spec = spec_of(protocol=protocol, evaluation=settings)
        evaluate_run(spec, data, None, tmp_path / "out", over)
        return files(tmp_path / "out" / "sst2")

    predictions, record = run(lambda prompt: " Positive and so on")  # no closing tag
    assert record["invalid_rate"] == 1.0
    assert all(m["low"] is None for m in record["metrics"].values())
    predictions, record = run(lambda prompt: " Positive and so on", parser="lenient")
    assert record["invalid_rate"] == 0.0
    assert {p["prediction"] for p in predictions} == {"1"}

    predictions, record = run(reader, random_fallback=True)
    assert record["invalid_rate"] == pytest.approx(1 / 12)
    assert record["random_labels"] == 1
    assert predictions[7]["prediction"] in ("0", "1")
    assert predictions == run(reader, random_fallback=True)[0]

    assert run(reader)[0][0]["text"] == f" Positive {CLOSE}"
    assert run(reader, stop_at_tag=False)[0][0]["text"].startswith(f" Positive {CLOSE}\n<An")


def test_baselines_without_a_model_load_no_torch(data, tmp_path):
    program = (
        "import sys; from pathlib import Path; from rl4nlu.scores.evaluate import evaluate_run; from rl4nlu.runs.spec import RunSpec;"
        "evaluate_run(RunSpec.model_validate_json(sys.argv[1]), Path(sys.argv[2]), None, Path(sys.argv[3]));"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    for method in ("majority", "random"):
        spec = spec_of(method, ("sst2", "stsb", "superglue-rte"), seed=1)
        out = tmp_path / method
        subprocess.run([sys.executable, "-c", program, spec.model_dump_json(), str(data), str(out)], check=True)
    predictions, record = files(tmp_path / "majority" / "sst2")
    assert {p["prediction"] for p in predictions} == {list(TASKS["sst2"].labels)[1]}  # two thirds of the training rows
    assert record["decoding"] is None
    assert files(tmp_path / "majority" / "stsb")[0][0]["prediction"] == pytest.approx((3 * 1.0 + 6 * 4.5) / 9)
    assert {p["prediction"] for p in files(tmp_path / "random" / "sst2")[0]} == {"0", "1"}
    assert len({p["prediction"] for p in files(tmp_path / "majority" / "superglue-rte")[0]}) == 1


@pytest.mark.parametrize("kind", ["llama", "mpt"])
def test_scoring_takes_the_likeliest_label_word(data, tmp_path, kind):
    model = tiny_decoder(kind, len(TOKENIZER), positions=2048)
    spec = spec_of(evaluation={"decoding": {"how": "score"}, "bootstrap": 0})
    evaluate_run(spec, data, None, tmp_path / "out", Backbone(TOKENIZER, model))
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


def test_few_shot_chooses_on_validation_and_followers_take_it_over(data, tmp_path):
    seen = []

    def rule(prompt):
        """Right only behind two demonstrations."""
        seen.append(prompt)
        shown = prompt.count("[ Prompt:")
        right = "Yes" if "good" in prompt.rpartition("Prompt:")[2] else "No"
        return f" {right if shown == 2 else 'Yes'} {CLOSE}"

    spec = spec_of("few-shot", ("rte", "superglue-rte"), prompting={"shots": [1, 2, 3], "demonstrations": "first"})
    evaluate_run(spec, data, None, tmp_path / "out", Backbone(TOKENIZER, RuleDecoder(TOKENIZER, rule)))
    for task in ("rte", "superglue-rte"):
        _, record = files(tmp_path / "out" / task)
        assert record["shots"] == 2
        assert record["shots_validation"]["2"] == 100.0 > record["shots_validation"]["1"]
        assert record["demonstrations"] == ["rte/train:0", "rte/train:1"]
        assert record["metrics"]["accuracy"]["value"] == 100.0
        assert record["dropped_demonstrations"] == 0
    # The follower is asked in its own words about its own field names.
    assert seen[-1].count(TASKS["superglue-rte"].query.partition("{")[0]) == 3


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
    assert [a.prediction for a in answers] == ["1", "1", "0", "0"]


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
        evaluate_run(spec, data, tmp_path / "run", tmp_path / out, Backbone(TOKENIZER, model))
    evaluate_run(
        spec_of(evaluation=spec.evaluation.model_dump()), data, None, tmp_path / "base", Backbone(TOKENIZER, model)
    )
    texts = {out: [p["text"] for p in files(tmp_path / out / "sst2")[0]] for out in ("one", "two", "base")}
    assert texts["one"] == texts["two"] != texts["base"]
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    with pytest.raises(ConfigError, match="needs the folder of the trained run"):
        evaluate_run(spec, data, None, tmp_path / "out", Backbone(TOKENIZER, model))
    with pytest.raises(ConfigError, match="holds no adapter"):
        evaluate_run(spec, data, tmp_path / "absent", tmp_path / "out", Backbone(TOKENIZER, model))


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


def test_validation_score_is_the_mean_over_training_tasks_strict_and_greedy(data):
    model = RuleDecoder(TOKENIZER, lambda prompt: f" {'Positive' if 'entiment' in prompt else 'Yes'} {CLOSE}")
    model.train()
    noise = {"decoding": {"how": "sample", "temperature": 1000.0}}
    spec = spec_of("sft", mixture="sst2", protocol={"parser": "lenient"}, evaluation=noise)
    both = spec.model_copy(update={"train_tasks": (TASKS["sst2"], TASKS["rte"])})
    scores = []
    for task in both.train_tasks:
        rows = rows_of(task.name, 8, "validation")
        answers = ask(spec_of(), model, TOKENIZER, task, rows)
        scores.append(score(task, rows, [a.prediction for a in answers])[task.metrics[0]])
    assert validation_score(both, model, TOKENIZER, data) == pytest.approx(sum(scores) / 2)
    assert scores[0] != scores[1] or scores[0] > 0
    assert model.training
    loose = RuleDecoder(TOKENIZER, lambda prompt: " Positive")  # only a lenient parser reads it
    assert validation_score(spec, loose, TOKENIZER, data) == 0.0


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


def test_encoders_are_asked_through_their_module(data, tmp_path, monkeypatch):
    asked = []

    class Module:
        @staticmethod
        def predict(folder, task, rows, **_):
            asked.append((folder, task.name))
            return [row.label for row in rows]

    monkeypatch.setitem(sys.modules, "rl4nlu.methods.encoder", Module)
    monkeypatch.setattr("rl4nlu.methods.encoder", Module, raising=False)
    spec = spec_of().model_copy(update={"method": "encoder"})
    evaluate_run(spec, data, tmp_path / "run", tmp_path / "out")
    assert asked == [(tmp_path / "run" / "model", "sst2")]
    assert files(tmp_path / "out" / "sst2")[1]["metrics"]["accuracy"]["value"] == 100.0


def test_absent_rows_are_named(data, tmp_path):
    with pytest.raises(ConfigError, match=r"cola/test\.jsonl"):
        evaluate_run(spec_of("random", ("cola",)), data, None, tmp_path / "out")
    with pytest.raises(ConfigError, match=r"superglue-rte/validation\.jsonl: holds no rows"):
        answers.rows_of(data, "superglue-rte", "validation")


def test_records_hold_plain_json(data, tmp_path, backbone):
    evaluate_run(spec_of(), data, None, tmp_path / "out", backbone)
    text = (tmp_path / "out" / "sst2" / "metrics.json").read_text()
    assert "NaN" not in json.dumps(json.loads(text))


def test_responses_with_a_rationale_are_read_and_shown(data, tmp_path):
    """Few-shot demonstrations show the rationales of their own labels; the answer is read behind its opening tag."""
    reasons = [
        {"split": "train", "id": row.id, "label": row.label, "gold": True, "rationale": f"why {row.id}"}
        for row in rows_of("sst2", 9, "train")
    ]
    asked = []

    def rule(prompt):
        asked.append(prompt)
        return f"Negative words are in it. <Judgement> {'Positive' if 'good' in prompt.rpartition('Prompt:')[2] else 'Negative'} {CLOSE} x"

    over = Backbone(TOKENIZER, RuleDecoder(TOKENIZER, rule, "Assistant:\n"))
    settings = {"bootstrap": 0, "decoding": {"max_new_tokens": 80}}
    spec = spec_of("few-shot", protocol={"response": "rationale"}, prompting={"shots": [2]}, evaluation=settings)
    with pytest.raises(ConfigError, match="no rationales"):
        evaluate_run(spec, data, None, tmp_path / "out", over)
    write_jsonl(data / "sst2" / "rationales.jsonl", reasons)
    evaluate_run(spec, data, None, tmp_path / "out", over)
    predictions, record = files(tmp_path / "out" / "sst2")
    assert record["metrics"]["accuracy"]["value"] == 100
    assert record["response"] == "rationale"
    assert predictions[0]["text"].endswith(CLOSE)
    shown = record["demonstrations"]
    assert all(f"Assistant:\nwhy {row} <Judgement> " in asked[-1] for row in shown)
    assert asked[-1].endswith("\nAssistant:\n")


def test_label_words_cannot_be_scored_behind_a_rationale(data, tmp_path, backbone):
    spec = spec_of(protocol={"response": "rationale"}, evaluation={"decoding": {"how": "score"}})
    with pytest.raises(ConfigError, match=r"how: score scores label words.*set it to label"):
        evaluate_run(spec, data, None, tmp_path / "out", backbone)


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("zero-shot", {"evaluation": {"bootstrap": 20, "batch_tokens": 600, "decoding": {"how": "sample"}}}),
        ("zero-shot", {"evaluation": {"bootstrap": 20, "batch_tokens": 600, "decoding": {"how": "score"}}}),
        ("few-shot", {"evaluation": {"bootstrap": 20, "batch_tokens": 900}, "prompting": {"shots": [1, 2]}}),
    ],
)
def test_an_evaluation_stopped_in_the_middle_asks_what_is_missing_and_ends_the_same(
    data, tmp_path, monkeypatch, method, settings
):
    backbone = Backbone(TOKENIZER, tiny_decoder("llama", len(TOKENIZER), positions=2048))
    spec = spec_of(method, ("sst2", "rte"), **settings)
    evaluate_run(spec, data, None, tmp_path / "whole", backbone, work=tmp_path / "other")
    asked = []
    genuine = Journal.add

    def add(self, part, rows, answers):
        asked.append((part, tuple(rows)))
        if len(asked) in (2, 7):
            raise KeyboardInterrupt
        genuine(self, part, rows, answers)

    monkeypatch.setattr(Journal, "add", add)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            evaluate_run(spec, data, None, tmp_path / "stopped", backbone, work=tmp_path / "work")
        (journal,) = (tmp_path / "work" / "evaluate").iterdir()
    journal.write_bytes(journal.read_bytes()[:-9])  # the machine went down in the middle of a line
    evaluate_run(spec, data, None, tmp_path / "stopped", backbone, work=tmp_path / "work")
    # asked twice: the two batches that were lost before they were written, and the one whose line was torn
    assert len(asked) - len(set(asked)) == 3
    assert list((tmp_path / "work" / "evaluate").iterdir()) == []
    for task in ("sst2", "rte"):
        (texts, record), (expected, whole) = (files(tmp_path / out / task) for out in ("stopped", "whole"))
        assert texts == expected
        assert {**record, "seconds": 0} == {**whole, "seconds": 0}


def test_other_weights_rows_or_settings_do_not_share_a_journal(data, tmp_path):
    spec = spec_of("sft", mixture="sst2")
    run = tmp_path / "run" / "adapter"
    run.mkdir(parents=True)
    seen = set()

    def note(spec):
        seen.add(evaluate.open_journal(spec, data, tmp_path / "run", tmp_path).path.name)

    (run / "adapter_model.safetensors").write_bytes(b"a")
    note(spec)
    note(spec)
    assert len(seen) == 1
    (run / "adapter_model.safetensors").write_bytes(b"b")
    note(spec)
    (data / "sst2" / "record.json").write_text("{}")
    note(spec)
    note(spec_of("sft", mixture="sst2", seed=1))
    assert len(seen) == 4
