"""Rows whose answers are texts: from words that the models know, references that can be told from the prompt, no way round."""

import json
import random
from collections import Counter

import pytest
from label_check import wrong_rows

from rl4nlu.microworld import Knobs, rows, world
from rl4nlu.microworld.generators import TEXT_TASKS
from rl4nlu.microworld.text_tasks import MOST_REFERENCES, MOST_SUMMARISED, commongen
from rl4nlu.microworld.vocabulary import WORD, world_words
from rl4nlu.microworld.world import Fact


@pytest.mark.parametrize("task", TEXT_TASKS)
@pytest.mark.parametrize(
    "knobs", [Knobs(facts=2, clauses=1), Knobs(facts=5, negation=0.6, synonyms=1.0, distractors=1.0)]
)
def test_references_hold_at_every_difficulty(task: str, knobs: Knobs) -> None:
    assert wrong_rows(task, rows(task, "train", 200, 11, knobs)) == []


@pytest.mark.parametrize("task", TEXT_TASKS)
def test_text_tasks_use_the_words_that_models_were_trained_with(task: str) -> None:
    known = {*world_words(), "TL", "DR"}
    for row in rows(task, "train", 1000, 5) + rows(task, "test", 200, 5, Knobs(negation=0.5, synonyms=1.0)):
        said = json.dumps([value for key, value in row.items() if key not in ("derivation", "idx")])
        assert not set(WORD.findall(said.replace("\\n", " "))) - known - {"text", "label", "prompt", "concepts"}, said


def test_reviews_have_as_many_sentences_as_fit() -> None:
    for clauses in (1, 3):
        made = rows("imdb", "train", 50, 3, Knobs(clauses=clauses))
        assert {row["text"].count(".") for row in made} == {clauses + 1}


def test_two_facts_have_several_distinct_references() -> None:
    made = rows("commongen", "train", 1500, 3)
    assert all(len(set(row["label"])) == len(row["label"]) == MOST_REFERENCES for row in made)
    assert len({json.dumps(row["derivation"]["wanted"]) for row in made}) == len(made)
    firsts = [row["label"][0].split(" and ")[0] for row in made]
    assert 0.4 < sum(row["concepts"][0] in one for row, one in zip(made, firsts, strict=True)) / len(made) < 0.6


def test_two_facts_have_one_order_of_words(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = [Fact("has", "Anna", ("red", "cup")), Fact("ate", "Ben", ("bread",))]
    monkeypatch.setattr(world, "choose_facts", lambda rng, count: facts if rng.random() < 0.5 else facts[::-1])
    made = [commongen(random.Random(seed), Knobs(), 0) for seed in range(20)]
    assert len({tuple(row["concepts"]) for row in made}) == 1
    assert len({tuple(row["label"]) for row in made}) > 10


def test_a_summary_is_short_of_the_passage_and_speaks_of_one() -> None:
    made = rows("tldr", "train", 500, 3, Knobs(facts=4))
    counts = Counter(len(row["derivation"]["wanted"]) for row in made)
    assert set(counts) == {1, MOST_SUMMARISED}
    assert min(counts.values()) > 100
    assert all(len(row["derivation"]["facts"]) == 4 for row in made)
    assert all(row["label"].startswith(row["derivation"]["name"]) for row in made)
