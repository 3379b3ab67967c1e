"""What is read from a text: all that the generators write, and nothing of what says nothing."""

import pytest

from rl4nlu.microworld import Knobs, rows
from rl4nlu.microworld.arguments import fact_of
from rl4nlu.microworld.exact import read_facts, read_verdict, score_facts, score_polarity
from rl4nlu.microworld.world import Fact

RED_CUP, BREAD = Fact("has", "Anna", ("red", "cup")), Fact("ate", "Ben", ("bread",))
WANTED = {"wanted": [RED_CUP.record(), BREAD.record()]}


@pytest.mark.parametrize("knobs", [Knobs(facts=4), Knobs(facts=6, negation=0.5, synonyms=1.0)])
def test_every_wording_of_the_world_is_read(knobs: Knobs) -> None:
    for row in rows("tldr", "train", 400, 3, knobs):
        passage = row["prompt"].split(" What about ")[0]
        assert read_facts(passage) == [fact_of(record) for record in row["derivation"]["facts"]]


@pytest.mark.parametrize("knobs", [Knobs(), Knobs(negation=0.7, distractors=1.0)])
def test_every_sentence_of_a_review_is_read(knobs: Knobs) -> None:
    for row in rows("imdb", "train", 400, 3, knobs):
        read = [read_verdict(sentence) for sentence in row["text"].removesuffix(".").split(". ")]
        assert sorted(map(bool, read)) == sorted(said["good"] for said in row["derivation"]["said"])
        assert None not in read


def test_what_states_no_fact_is_read_as_none() -> None:
    said = "Anna has a red cup. Anna has red. Ben bread ate the. anna ate the bread. Anna has a red cup today."
    assert read_facts(said) == [RED_CUP, None, None, None, None]


def test_facts_are_right_once_and_chatter_and_repetition_cost() -> None:
    def score(text: str) -> float:
        return score_facts({}, WANTED, text)

    assert score("A red mug belongs to Anna and the bread was eaten by Ben.") == 1
    assert score("Anna has a red cup.") == pytest.approx(2 / 3)
    assert score("Anna has a red cup. Anna has a red cup.") == pytest.approx(2 / 4)
    assert score("Anna has a red cup. Ben ate the bread. red cup bread") == pytest.approx(4 / 5)
    assert score("Anna does not have a red cup. Ben has a red cup.") == 0
    assert score("") == 0


def test_polarity_counts_praise_and_what_cannot_be_read_is_none() -> None:
    def score(text: str, begun: str = "I loved the cast. The plot is") -> float:
        return score_polarity({"text": begun}, {}, text)

    assert score("great. I loved the acting.") == 1
    assert score("great. I never loved the acting.") == 0.5
    assert score("awful.") == 0
    assert score("great great great.") == 0
    assert score("great, although the music is dull.") == 1
    assert score("great, although music.") == 0
    assert score("dull, but i enjoyed the music. The film is not a bore") == 1
    assert score("great", begun="I hated the cast.") == 0
    assert score("") == 0
