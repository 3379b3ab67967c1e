"""README's results and docs/results.md are made of docs/results/, and a fresh build is compared with it."""

from pathlib import Path

import pandas as pd
import pytest
from synthetic import collected_folder

from rl4nlu.base.errors import ConfigError
from rl4nlu.report.page import BLOCK, find_differences, headline, read_results, show, third_paper, write_page


def repository(tmp_path: Path) -> Path:
    (tmp_path / "README.md").write_text(f"before\n{BLOCK[0]}old\n{BLOCK[1]}after\n")
    return tmp_path


def test_readme_and_page_tell_of_the_shipped_results(root: Path) -> None:
    shipped = read_results(root / "docs" / "results")
    for name, text in show(root, shipped).items():
        assert (root / name).read_text() == text, f"{name}: run `python -m rl4nlu results` after the main job"


def test_the_block_is_made_anew_and_nothing_else(tmp_path: Path) -> None:
    root, results = repository(tmp_path), read_results(collected_folder())
    write_page(root, results)
    text = (root / "README.md").read_text()
    assert text == f"before\n{BLOCK[0]}{headline(results)}{BLOCK[1]}after\n"
    write_page(root, read_results(root / "docs" / "results"))  # what is shipped gives the same again
    assert (root / "README.md").read_text() == text


def test_cells_are_the_means_and_leaders_are_bold() -> None:
    results = read_results(collected_folder())
    means = results["means"]
    chosen = (means["method"] == "sft") & (means["task"] == "cola") & (means["mixture"] == "cola")
    means.loc[chosen & (means["variant"] == "main"), ["value", "sd", "leads"]] = [61.25, 2.04, True]
    heads, _, *lines = headline(results).splitlines()
    at = [cell.strip() for cell in heads.split("|")].index("CoLA, MCC")
    (line,) = [line for line in lines if line.startswith("| SFT-ST |")]
    assert line.split("|")[at].strip() == "**61.2** ± 2.0"


def test_untested_averages_are_not_shown() -> None:
    results = read_results(collected_folder())
    name = "few-shot vs zero-shot"
    assert f"| {name} |" in headline(results)
    overall = results["overall"]
    overall.loc[overall["comparison"] == name, ["p", "p_holm", "low", "high"]] = float("nan")
    assert f"| {name} |" not in headline(results)


def test_an_equal_build_has_no_faults_and_another_number_is_named() -> None:
    shipped, fresh = read_results(collected_folder()), read_results(collected_folder())
    assert find_differences(fresh, shipped, exact=True) == ([], 0)
    means = fresh["means"]
    place = means.index[means["low"].notna() & (means["high"] - means["low"] > 1)][0]
    means.loc[place, "value"] += 0.1
    (fault,), changed = find_differences(fresh, shipped, exact=True)
    assert means.loc[place, "task"] in fault
    assert changed == 1
    assert find_differences(fresh, shipped, exact=False) == ([], 1)
    width = means.loc[place, "high"] - means.loc[place, "low"]
    means.loc[place, ["value", "low", "high"]] += 0.9 * width
    assert find_differences(fresh, shipped, exact=False) == ([], 1)
    means.loc[place, ["value", "low", "high"]] += 0.2 * width
    (fault,), _ = find_differences(fresh, shipped, exact=False)
    assert "was" in fault


def test_other_files_and_missing_rows_count() -> None:
    shipped, fresh = read_results(collected_folder()), read_results(collected_folder())
    fresh["comparisons"].loc[0, "p"] = 0.5
    assert find_differences(fresh, shipped, exact=True)[0] == [
        "comparisons.csv: differs from docs/results/comparisons.csv"
    ]
    assert find_differences(fresh, shipped, exact=False)[0] == []
    fresh["means"] = fresh["means"].iloc[1:]
    assert any("not in the fresh build" in fault for fault in find_differences(fresh, shipped, exact=False)[0])


def test_faults_of_the_input_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"means\.csv: is missing"):
        read_results(tmp_path)
    (tmp_path / "README.md").write_text("no block\n")
    with pytest.raises(ConfigError, match=r"README\.md: no lines"):
        show(tmp_path, read_results(collected_folder()))


def test_texts_are_told_by_what_is_rewarded_and_what_is_not() -> None:
    means = read_results(collected_folder())["means"]
    assert third_paper(means) == []
    address = {"model": "micro-llama", "mixture": "imdb", "mixture_kind": "st", "variant": "main", "task": "imdb"}
    rows = [
        address | {"method": method, "metric": metric, "value": value, "sd": 1.0, "leads": True}
        for method, metric, value in (("sft", "judge", 70.0), ("ppo++", "judge", 80.0), ("ppo++", "polarity", 60.0))
    ]
    heads, _, *lines = third_paper(pd.DataFrame(rows, columns=means.columns))
    assert heads == "| with a guide | IMDB, judge | IMDB, polarity |"
    assert lines[:3] == ["| SFT | 70.0 ± 1.0 |  |", "| PPO++ | 80.0 ± 1.0 | 60.0 ± 1.0 |", ""]
