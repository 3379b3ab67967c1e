"""Prepared rows: nothing leaks from train to validation, the same seed makes the same bytes, caps and record are true."""

import csv
import random
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rl4nlu.base.errors import ConfigError
from rl4nlu.base.files import file_digest, read_json
from rl4nlu.config import Data
from rl4nlu.tasks.metrics import score
from rl4nlu.tasks.prepare import cap, carve, prepare, sample_candidates
from rl4nlu.tasks.prompts import answer_text, write_prompt
from rl4nlu.tasks.reading import read_response
from rl4nlu.tasks.rows import Row, load_rows
from rl4nlu.tasks.task import load_tasks

TASKS = load_tasks()
SPLITS = ("train", "validation", "test")


def small(**changes) -> Data:
    return Data(**{"train_rows": 60, "validation_rows": 15, "test_rows": 20, **changes})


def row(n: int, passage: str, group: str | None = None) -> Row:
    return Row(str(n), {"passage": passage, "question": f"q{n}", "answer": f"a{n}"}, "1", group)


@given(st.lists(st.integers(0, 12), min_size=2, max_size=60), st.integers(1, 40), st.integers(0, 5))
def test_carving_keeps_units_whole_and_takes_at_most_a_fifth(passages: list[int], wanted: int, seed: int) -> None:
    rows = [row(n, f"p{p}") for n, p in enumerate(passages)]
    task = TASKS["multirc"]
    if len(set(passages)) < 2:
        with pytest.raises(ConfigError, match="share one text"):
            carve(task, rows, wanted, seed)
        return
    train, validation = carve(task, rows, wanted, seed)
    assert sorted([*train, *validation], key=lambda r: int(r.id)) == rows
    assert [int(r.id) for r in train] == sorted(int(r.id) for r in train)
    assert not {r.fields["passage"] for r in train} & {r.fields["passage"] for r in validation}
    assert validation
    assert train
    if len({r.fields["passage"] for r in validation}) > 1:
        assert len(validation) <= min(wanted, len(rows) // 5)
    assert carve(task, rows, wanted, seed) == (train, validation)


def test_equal_texts_stay_on_one_side_where_no_field_is_named() -> None:
    rows = [Row(str(n), {"sentence": f"s{n % 20}"}, "1") for n in range(100)]
    for seed in range(5):
        train, validation = carve(TASKS["cola"], rows, 20, seed)
        assert not {r.fields["sentence"] for r in train} & {r.fields["sentence"] for r in validation}
        assert len(validation) == 20


def test_another_seed_carves_other_rows() -> None:
    rows = [Row(str(n), {"sentence": str(n)}, "1") for n in range(100)]
    assert carve(TASKS["cola"], rows, 20, 0) != carve(TASKS["cola"], rows, 20, 1)


@given(st.lists(st.integers(0, 8), min_size=1, max_size=40), st.integers(1, 20), st.integers())
def test_caps_keep_groups_whole_and_the_order(groups: list[int], most: int, seed: int) -> None:
    rows = [row(n, "p", f"g{g}") for n, g in enumerate(groups)]
    kept = cap(rows, most, random.Random(seed))
    assert [int(r.id) for r in kept] == sorted(int(r.id) for r in kept)
    for group in {r.group for r in kept}:
        assert [r for r in kept if r.group == group] == [r for r in rows if r.group == group]
    if len({r.group for r in kept}) > 1:
        assert len(kept) <= most
    assert kept
    assert cap(rows, None, random.Random(seed)) == rows


def test_rows_without_groups_are_capped_exactly() -> None:
    rows = [row(n, "p") for n in range(30)]
    assert len(cap(rows, 7, random.Random(0))) == 7


def candidates(query: str, texts: list[str], answers: list[str]) -> list[Row]:
    return [
        Row(
            f"{query}.{n}",
            {"passage": "p", "query": query, "candidate": t},
            "1" if t in answers else "0",
            query,
            answers,
        )
        for n, t in enumerate(texts)
    ]


def test_record_trains_on_one_gold_and_one_other_candidate_of_each_query() -> None:
    rows = (
        candidates("a", ["x", "y", "z"], ["x", "z"])
        + candidates("b", ["x"], ["x"])
        + candidates("c", ["x", "y"], ["q"])
    )
    kept, dropped = sample_candidates(rows, 0)
    assert sorted(r.label for r in kept) == ["0", "1"]
    assert {r.group for r in kept} == {"a"}
    assert [(d["where"], d["reason"].split(" candidate")[0]) for d in dropped] == [("b", "no other"), ("c", "no gold")]
    assert len({tuple(r.id for r in sample_candidates(rows, s)[0]) for s in range(20)}) == 2, "either gold may be drawn"


@pytest.mark.parametrize("name", ["cola", "stsb", "mnli", "mnli-mm", "multirc", "record", "axg"])
def test_the_same_seed_makes_the_same_bytes_and_the_record_is_true(tmp_path: Path, name: str) -> None:
    task = TASKS[name]
    record = prepare(task, small(), tmp_path / "a" / name)
    again = prepare(task, small(), tmp_path / "b" / name)
    assert record == again == read_json(tmp_path / "a" / name / "record.json")
    for split in (*SPLITS, "record"):
        file = f"{split}.jsonl" if split != "record" else "record.json"
        assert (tmp_path / "a" / name / file).read_bytes() == (tmp_path / "b" / name / file).read_bytes()
    assert prepare(task, small(seed=1), tmp_path / "c" / name)["digests"]["test"] != record["digests"]["test"]
    ids: list[str] = []
    for split in SPLITS:
        rows = load_rows(tmp_path / "a", name, split)
        assert record["rows"][split] == len(rows)
        assert record["digests"][split] == file_digest(tmp_path / "a" / name / f"{split}.jsonl")
        ids += [r.id for r in rows]
        assert (len(rows) == 0) == (task.trained_with is not None and split != "test")
    assert len(set(ids)) == len(ids)
    assert record["rows"]["train"] <= 60
    assert record["rows"]["test"] <= 20
    assert record["source"] == "microworld"
    assert (record["groups"]["test"] > 0) == (name in ("multirc", "record", "axg"))


@pytest.mark.parametrize("name", ["cola", "boolq", "multirc", "record", "rte"])
def test_no_passage_of_train_stands_in_validation(tmp_path: Path, name: str) -> None:
    prepare(TASKS[name], small(), tmp_path / name)
    key = TASKS[name].carve_by or TASKS[name].fields[0]
    train, validation, test = ({r.fields[key] for r in load_rows(tmp_path, name, split)} for split in SPLITS)
    assert not train & validation
    if name not in ("rte", "boolq"):  # official rows may share a premise between train and dev
        assert not train & test


def test_record_has_two_candidates_a_query_in_train_and_all_in_validation(tmp_path: Path) -> None:
    prepare(TASKS["record"], small(), tmp_path / "record")
    for split, every in (("train", False), ("validation", True), ("test", True)):
        rows = load_rows(tmp_path, "record", split)
        for query in {r.group for r in rows}:
            members = [r for r in rows if r.group == query]
            if every:
                assert "1" in {r.label for r in members}
            else:
                assert sorted(r.label for r in members) == ["0", "1"]


def test_rows_that_are_absent_end_preparing_with_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"task cola: no file .*skip_absent"):
        prepare(TASKS["cola"], Data(source="local", data_root=str(tmp_path)), tmp_path / "cola")
    with pytest.raises(ConfigError, match="snakemake data"):
        load_rows(tmp_path, "cola", "train")


def own_task(folder: Path, **changes) -> Path:
    """A user's task: one YAML file, and rows of his own in a csv file."""
    values = {
        "title": "Tickets",
        "description": "You are an assistant that decides if a ticket is urgent .",
        "query": 'Is it urgent ? "{ticket}"',
        "fields": ["ticket"],
        "labels": {"urgent": "Yes", "calm": "No"},
        "metrics": ["f1", "accuracy"],
        "pair": {"text_a": "{ticket}"},
        "source": "local",
        "sources": {
            "local": {
                "format": "csv", "train": "train.csv", "test": "test.csv", "root": str(folder / "rows"),
                "fields": {"ticket": "body text"}, "label": "flag", "labels": {"Y": "urgent", "N": "calm"},
            }
        },
    }  # fmt: skip
    path = folder / "tasks" / "helpdesk" / "tickets.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({**values, **changes}, sort_keys=False))
    (folder / "rows").mkdir(exist_ok=True)
    for split, n in (("train", 40), ("test", 10)):
        with (folder / "rows" / f"{split}.csv").open("w", newline="") as handle:
            writer = csv.writer(handle)
            writer.writerow(["id", "body text", "flag"])
            writer.writerows([i, f'{split} {i}, "fire" {{now}}', "YN"[i % 2]] for i in range(n))
    return folder / "tasks"


def test_a_new_task_is_one_file_and_works_from_rows_to_scores(tmp_path: Path) -> None:
    task = load_tasks(own_task(tmp_path))["tickets"]
    record = prepare(task, Data(validation_rows=8), tmp_path / "data" / "tickets")
    assert record["rows"] == {"train": 32, "validation": 8, "test": 10}
    assert (record["suite"], record["source"], record["dropped"]) == ("helpdesk", "local", 0)
    train, test = (load_rows(tmp_path / "data", "tickets", split) for split in ("train", "test"))
    prompt = write_prompt(task, test[0].fields, train[:2]).text
    assert 'Is it urgent ? "test 0, "fire" {now}"' in prompt
    from rl4nlu.tasks.prompts import CORRECTED

    answers = [read_response(task, answer_text(task, r.label, CORRECTED)).label for r in test]
    assert score(task, test, answers) == {"f1": 100.0, "accuracy": 100.0}


def test_a_typo_in_a_new_task_gives_one_clear_message(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_tasks(own_task(tmp_path, query='Is it urgent ? "{tiket}"'))
    assert len(str(caught.value).splitlines()) == 1
    for part in ("helpdesk/tickets.yaml", "query", "{tiket}", "did you mean 'ticket'", "Allowed: ticket"):
        assert part in str(caught.value)
    task = load_tasks(own_task(tmp_path))["tickets"]
    source = task.sources.local.model_copy(update={"label": "flags"})
    task = task.model_copy(update={"sources": task.sources.model_copy(update={"local": source})})
    with pytest.raises(
        ConfigError,
        match=r"train.csv: column 'flags' is not in the header - did you mean 'flag'\? Found: id, body text, flag",
    ):
        prepare(task, Data(), tmp_path / "data")


@pytest.mark.real_data
def test_official_rows_are_prepared_without_a_leak(official_data: Path, tmp_path: Path) -> None:
    data = Data(source="local", data_root=str(official_data), train_rows=300, validation_rows=100, test_rows=100)
    for name in ("boolq", "multirc", "record", "mnli", "axg"):
        record = prepare(TASKS[name], data, tmp_path / name)
        rows = {split: load_rows(tmp_path, name, split) for split in SPLITS}
        key = TASKS[name].carve_by or TASKS[name].fields[0]
        assert not {r.fields[key] for r in rows["train"]} & {r.fields[key] for r in rows["validation"]}
        assert len(rows["test"]) <= 100 or name == "record"
        assert record["dropped"] == 0 or name == "record"
        if name == "axg":
            assert len({r.group for r in rows["test"]}) == 50
