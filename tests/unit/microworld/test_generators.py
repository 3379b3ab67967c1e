"""Labels, balance, fields and splits of the microworld's tasks."""

import json
from collections import Counter
from pathlib import Path

import pytest
from label_check import wrong_rows

from rl4nlu.microworld import TASKS, Knobs, rows
from rl4nlu.microworld.generators import content, split_of
from rl4nlu.microworld.tokenizer import WORD, world_words

FIELDS = {
    "cola": {"sentence"},
    "sst2": {"sentence"},
    "mrpc": {"sentence1", "sentence2"},
    "stsb": {"sentence1", "sentence2"},
    "qqp": {"question1", "question2"},
    "mnli": {"premise", "hypothesis"},
    "qnli": {"question", "sentence"},
    "rte": {"sentence1", "sentence2"},
    "boolq": {"question", "passage"},
    "cb": {"premise", "hypothesis"},
    "copa": {"premise", "choice1", "choice2", "question"},
    "wic": {"word", "sentence1", "sentence2", "start1", "end1", "start2", "end2"},
    "wsc": {"text", "target"},
    "superglue-rte": {"premise", "hypothesis"},
    "axb": {"sentence1", "sentence2", "logic"},
    "axg": {"premise", "hypothesis", "pair_id"},
    "movie-reviews": {"text"},
    "ag-news": {"text"},
    "app-reviews": {"review"},
}


@pytest.mark.parametrize("task", TASKS)
def test_labels_follow_from_the_text(task: str) -> None:
    made = rows(task, "train", 300, 3)
    assert len(made) == 300
    assert wrong_rows(task, made) == []


@pytest.mark.parametrize("task", ["rte", "boolq", "cola", "sst2", "copa", "movie-reviews", "ag-news", "app-reviews"])
def test_verifier_notices_a_wrong_label(task: str) -> None:
    row = rows(task, "train", 1, 3)[0]
    value = row["label"]
    row["label"] = (not value) if isinstance(value, bool) else (value + 1) % 4 if task == "ag-news" else abs(1 - value)
    assert len(wrong_rows(task, [row])) == 1


@pytest.mark.parametrize("task", TASKS)
def test_no_text_stands_in_two_splits(task: str) -> None:
    keys = {split: {content(r) for r in rows(task, split, 60, 7)} for split in ("train", "validation", "test")}
    assert not keys["train"] & keys["validation"]
    assert not keys["train"] & keys["test"]
    assert not keys["validation"] & keys["test"]
    assert all(split_of(r) == "test" for r in rows(task, "test", 20, 8)[:20:2])


@pytest.mark.parametrize("task", [t for t in TASKS if t not in ("stsb", "multirc", "record")])
def test_labels_are_balanced(task: str) -> None:
    counts = Counter(r["label"] for r in rows(task, "validation", 240, 1))
    assert max(counts.values()) - min(counts.values()) <= 48, counts


def test_similarity_scores_cover_the_range() -> None:
    scores = [r["label"] for r in rows("stsb", "train", 300, 1)]
    assert all(isinstance(s, float) and 0 <= s <= 5 and s * 2 == int(s * 2) for s in scores)
    assert len(set(scores)) >= 9


@pytest.mark.parametrize("task", sorted(FIELDS))
def test_rows_have_the_official_fields_and_no_marks(task: str) -> None:
    for row in rows(task, "train", 20, 2):
        assert set(row) - {"label", "idx", "derivation"} == FIELDS[task]
        assert "~" not in json.dumps(row)
        assert row["derivation"]["noisy"] is False
        json.dumps(row)


def test_nested_tasks_point_into_their_passages() -> None:
    for row in rows("record", "train", 50, 2):
        text = row["passage"]["text"]
        assert "@placeholder" in row["qas"][0]["query"]
        for answer in row["qas"][0]["answers"]:
            assert text[answer["start"] : answer["end"] + 1] == answer["text"]
            assert {"start": answer["start"], "end": answer["end"]} in row["passage"]["entities"]
    for row in rows("multirc", "train", 50, 2):
        for question in row["passage"]["questions"]:
            assert {a["label"] for a in question["answers"]} == {0, 1}


def test_rows_repeat_for_a_seed_and_differ_between_seeds() -> None:
    assert rows("rte", "train", 30, 1) == rows("rte", "train", 30, 1)
    assert rows("rte", "train", 30, 1) != rows("rte", "train", 30, 2)


def test_label_noise_is_recorded() -> None:
    noisy = [r for r in rows("cola", "train", 600, 1, Knobs(label_noise=0.1)) if r["derivation"]["noisy"]]
    assert 30 <= len(noisy) <= 95
    assert all(r["derivation"]["clean_label"] == 1 - r["label"] for r in noisy)


def test_gender_pairs_differ_in_the_pronoun_only() -> None:
    made = rows("axg", "test", 40, 1)
    for one, two in zip(made[::2], made[1::2], strict=True):
        assert one["pair_id"] == two["pair_id"]
        assert one["label"] == two["label"]
        assert one["premise"].replace(" he ", " she ") == two["premise"]


def test_bad_requests_are_named() -> None:
    with pytest.raises(KeyError, match="unknown microworld task"):
        rows("nli", "train", 1, 1)
    with pytest.raises(ValueError, match="label_noise"):
        Knobs(label_noise=2)
    with pytest.raises(ValueError, match="distinct rows"):
        rows("axg", "test", 600, 1)


def test_package_reads_no_files_of_real_benchmarks() -> None:
    import rl4nlu.microworld as package

    for path in Path(package.__file__).parent.glob("*.py"):
        assert "superglue/" not in path.read_text()
        assert ".tsv" not in path.read_text()


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
