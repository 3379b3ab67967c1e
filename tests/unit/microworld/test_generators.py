"""Labels, balance, fields and splits of the microworld's tasks."""

import json
from collections import Counter
from pathlib import Path

import pytest
from label_check import wrong_rows

from rl4nlu.microworld import TASKS, Knobs, rows
from rl4nlu.microworld.generators import content, split_of

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
    "imdb": {"text"},
    "commongen": {"concepts"},
    "tldr": {"prompt"},
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
def test_no_row_stands_in_two_splits(task: str) -> None:
    keys = {split: {content(r) for r in rows(task, split, 60, 7)} for split in ("train", "validation", "test")}
    assert not keys["train"] & keys["validation"]
    assert not keys["train"] & keys["test"]
    assert not keys["validation"] & keys["test"]
    assert all(split_of(r) == "test" for r in rows(task, "test", 20, 8)[:20:2])


@pytest.mark.parametrize("task", [t for t in TASKS if t not in ("stsb", "multirc", "record", "commongen", "tldr")])
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


def test_rows_are_left_out_on_demand() -> None:
    everything = rows("wsc", "train", 60, 7)
    texts = {row["text"] for row in everything[:20]}
    some = rows("wsc", "train", 60, 7, unless=lambda row: row["text"] in texts)
    assert len(some) == 60
    assert not texts & {row["text"] for row in some}
    with pytest.raises(ValueError, match="distinct rows"):
        rows("wsc", "train", 1, 7, unless=lambda row: True)


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
