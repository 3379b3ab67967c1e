"""Who is compared with whom, on which rows, by which test; and means over seeds."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scenes import scenes, write_scored_scenes
from scipy import stats
from synthetic import SMALL_GRID, make_predictions, make_rows, make_rows_that_share, write_scored, write_tree

from rl4nlu.base.files import read_json, read_jsonl, write_json
from rl4nlu.scores.collect import find_scored, metrics_table
from rl4nlu.scores.comparisons import (
    COMPARISONS,
    EFFECTS,
    MEANS,
    OVERALL,
    compare_methods,
    find_pairs,
    resample_tasks,
    share_trainings,
    summarise_files,
)
from rl4nlu.scores.intervals import holm
from rl4nlu.tasks.metrics import summarise
from rl4nlu.tasks.task import load_tasks

TASKS = load_tasks()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    write_tree(folder, TASKS, SMALL_GRID)
    return folder


@pytest.fixture(scope="module")
def tables(results: Path) -> dict[str, pd.DataFrame]:
    return compare_methods(find_scored(results, TASKS), TASKS, "embedded", 200, 0)


def test_methods_are_compared_like_with_like(tables: dict[str, pd.DataFrame]) -> None:
    found = tables["comparisons"]
    seen = {(r["comparison"], r["task"]): (r["seeds_a"], r["seeds_b"], r["test"]) for _, r in found.iterrows()}
    assert seen == {
        ("ppo vs sft (st)", "cola"): (3, 3, "seeds and rows"),
        ("ppo vs sft (st)", "sst2"): (1, 1, ""),
        ("sft vs zero-shot (st)", "cola"): (3, 1, "seeds and rows"),
        ("sft vs zero-shot (st)", "sst2"): (1, 1, ""),
        ("ppo vs zero-shot (st)", "cola"): (3, 1, "seeds and rows"),
        ("ppo vs zero-shot (st)", "sst2"): (1, 1, ""),
        ("ppo vs zero-shot (mt)", "cola"): (2, 1, "seeds and rows"),
        ("ppo vs zero-shot (mt)", "sst2"): (2, 1, "seeds and rows"),
        ("few-shot vs zero-shot", "cola"): (2, 1, "seeds and rows"),
        ("few-shot vs zero-shot", "record"): (2, 1, "seeds and rows"),
        ("ppo vs micro-bert-base (st)", "cola"): (3, 3, "seeds and rows"),
    }
    assert tuple(found) == COMPARISONS
    assert dict(zip(found["task"], found["metric"], strict=True)) == {
        "cola": "matthews",
        "sst2": "accuracy",
        "record": "record-em",
    }


def test_what_cannot_be_tested_is_told_and_nothing_is_made_of_it(tables: dict[str, pd.DataFrame]) -> None:
    """One training of a method that has seeds says nothing of other trainings."""
    found = tables["comparisons"]
    untested = found[found["test"] == ""]
    assert untested["difference"].notna().all()
    assert untested[["low", "high", "df", "p", "p_holm", "detectable"]].isna().all(axis=None)
    tested = found[found["test"] != ""]
    assert tested[["low", "high", "df", "p", "p_holm", "detectable"]].notna().all(axis=None)
    assert (tested["low"] < tested["difference"]).all()
    assert (tested["difference"] < tested["high"]).all()


def test_the_correction_counts_what_was_tested(tables: dict[str, pd.DataFrame]) -> None:
    for _, rows in tables["comparisons"].groupby("comparison"):
        tested = rows[rows["test"] != ""]
        assert tested["p_holm"].tolist() == pytest.approx(holm(tested["p"].tolist()))
    overall = tables["overall"]
    tested = overall[overall["p"].notna()]
    assert tested["p_holm"].tolist() == pytest.approx(holm(tested["p"].tolist()))


def test_means_are_those_of_the_runs(results: Path, tables: dict[str, pd.DataFrame]) -> None:
    metrics = metrics_table(find_scored(results, TASKS), TASKS, "embedded", None)
    names = ["model", "method", "mixture", "variant", "task", "metric"]
    wanted = metrics.groupby(names)["value"].agg(["mean", "std", "size"])
    found = tables["means"].set_index(names)
    assert tuple(tables["means"]) == MEANS
    assert len(found) == len(wanted)
    assert found["value"].to_dict() == pytest.approx(wanted["mean"].to_dict())
    assert found["seeds"].to_dict() == wanted["size"].to_dict()
    several = wanted["size"] > 1
    assert found["sd"][several].to_dict() == pytest.approx(wanted["std"][several].to_dict())


def test_an_interval_of_a_mean_counts_seeds_and_rows(results: Path, tables: dict[str, pd.DataFrame]) -> None:
    means = tables["means"].set_index(["method", "mixture", "variant", "task", "metric"])
    one = means.loc["sft", "cola", "main", "cola", "matthews"]
    values = [
        read_json(results / f"micro-llama/sft/cola/main/seed{k}/evaluation/cola/metrics.json")["metrics"]["matthews"]
        for k in range(3)
    ]
    over_seeds = stats.t.interval(
        0.95, 2, np.mean([v["value"] for v in values]), stats.sem([v["value"] for v in values])
    )
    assert one["high"] > one["value"] > one["low"]
    assert one["high"] - one["low"] > 0.5 * (over_seeds[1] - over_seeds[0])
    assert np.isnan(means.loc["sft", "sst2", "main", "sst2", "accuracy"]["low"])  # one training
    fixed = means.loc["zero-shot", "none", "main", "cola", "matthews"]  # has no seeds: over rows alone
    alone = read_json(results / "micro-llama/zero-shot/none/main/seed0/evaluation/cola/metrics.json")["metrics"][
        "matthews"
    ]
    assert fixed["high"] - fixed["low"] == pytest.approx(alone["high"] - alone["low"], rel=0.25)


def test_leaders_are_those_that_nobody_surely_beats(tmp_path: Path) -> None:
    arms = [("m", "zero-shot", "none", "main", [0], ["sst2"])]
    arms += [
        ("m", name, "sst2", "main", seeds, ["sst2"])
        for name, seeds in (("sft", [0, 1, 2]), ("ppo", [0, 1, 2]), ("grpo", [0]))
    ]
    rows = make_rows(TASKS["sst2"], 300)
    for model, method, mixture, variant, seeds, (name,) in arms:
        skill = {"zero-shot": 0.2, "sft": 0.8, "ppo": 0.82, "grpo": 1.0}[method]
        for seed in seeds:
            address = {"model": model, "method": method, "mixture": mixture, "variant": variant, "seed": seed}
            folder = tmp_path / "/".join([*map(str, list(address.values())[:4]), f"seed{seed}", "evaluation", name])
            write_scored(
                folder, address, TASKS[name], rows, make_predictions(TASKS[name], rows, skill, f"{method}{seed}")
            )
    means = compare_methods(find_scored(tmp_path, TASKS), TASKS, "embedded", 100, 0)["means"]
    assert dict(zip(means["method"], means["leads"], strict=True)) == {
        "zero-shot": False,
        "sft": True,
        "ppo": True,
        "grpo": False,  # the best, by a single training
    }


def test_an_average_leaves_out_tasks_of_other_runs(tmp_path: Path) -> None:
    tasks = ["sst2", "rte", "axb"]
    grid = [("m", "zero-shot", "none", "main", [0], tasks)]
    grid += [("m", "sft", name, "main", [0, 1, 2], own) for name, own in (("sst2", ["sst2"]), ("rte", ["rte", "axb"]))]
    write_tree(tmp_path, TASKS, grid)
    tables = compare_methods(find_scored(tmp_path, TASKS), TASKS, "embedded", 100, 0)
    (row,) = tables["overall"].to_dict("records")
    assert tuple(tables["overall"]) == OVERALL
    single = tables["comparisons"].set_index("task")["difference"]
    own = [name for name in tasks if TASKS[name].trained_with is None]
    assert row["tasks"] == len(own)
    assert row["difference"] == pytest.approx(np.mean([single[name] for name in own]))
    assert row["low"] < row["difference"] < row["high"]


def test_runs_that_stand_on_one_training_are_pairs(tmp_path: Path) -> None:
    grid = [("m", method, "rllr", "main", [0, 1, 2], ["rllr-sst2"]) for method in ("rlhf", "sft-rationale", "sft")]
    write_tree(tmp_path, TASKS, grid)
    for seed in range(3):
        backbone = f"m/merged-backbone/rllr/main/seed{seed}"
        for folder, below in (
            (f"m/rlhf/rllr/main/seed{seed}", {"backbone": backbone}),
            (backbone, {"adapter": f"m/sft-rationale/rllr/main/seed{seed}"}),
        ):
            write_json(tmp_path / folder / "run.json", {"spec": {"stands_on": below}, "facts": {}})
    runs = {one.method: one for one in resample_tasks(find_scored(tmp_path, TASKS), TASKS, 20, 0)}
    assert share_trainings(runs["rlhf"], runs["sft-rationale"])
    assert not share_trainings(runs["rlhf"], runs["sft"])
    assert runs["rlhf"].less(runs["sft-rationale"]).shared


def test_runs_on_different_rows_are_not_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tree(tmp_path, TASKS, [("m", method, "cola", "main", [0], ["cola"]) for method in ("sft", "ppo")])
    address = {"model": "m", "method": "ppo", "mixture": "cola", "variant": "main", "seed": 0}
    rows = make_rows(TASKS["cola"], 30)
    folder = tmp_path / "m/ppo/cola/main/seed0"
    write_scored(
        folder / "evaluation" / "cola", address, TASKS["cola"], rows, make_predictions(TASKS["cola"], rows, 0.5, "x")
    )
    runs = resample_tasks(find_scored(tmp_path, TASKS), TASKS, 50, 0)
    assert len(runs) == 2
    assert find_pairs(runs) == {}
    assert "hold different rows" in capsys.readouterr().out


def test_seeds_on_different_rows_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tree(tmp_path, TASKS, [("m", "sft", "cola", "main", [0, 1], ["cola"])])
    address = {"model": "m", "method": "sft", "mixture": "cola", "variant": "main", "seed": 1}
    rows = make_rows(TASKS["cola"], 30)
    folder = tmp_path / "m/sft/cola/main/seed1/evaluation/cola"
    write_scored(folder, address, TASKS["cola"], rows, make_predictions(TASKS["cola"], rows, 0.5, "x"))
    assert resample_tasks(find_scored(tmp_path, TASKS), TASKS, 50, 0) == []
    said = capsys.readouterr().out
    assert "seed0" in said
    assert "seed1" in said
    assert "hold different rows" in said


@pytest.mark.parametrize("name", ["multirc", "record", "boolq", "axg"])
def test_tests_draw_what_the_intervals_draw(tmp_path: Path, name: str) -> None:
    """From predictions.jsonl, which hold no texts: rows of one passage stay together, as where the rows themselves are known."""
    task, folders, runs = TASKS[name], [tmp_path / "a", tmp_path / "b"], []
    rows = make_rows_that_share(task, 60, 3)
    for seed, folder in enumerate(folders):
        runs.append(make_predictions(task, rows, 0.7, str(seed), 0.1))
        write_scored(folder, {"model": "m"}, task, rows, runs[-1])
    found, metrics = summarise_files(task, [read_jsonl(folder / "predictions.jsonl") for folder in folders])
    wanted = summarise(task, rows, runs)
    assert found.codes.shape == wanted.codes.shape == (2, 20 if name == "boolq" else 10)
    weights = np.random.default_rng(0).integers(0, 4, size=(5, found.codes.shape[1])).astype(float)
    for run in range(2):
        values, own = (s.evaluate(weights, s.codes[run]) for s in (found, wanted))
        for metric in metrics:
            assert values[metric] == pytest.approx(own[metric])


def write_answers(results: Path, variant: str, seed: int, right: int, method: str = "sft", n: int = 60) -> None:
    """A run on SST-2 that has `right` rows right, from the one of its seed on, and the others wrong."""
    task, rows, other = TASKS["sst2"], make_rows(TASKS["sst2"], n), {"0": "1", "1": "0"}
    guesses = [row.label if (k - 10 * seed) % n < right else other[row.label] for k, row in enumerate(rows)]
    address = {"model": "micro-llama", "method": method, "mixture": "sst2", "variant": variant, "seed": seed}
    folder = results / "micro-llama" / method / "sst2" / variant / f"seed{seed}" / "evaluation" / "sst2"
    write_scored(folder, address, task, rows, guesses)


def effects_of(results: Path) -> pd.DataFrame:
    return compare_methods(find_scored(results, TASKS), TASKS, "x", 200, 0)["effects"].set_index("variant")


def test_a_variant_is_paired_with_main_by_seed(tmp_path: Path) -> None:
    for seed, right in enumerate((54, 30, 42, 48, 36)):  # a wide spread over seeds, which pairs share
        for variant, less in (("main", 0), ("same", 0), ("worse", (12, 10, 14, 11, 13)[seed])):
            write_answers(tmp_path, variant, seed, right - less)
    write_answers(tmp_path, "few", 4, 6)
    write_answers(tmp_path, "few", 5, 6)  # main has no run of seed 5
    write_answers(tmp_path, "alone", 7, 24)
    write_answers(tmp_path, "worse", 0, 24, method="ppo")  # nor any of PPO
    found = effects_of(tmp_path)
    assert list(found.reset_index()) == [EFFECTS[1], *[name for name in EFFECTS if name != "variant"]]
    assert found[["method", "task", "seeds", "n"]].T.to_dict("list") == {
        "few": ["sft", "sst2", 1, 60],
        "same": ["sft", "sst2", 5, 60],
        "worse": ["sft", "sst2", 5, 60],
    }
    same, worse, few = (found.loc[name] for name in ("same", "worse", "few"))
    assert (same["difference"], same["low"], same["high"], same["p"]) == (0, 0, 0, 1)
    assert (worse["main"], worse["value"], worse["difference"]) == pytest.approx((70, 50, -20))
    assert -30 < worse["low"] < -20 < worse["high"] < -10
    assert (few["difference"], few["test"]) == (pytest.approx(-50), "")
    assert few[["low", "high", "p", "p_holm"]].isna().all()


def test_effects_are_corrected_within_a_variant(tmp_path: Path) -> None:
    for method, less in (("sft", (6, 2, 9)), ("ppo", (3, 8, 5))):
        for seed in range(3):
            for variant, factor in (("main", 0), ("a", 1), ("b", 2)):
                write_answers(tmp_path, variant, seed, 48 - factor * less[seed], method)
    found = effects_of(tmp_path)
    for _, family in found.groupby(level=0):
        assert family["p_holm"].tolist() == pytest.approx(holm(family["p"].tolist()))
    assert found["p_holm"].tolist() != pytest.approx(holm(found["p"].tolist()))


def test_a_variant_on_other_rows_is_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_answers(tmp_path, "main", 0, 20)
    write_answers(tmp_path, "short", 0, 20, n=30)
    assert effects_of(tmp_path).empty
    assert "hold different rows" in capsys.readouterr().out


def compare_scenes(folder: Path, metrics: list[str]) -> dict[str, pd.DataFrame]:
    task = scenes(metrics=metrics)
    write_scored_scenes(folder / "results", folder / "data", task)
    return compare_methods(find_scored(folder / "results", {"scenes": task}), {"scenes": task}, "embedded", 200, 0)


def test_texts_are_compared_by_their_first_metric_and_are_no_part_of_an_average(tmp_path: Path) -> None:
    tables = compare_scenes(tmp_path, ["rouge-l", "perplexity"])
    found = tables["comparisons"].set_index("comparison")
    assert set(found.index) == {"ppo vs sft (text)", "sft vs zero-shot (text)", "ppo vs zero-shot (text)"}
    assert set(found["metric"]) == {"rouge-l"}
    assert (found["difference"] > 0).all()
    assert found["p_holm"].notna().all()
    assert tables["overall"].empty
    means = tables["means"].set_index(["method", "metric"])
    assert ("random", "perplexity") not in means.index  # no model wrote its texts
    assert means.loc[("random", "rouge-l"), "low"] < means.loc[("random", "rouge-l"), "value"]
    assert means.loc[("ppo", "perplexity"), "value"] < means.loc[("sft", "perplexity"), "value"]


def test_where_less_is_better_the_least_leads(tmp_path: Path) -> None:
    tables = compare_scenes(tmp_path, ["perplexity", "rouge-l"])
    leads = tables["means"].set_index(["method", "metric"])["leads"]
    assert leads["ppo", "perplexity"]
    assert not leads["zero-shot", "perplexity"]
    found = tables["comparisons"].set_index("comparison")
    assert found.loc["ppo vs sft (text)", "difference"] < 0
    assert set(found["metric"]) == {"perplexity"}
