"""Reviews, news and ratings: labels follow at every difficulty, from words that the models know, and nothing else gives them away."""

from collections import Counter

import pytest
from label_check import wrong_rows

from rl4nlu.microworld import Knobs, rows
from rl4nlu.microworld.vocabulary import WORD, world_words

NEW = {"movie-reviews": "text", "ag-news": "text", "app-reviews": "review"}


@pytest.mark.parametrize("task", NEW)
@pytest.mark.parametrize(
    "knobs",
    [
        Knobs(clauses=1),
        Knobs(distractors=0.0, negation=0.0),
        Knobs(distractors=1.0, negation=0.6),
        Knobs(label_noise=0.2),
    ],
)
def test_new_tasks_hold_at_every_difficulty(task: str, knobs: Knobs) -> None:
    made = rows(task, "train", 300, 11, knobs)
    assert wrong_rows(task, made) == []
    assert bool([r for r in made if r["derivation"]["noisy"]]) == (knobs.label_noise > 0)


@pytest.mark.parametrize(("task", "field"), NEW.items())
def test_new_tasks_use_the_words_that_models_were_trained_with(task: str, field: str) -> None:
    known = set(world_words())
    for row in rows(task, "train", 1500, 5) + rows(task, "test", 300, 5, Knobs(negation=0.5, distractors=1.0)):
        assert not set(WORD.findall(row[field])) - known, row[field]


@pytest.mark.parametrize(("task", "field"), NEW.items())
def test_neither_length_nor_position_gives_the_label_away(task: str, field: str) -> None:
    """The number of words says little: the best guess by it stays near the share of the largest class."""
    made = rows(task, "train", 2000, 9)
    by_length: dict[int, Counter] = {}
    for row in made:
        by_length.setdefault(len(row[field].split()), Counter())[row["label"]] += 1
    classes = len({row["label"] for row in made})
    best = sum(max(counts.values()) for counts in by_length.values()) / len(made)
    assert best < 1 / classes + 0.13, best


def test_mixed_reviews_hold_opinions_that_do_not_decide() -> None:
    made = rows("movie-reviews", "train", 400, 2)
    against = [
        r for r in made if any(s["good"] != bool(r["label"]) or "conceded" in s for s in r["derivation"]["said"])
    ]
    assert 0.5 < len(against) / len(made) < 0.95
    calm = rows("movie-reviews", "train", 400, 2, Knobs(distractors=0.0, clauses=1))
    assert all(s["good"] == bool(r["label"]) and "conceded" not in s for r in calm for s in r["derivation"]["said"])


def test_most_sentences_have_the_topic() -> None:
    for row in rows("ag-news", "train", 400, 2):
        topics = Counter(e["topic"] for e in row["derivation"]["events"])
        (first, n), *rest = topics.most_common(2)
        assert first == row["derivation"]["topic"]
        assert not rest or rest[0][1] < n


def test_stars_are_three_and_the_points_within_bounds() -> None:
    for row in rows("app-reviews", "train", 400, 2):
        points = sum(r["points"] for r in row["derivation"]["remarks"])
        assert row["derivation"]["sum"] == points
        assert row["label"] == 3 + max(-2, min(2, points))
