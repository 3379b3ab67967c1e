"""Concept coverage: regular forms of a word count as the word, each word once."""

import json
import re

import pytest

from rl4nlu.tasks.texts.concepts import cover_concepts


@pytest.mark.parametrize(
    ("concepts", "text", "share"),
    [
        ("dog run", "Two dogs are running.", 1.0),
        ("field look stand", "He looked at the fields , and sat .", 2 / 3),
        ("sit", "he sat", 0.0),
        ("dog dog cat", "a dog", 0.5),
        ("dog", "", 0.0),
    ],
)
def test_a_concept_is_found_in_any_regular_form(concepts, text, share):
    assert cover_concepts(concepts, text) == pytest.approx(share)


def test_without_concepts_there_is_nothing_to_cover():
    with pytest.raises(ValueError, match="no concept"):
        cover_concepts(" , ", "a dog")


def test_official_sentences_hold_nearly_all_of_their_concepts(official_data):
    lines = (official_data / "other" / "CommonGen" / "dev.jsonl").read_text().splitlines()
    found = [
        cover_concepts(re.sub(r"_[NV]|#", lambda m: " " if m[0] == "#" else "", row["concept_set"]), text)
        for row in map(json.loads, lines)
        for text in row["scene"]
    ]
    assert sum(found) / len(found) > 0.96
