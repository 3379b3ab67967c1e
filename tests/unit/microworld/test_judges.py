"""Judges: wrong summaries are wrong by the exact reading, a short training runs and loads again, shipped ones judge well."""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from rl4nlu.microworld import Knobs, rows
from rl4nlu.microworld.exact import read_facts, score_facts
from rl4nlu.microworld.generators import split_of
from rl4nlu.microworld.judges import (
    FAULTS_OF_SUMMARIES,
    RECIPES,
    SPLIT,
    batch_of,
    review_examples,
    spoil,
    summary_examples,
    train_judge,
)

RESOURCES = Path(__file__).parents[3] / "resources" / "micro"


@pytest.mark.parametrize("kind", sorted(set(FAULTS_OF_SUMMARIES)))
def test_a_spoilt_summary_reads_well_and_says_something_else(kind: str) -> None:
    for number, row in enumerate(rows("tldr", SPLIT, 200, 3, Knobs(facts=4))):
        made, text = spoil(random.Random(number), row["derivation"], kind)
        assert None not in read_facts(text)
        assert score_facts({}, row["derivation"], text) < 1
        wanted, said = len(row["derivation"]["wanted"]), len(read_facts(text))
        assert made == (kind if kind != "short" or wanted > 1 else "changed")
        assert {"changed": said == wanted, "overlong": said == wanted + 1, "other": True, "short": said < wanted}[made]
        assert (made == "other") == (not text.startswith(row["derivation"]["name"]) and made != "overlong")


def test_judges_learn_from_rows_that_no_experiment_reads() -> None:
    assert all(split_of({"text": example.texts[0]}) == "validation" for example in review_examples(50, 1))
    found = summary_examples(50, 1)
    assert all(split_of({"prompt": example.texts[0]}) == "validation" for example in found)
    assert [example.good for example in found] == [True, False] * 50
    assert found == summary_examples(50, 1) != summary_examples(50, 2)


@pytest.mark.parametrize("name", RECIPES)
def test_a_short_training_saves_what_loads_again(name: str, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    short = replace(RECIPES[name], learnt=16, held_out=8, epochs=8, batch_size=8)
    record = train_judge(short, 1, tmp_path / name, name, log=lambda line: None)
    assert record["loss_curve"][-1] < record["loss_curve"][0] < 2
    assert json.loads((tmp_path / name / "record.json").read_text()) == record
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / name, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / name)
    logits = model(**batch_of(tokenizer, short.examples(8, 5))).logits
    assert logits.shape == (len(short.examples(8, 5)), 2)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("name", RECIPES)
def test_shipped_judges_are_right_as_often_as_their_record_says(name: str) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from rl4nlu.microworld.judges import shares_right

    folder = RESOURCES / name
    record = json.loads((folder / "record.json").read_text())
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    found = shares_right(model, AutoTokenizer.from_pretrained(folder), RECIPES[name].examples(150, 7))
    assert abs(found["all"] - record["held_out_accuracy"]) < 0.1
    assert record["held_out_accuracy"] > 0.7
