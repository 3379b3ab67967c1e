"""Collecting a results tree: one row a number, costs, histories, unreadable answers, paired tests."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from synthetic import SMALL_GRID, write_tree

from rl4nlu.base.files import read_json, read_jsonl, write_json, write_jsonl
from rl4nlu.scores.collect import (
    HISTORY_ROWS,
    METRICS,
    data_table,
    find_scored,
    history_table,
    invalid_table,
    metrics_table,
    mixture_kind,
    runs_table,
)
from rl4nlu.scores.comparisons import compare_methods
from rl4nlu.tasks.task import load_tasks

TASKS = load_tasks()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    write_tree(folder, TASKS, SMALL_GRID)
    return folder


def test_one_row_a_number(results: Path) -> None:
    found = metrics_table(find_scored(results, TASKS), TASKS, "embedded", None)
    assert tuple(found) == METRICS
    numbers = sum(len(TASKS[name].metrics) * len(arm[4]) for arm in SMALL_GRID for name in arm[5])
    assert len(found) == numbers
    one = found[
        (found["method"] == "ppo") & (found["variant"] == "main") & (found["mixture"] == "cola") & (found["seed"] == 1)
    ]
    record = read_json(results / "micro-llama/ppo/cola/main/seed1/evaluation/cola/metrics.json")
    assert one.set_index("metric")["value"].to_dict() == {m: v["value"] for m, v in record["metrics"].items()}
    assert set(one["suite"]) == {"glue"}
    assert not found["stale"].any()


def test_what_a_run_was_trained_on() -> None:
    suites = {"glue", "superglue"}
    assert mixture_kind("none", TASKS["cola"], suites) == "none"
    assert mixture_kind("cola", TASKS["cola"], suites) == "st"
    assert mixture_kind("rte", TASKS["axb"], suites) == "st"
    assert mixture_kind("glue", TASKS["cola"], suites) == "mt"
    assert mixture_kind("cola", TASKS["sst2"], suites) == "transfer"
    assert mixture_kind("cola", None, suites) == "transfer"


def test_rows_of_other_settings_are_stale(results: Path) -> None:
    scored = find_scored(results, TASKS)
    digests = {item.address: "0" * 16 for item in scored}
    digests["micro-llama/sft/cola/main/seed2"] = "other"
    found = metrics_table(scored, TASKS, "embedded", digests)
    assert set(found.loc[found["stale"], ["method", "mixture", "seed"]].itertuples(index=False, name=None)) == {
        ("sft", "cola", 2)
    }


def test_costs_come_from_the_runs_record(results: Path) -> None:
    found = runs_table(find_scored(results, TASKS), TASKS, "embedded")
    assert len(found) == sum(len(arm[4]) for arm in SMALL_GRID)
    ppo = found[(found["method"] == "ppo") & (found["mixture"] == "cola")].iloc[0]
    assert (ppo["optimiser_steps"], ppo["prompts_seen"], ppo["tokens_generated"], ppo["candidates"]) == (
        80,
        1600,
        6400,
        3,
    )
    assert (ppo["torch"], ppo["peak_cpu_mb"], ppo["mixture_kind"]) == ("2.13.0", 700.0, "st")
    second = found[(found["method"] == "ppo") & (found["mixture"] == "cola") & (found["variant"] == "main")].iloc[1]
    assert second["learning_rate_from"] == "micro-llama/ppo/cola/main/seed0"
    prompted = found[found["method"] == "zero-shot"].iloc[0]
    assert prompted["evaluated_rows"] == 4 * 60
    assert pd.isna(prompted["optimiser_steps"])


def test_histories_are_thinned_but_keep_validation(tmp_path: Path) -> None:
    write_tree(tmp_path, TASKS, [("micro-llama", "ppo", "cola", "main", [0], ["cola"])])
    run = tmp_path / "micro-llama/ppo/cola/main/seed0"
    write_jsonl(
        run / "history.jsonl",
        (
            {"step": i, "prompts": 64 * i, "reward": 0.1, "validation": 50.0 if i == 777 else None}
            for i in range(1, 1001)
        ),
    )
    found = history_table(find_scored(tmp_path, TASKS), TASKS, "embedded")
    assert len(found) <= HISTORY_ROWS + 2
    assert {777, 1000} <= set(found["step"])
    assert found["examples"].tolist() == [64 * step for step in found["step"]]


def test_unreadable_answers_are_counted_over_seeds(results: Path) -> None:
    found = invalid_table(find_scored(results, TASKS), TASKS, "embedded")
    few = found[(found["method"] == "few-shot") & (found["task"] == "cola")]
    rates = [
        read_json(results / f"micro-llama/few-shot/none/main/seed{k}/evaluation/cola/metrics.json")["invalid_rate"]
        for k in (0, 1)
    ]
    assert few["answers"].sum() == round(sum(rates) * 60)
    assert set(few["rows"]) == {120}
    assert "majority" not in set(found["method"])
    assert "encoder" not in set(found["method"])


def test_an_altered_label_counts_as_none(tmp_path: Path) -> None:
    write_tree(tmp_path, TASKS, [("micro-llama", "zero-shot", "none", "main", [0], ["sst2"])], n=3)
    folder = tmp_path / "micro-llama/zero-shot/none/main/seed0/evaluation/sst2"
    texts = [" positive </Judgement>", " fine </Judgement>", " </Judgement>"]
    rows = read_jsonl(folder / "predictions.jsonl")
    said = [row | {"prediction": None, "text": text} for row, text in zip(rows, texts, strict=True)]
    write_jsonl(folder / "predictions.jsonl", said)
    write_json(folder / "metrics.json", read_json(folder / "metrics.json") | {"invalid_rate": 1.0})
    found = invalid_table(find_scored(tmp_path, TASKS), TASKS, "embedded").set_index("category")["answers"]
    assert found[found > 0].to_dict() == {"empty": 1, "no label": 2}


def test_a_record_without_a_key_is_named(tmp_path: Path) -> None:
    write_json(tmp_path / "m/sft/cola/main/seed0/evaluation/cola/metrics.json", {"model": "m", "n": 1})
    with pytest.raises(ValueError, match=r"evaluation/cola/metrics\.json: no key method, mixture"):
        find_scored(tmp_path, TASKS)


def test_nothing_collected_is_empty_but_whole(tmp_path: Path) -> None:
    scored = find_scored(tmp_path, TASKS)
    for table in (
        metrics_table(scored, TASKS, "x", None),
        *compare_methods(scored, TASKS, "x", 10, 0).values(),
        data_table(None, TASKS, "x"),
    ):
        assert table.empty
        assert "scale" in table


def test_data_sets(tmp_path: Path) -> None:
    write_json(
        tmp_path / "cola/record.json",
        {"source": "microworld", "rows": {"train": 8, "validation": 2, "test": 4}, "dropped": 1},
    )
    found = data_table(tmp_path, TASKS, "embedded").iloc[0]
    assert found[["task", "title", "train", "test", "dropped"]].tolist() == ["cola", "CoLA", 8, 4, 1]


def test_the_program_takes_the_configs_grid(results: Path, tmp_path: Path, root: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("name: tiny\ngrid:\n  - {method: sft, models: [micro-llama], mixtures: [sst2]}\n")
    command = [
        sys.executable,
        str(root / "workflow/scripts/collect.py"),
        "--results",
        str(results),
        "--config",
        str(config),
    ]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "out")], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert "left out: micro-llama/ppo/cola/main/seed0 is not in the grid of c.yaml" in done.stdout
    found = pd.read_csv(tmp_path / "out/metrics.csv")
    assert found[["scale", "method", "mixture", "stale"]].drop_duplicates().to_numpy().tolist() == [
        ["tiny", "sft", "sst2", True]
    ]


def test_collecting_and_reporting_import_no_torch() -> None:
    code = (
        "import sys, rl4nlu.scores.collect, rl4nlu.scores.comparisons, rl4nlu.report.tables, rl4nlu.report.figures, rl4nlu.report.macros\n"
        "print([m for m in ('torch', 'transformers', 'datasets', 'sklearn', 'scipy', 'matplotlib') if m in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
