"""Encoder fine-tuning on a tiny random BERT: heads, shapes, truncation, what is counted and left behind."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from interruptions import HOW, heeding, interrupted, lines_of, without_times  # noqa: F401
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

from rl4nlu.base.errors import ConfigError, Diverged
from rl4nlu.config import Data, Encoder, Evaluation, Model, Protocol
from rl4nlu.methods import encoder
from rl4nlu.runs.spec import RunSpec
from rl4nlu.tasks.rows import Row
from rl4nlu.tasks.task import load_task

LONGEST = 96
WORDS = [f"w{i}" for i in range(40)]


def word_tokenizer() -> PreTrainedTokenizerFast:
    """One token a word, BERT's special tokens around one text or two."""
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    kinds = ["input_ids", "token_type_ids", "attention_mask"]
    return PreTrainedTokenizerFast(tokenizer_object=core, model_input_names=kinds, **names)


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    """Folder of a tiny random BERT with its language-modelling head, as pretraining leaves it."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS) + 4,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=LONGEST,
        initializer_range=0.2,
    )
    folder = tmp_path / "bert"
    BertForMaskedLM(config).save_pretrained(folder)
    word_tokenizer().save_pretrained(folder)
    return folder


def spec_of(model: Path, tasks: tuple[str, ...], **values: Any) -> RunSpec:
    chosen = tuple(load_task(name) for name in tasks)
    return RunSpec(
        model="tiny",
        method="encoder",
        mixture=tasks[0],
        variant="main",
        seed=3,
        model_spec=Model(kind="encoder", path=str(model), max_length=LONGEST),
        train_tasks=chosen,
        eval_tasks=chosen,
        protocol=Protocol(),
        settings=Encoder(**{"prompts": 160, "batch_size": 8, "learning_rates": [2e-2], **values}),
        evaluation=Evaluation(),
        data=Data(),
        threads=1,
        bits="fast",
    )


def rows_of(name: str, n: int = 40) -> list[Row]:
    """Rows of a task whose label is which of two words the second text begins with."""
    task = load_task(name)
    rows = []
    for i in range(n):
        kind = i % (len(task.labels) or 6)
        fields = {field: " ".join(WORDS[(i * 3 + j) % 9] for j in range(2 + i % 5)) for field in task.fields}
        if task.head == "multiple-choice":
            fields |= {"choice1": "w20 w3" if kind == 0 else "w21 w4", "choice2": "w21 w3" if kind == 0 else "w20 w1"}
        else:
            told = "query" if name == "record" else task.fields[-1]
            fields[told] = f"w{20 + kind} " + fields[told]
        label = list(task.labels)[kind] if task.labels else float(kind) * 0.9
        rows.append(Row(f"{name}:{i}", fields, label, group=str(i // 2), answers=["w20"]))
    return rows


def write(data: Path, name: str, rows: list[Row]) -> Path:
    for split in ("train", "validation"):
        (data / name).mkdir(parents=True, exist_ok=True)
        (data / name / f"{split}.jsonl").write_text("".join(json.dumps(vars(row)) + "\n" for row in rows))
    return data


@pytest.mark.parametrize("name", ["cola", "mrpc", "mnli", "stsb", "copa", "multirc", "record"])
def test_every_kind_of_task_is_learnt_and_predicted_from_its_folder(name: str, bert: Path, tmp_path: Path) -> None:
    task, rows = load_task(name), rows_of(name)
    out = tmp_path / "run"
    more: dict[str, Any] = {"prompts": 1600, "learning_rates": [5e-3]} if name == "stsb" else {}
    spec = spec_of(bert, (name,), **more)
    facts = encoder.train(spec, write(tmp_path / "data", name, rows), out)
    assert name == "record" or facts["validation"] > 80
    assert sorted(p.name for p in out.iterdir()) == ["history.jsonl", "model"]
    answers = encoder.predict(out / "model", task, rows)
    found = [answer.label for answer in answers]
    if name == "record":
        assert all((answer.label == "1") == (answer.confidence > 0.5) for answer in answers)
    if name == "stsb":
        assert all(task.low <= value <= task.high for value in found)
        errors = [abs(value - float(row.label or 0)) for value, row in zip(found, rows, strict=True)]
        assert sum(errors) / len(errors) < 0.8
    else:
        assert sum(p == row.label for p, row in zip(found, rows, strict=True)) > 0.8 * len(rows)


def test_choices_are_scored_side_by_side(bert: Path, tmp_path: Path) -> None:
    task, rows = load_task("copa"), rows_of("copa", 5)
    read, _ = encoder.items(task, rows, word_tokenizer())
    batch = encoder.collate(read, 0)
    assert {key: tuple(value.shape[:2]) for key, value in batch.items() if key != "labels"} == {
        "input_ids": (5, 2),
        "token_type_ids": (5, 2),
        "attention_mask": (5, 2),
    }
    assert batch["labels"].tolist() == [0, 1, 0, 1, 0]
    model = encoder.load_encoder(spec_of(bert, ("copa",)), task).eval()
    scores = encoder.outputs(model, read, 0, 8192)
    assert scores.shape == (5, 2)
    swapped = [encoder.Item(item.parts[::-1]) for item in read]
    torch.testing.assert_close(encoder.outputs(model, swapped, 0, 8192), scores.flip(1))


def test_batches_and_padding_do_not_change_outputs(bert: Path) -> None:
    task = load_task("mrpc")
    read, _ = encoder.items(task, rows_of("mrpc", 17), word_tokenizer())
    model = encoder.load_encoder(spec_of(bert, ("mrpc",)), task).eval()
    whole = encoder.outputs(model, read, 0, 8192)
    torch.testing.assert_close(encoder.outputs(model, read, 0, 1), whole, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(encoder.outputs(model, read, 0, 64), whole, rtol=1e-5, atol=1e-6)
    assert encoder.outputs(model, [], 0, 64).shape[0] == 0


@given(st.integers(1, 200), st.integers(0, 200))
@example(first=48, second=47)  # neither fits into half of the room
@example(first=200, second=46)
@example(first=46, second=200)
def test_of_long_pairs_the_longer_text_loses_its_end_and_never_goes_below_half(first: int, second: int) -> None:
    tokenizer = word_tokenizer()
    texts = [WORDS[i % 20] for i in range(first)], [WORDS[20 + i % 20] for i in range(second)]
    pair = " ".join(texts[0]), " ".join(texts[1]) if second else None
    ((found,), cut) = encoder.encode(tokenizer, [pair], LONGEST)
    room = LONGEST - (3 if second else 2)  # [CLS] and [SEP]
    assert cut == (first + second > room)
    kept = tokenizer.convert_ids_to_tokens(found["input_ids"])
    assert (kept[0], kept[-1], kept.count("[SEP]")) == ("[CLS]", "[SEP]", 2 if second else 1)
    end = kept.index("[SEP]")
    one, other = kept[1:end], kept[end + 1 : -1]
    assert one == texts[0][: len(one)]
    assert other == texts[1][: len(other)]
    assert len(one) + len(other) == min(first + second, room)
    if cut and min(first, second) <= room // 2:
        assert min(first, second) == min(len(one), len(other))  # the shorter is whole
    elif cut:
        assert {len(one), len(other)} == {room // 2, room - room // 2}


def test_shortened_rows_are_counted_in_the_record_and_told_when_predicting(bert: Path, tmp_path: Path) -> None:
    rows = rows_of("multirc", 12)
    rows[4].fields["passage"] = "w1 " * 300
    task = load_task("multirc")
    facts = encoder.train(
        spec_of(bert, ("multirc",), prompts=16), write(tmp_path / "data", "multirc", rows), tmp_path / "out"
    )
    assert facts["rows_shortened"] == 1
    with pytest.warns(UserWarning, match="1 of 12 rows were shortened"):
        encoder.predict(tmp_path / "out" / "model", task, rows)


def test_exactly_the_examples_that_are_asked_for_are_seen_and_candidates_recorded(bert: Path, tmp_path: Path) -> None:
    data = write(tmp_path / "data", "cola", rows_of("cola"))
    spec = spec_of(bert, ("cola",), prompts=30, learning_rates=[1e-6, 2e-2])
    facts = encoder.train(spec, data, tmp_path / "out")
    assert (facts["optimiser_steps"], facts["prompts_seen"]) == (4, 30)
    assert [c["learning_rate"] for c in facts["candidates"]] == [1e-6, 2e-2]
    best = max(facts["candidates"], key=lambda c: c["validation"])
    assert (facts["learning_rate"], facts["validation"]) == (best["learning_rate"], best["validation"])
    assert all(c["tokens_trained"] == facts["tokens_trained"] > 0 == c["tokens_generated"] for c in facts["candidates"])
    assert all(c["seconds"] > 0 < c["cpu_seconds"] for c in facts["candidates"])
    history = [json.loads(line) for line in (tmp_path / "out" / "history.jsonl").read_text().splitlines()]
    assert [row["examples"] for row in history] == [8, 16, 24, 30]
    assert history[-1]["validation"] == facts["validation"]


def test_a_candidate_that_diverges_is_dropped_and_recorded(bert: Path, tmp_path: Path) -> None:
    data = write(tmp_path / "data", "cola", rows_of("cola"))
    facts = encoder.train(spec_of(bert, ("cola",), prompts=32, learning_rates=[1e30, 1e-3]), data, tmp_path / "out")
    assert facts["learning_rate"] == 1e-3
    assert facts["candidates"][0] == {"learning_rate": 1e30, "validation": None, "loss": None}


def test_the_same_seed_twice_gives_the_same_weights_and_another_does_not(bert: Path, tmp_path: Path) -> None:
    data = write(tmp_path / "data", "rte", rows_of("rte"))

    def weights(name: str, seed: int) -> bytes:
        spec = spec_of(bert, ("rte",), prompts=32).model_copy(update={"seed": seed})
        encoder.train(spec, data, tmp_path / name)
        return (tmp_path / name / "model" / "model.safetensors").read_bytes()

    first = weights("a", 0)
    torch.rand(5)
    assert weights("b", 0) == first
    assert weights("c", 1) != first


def test_a_model_answers_for_the_tasks_that_it_is_trained_for_and_no_others(bert: Path, tmp_path: Path) -> None:
    data = write(tmp_path / "data", "rte", rows_of("rte"))
    encoder.train(spec_of(bert, ("rte",), prompts=8), data, tmp_path / "out")
    assert len(encoder.predict(tmp_path / "out" / "model", load_task("axb"), rows_of("axb", 6))) == 6
    with pytest.raises(ConfigError, match="trained on the labels"):
        encoder.predict(tmp_path / "out" / "model", load_task("mnli"), rows_of("mnli", 6))
    with pytest.raises(ConfigError, match="was the run trained"):
        encoder.predict(tmp_path / "nothing", load_task("rte"), [])


def test_several_tasks_and_missing_rows_are_refused(bert: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="fine-tuned on one task"):
        encoder.train(spec_of(bert, ("rte", "cola")), tmp_path, tmp_path / "out")
    with pytest.raises(ConfigError, match="cola"):
        encoder.train(spec_of(bert, ("cola",)), tmp_path, tmp_path / "out")


def test_an_unknown_label_is_named(bert: Path) -> None:
    row = Row("cola:9", {"sentence": "w1"}, "maybe")
    with pytest.raises(ConfigError, match=r"cola:9.*'maybe'"):
        encoder.items(load_task("cola"), [row], word_tokenizer())


def test_a_loss_that_is_not_a_number_ends_in_one_message(bert: Path, tmp_path: Path) -> None:
    data = write(tmp_path / "data", "stsb", rows_of("stsb"))
    with pytest.raises(Diverged, match=r"training loss is (nan|inf).*encoder\.learning_rates"):
        encoder.train(spec_of(bert, ("stsb",), learning_rates=[1e20], prompts=80), data, tmp_path / "out")


@pytest.mark.usefixtures("heeding")
@pytest.mark.parametrize("how", HOW)
def test_a_run_stopped_in_the_middle_ends_with_the_same_bits(bert: Path, tmp_path: Path, how: str) -> None:
    data = write(tmp_path / "data", "sst2", rows_of("sst2"))
    spec = spec_of(bert, ("sst2",), prompts=500, learning_rates=[1e-3, 2e-2])

    def train(checkpoint: Any) -> Any:
        shutil.rmtree(tmp_path / "stopped", ignore_errors=True)
        return encoder.train(spec, data, tmp_path / "stopped", checkpoint)

    patch = pytest.MonkeyPatch()
    patch.setattr(encoder, "LINES", 20)
    undisturbed = encoder.train(spec, data, tmp_path / "whole")
    torch.rand(3)
    found = interrupted(train, tmp_path / "state", how, (1, 10, 58))
    patch.undo()
    assert without_times(found) == without_times(undisturbed)
    assert lines_of(tmp_path / "stopped" / "history.jsonl") == lines_of(tmp_path / "whole" / "history.jsonl")
    weights = [(tmp_path / n / "model" / "model.safetensors").read_bytes() for n in ("stopped", "whole")]
    assert weights[0] == weights[1]
