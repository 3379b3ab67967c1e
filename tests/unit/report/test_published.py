"""The papers' printed numbers: every cell is well-formed, and every average is recomputed."""

from pathlib import Path

import pandas as pd
import pytest

from rl4nlu.report.published import COLUMNS, load_published, recompute_averages
from rl4nlu.tasks.task import load_tasks

# cells a table prints, averages and costs included (a cell with two metrics counts twice)
CELLS = {
    "1": 8 * 12,
    "2": 10 * 2,
    "3": 3 * 7,
    "4": 7 * 3,
    "5": 3,
    "6": 3,
    "7": 5,
    "8": 6 * 3,
    "9": 22,
    "10": 5 * 15,
    "11": 6,
    "12": 22,
}


@pytest.fixture(scope="module")
def folder(root: Path) -> Path:
    return root / "resources" / "published"


@pytest.fixture(scope="module")
def printed(folder: Path) -> pd.DataFrame:
    every = load_published(folder)
    return every[every["paper"] == "ppo_for_nlu"]


def test_every_table_has_all_its_cells(printed: pd.DataFrame) -> None:
    assert printed.groupby("table").size().to_dict() == CELLS
    keys = ["paper", "table", "model", "method", "mixture_kind", "task", "metric"]
    assert not printed.duplicated(keys).any()
    assert set(printed["mixture_kind"]) == {"none", "st", "mt", "transfer"}


def test_every_number_has_a_source_and_every_gap_a_note(printed: pd.DataFrame) -> None:
    assert (
        printed["source"] == "arXiv 2410.11020v5 (Findings of EMNLP 2025, pp. 25552-25567), Table " + printed["table"]
    ).all()
    gaps = printed[printed["value"].isna()]
    assert (gaps["note"] != "").all()
    assert set(gaps["table"]) == {
        "1",
        "7",
        "9",
    }  # '/' for BERT on WNLI and AX, the untuned analysis score, SFT's average


def test_intervals_hold_their_value(printed: pd.DataFrame) -> None:
    bounded = printed.dropna(subset=["low", "high"])
    assert len(bounded) == 18 + 20 + 3
    assert (bounded["low"] <= bounded["value"]).all()
    assert (bounded["value"] <= bounded["high"]).all()


def test_names_are_those_of_the_task_files(printed: pd.DataFrame) -> None:
    tasks = load_tasks()
    for table in ("1", "2", "9", "10", "12"):
        rows = printed[(printed["table"] == table) & (printed["task"] != "average")]
        for name, found in rows.groupby("task"):
            assert set(found["metric"]) == set(tasks[str(name)].columns), name


def test_averages_are_recomputed_and_misprints_marked(folder: Path, printed: pd.DataFrame) -> None:
    kept = pd.read_csv(folder / "ppo_for_nlu.averages.csv", dtype=str, keep_default_na=False)
    found = recompute_averages(printed).drop(columns="paper").astype(str)
    pd.testing.assert_frame_equal(kept, found)
    wrong = found[found["verdict"] == "misprint"]
    assert wrong[["table", "method", "mixture_kind", "printed", "recomputed"]].to_numpy().tolist() == [
        ["1", "ppo", "mt", "82.9", "82.7889"],
        ["10", "few-shot", "none", "54.9", "58.4875"],
    ]
    assert found[found["verdict"] == "truncated"]["printed"].tolist() == ["78.3"]
    assert found[found["verdict"] == "not printed"][["table", "method", "recomputed"]].to_numpy().tolist() == [
        ["9", "sft", "82.3370"]
    ]


def test_a_changed_cell_is_noticed(printed: pd.DataFrame) -> None:
    broken = printed.copy()
    cell = (
        (broken["table"] == "1")
        & (broken["method"] == "ppo")
        & (broken["mixture_kind"] == "st")
        & (broken["task"] == "cola")
    )
    broken.loc[cell, "value"] += 1
    verdicts = recompute_averages(broken).set_index(["table", "model", "method", "mixture_kind"])["verdict"]
    assert verdicts["1", "llama2-7b-chat", "ppo", "st"] == "misprint"


def test_faulty_files_are_named(tmp_path: Path) -> None:
    assert load_published(tmp_path).empty
    header = ",".join(COLUMNS)
    (tmp_path / "a.csv").write_text(header + "\n1,m,ppo,st,cola,matthews,5O.1,,,test,s,\n")
    with pytest.raises(ValueError, match=r"a\.csv: line 2: value is not a number: '5O\.1'"):
        load_published(tmp_path)
    (tmp_path / "a.csv").write_text(header.replace("note", "nota") + "\n")
    with pytest.raises(ValueError, match="no column note"):
        load_published(tmp_path)


def test_paper_2_prints_two_differences_and_leaves_gaps(folder: Path) -> None:
    every = load_published(folder)
    found = every[every["paper"] == "rllr"].set_index("method")["value"]
    assert found.dropna().to_dict() == {"rllr - sft": 1.54, "rllr - rlhf": 0.69}
    assert len(found) == 4
