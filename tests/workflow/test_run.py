"""The real workflow, end to end on the micro model, and what an edit reruns."""

import csv
import json
import re

import pytest

from .conftest import copy_of

CONFIG = """
name: tiny
data: {source: microworld, train_rows: 80, validation_rows: 20, test_rows: 30}
prompting: {shots: [1]}
sft: {prompts: 32}
ppo: {prompts: 32, batch_size: 16, minibatch_size: 16, epochs: 1}
evaluation: {bootstrap: 50}
grid:
  - {method: zero-shot, models: [micro-llama], tasks: [sst2]}
  - {method: sft, models: [micro-llama], mixtures: [sst2]}
  - {method: ppo, models: [micro-llama], mixtures: [sst2]}
"""


@pytest.fixture(scope="module")
def finished(root, tmp_path_factory):
    """A copy of the checkout in which a tiny config was run to its tables."""
    checkout = copy_of(root, tmp_path_factory.mktemp("checkout"))
    (checkout.folder / "config" / "tiny.yaml").write_text(CONFIG)
    checkout.snakemake("--cores", "2", "tables", "figures", "--configfile", "config/tiny.yaml")
    return checkout


def planned(checkout):
    output = checkout.snakemake("-n", "tables", "--configfile", "config/tiny.yaml")
    return set(re.findall(r"^(\w+) +\d+$", output, re.MULTILINE)) - {"total", "tables"}


def test_every_run_leaves_its_record_its_scores_and_no_unfinished_work(finished):
    for method in ("sft", "ppo"):
        run = finished.folder / "results" / "micro-llama" / method / "sst2" / "main" / "seed0"
        record = json.loads((run / "run.json").read_text())
        assert record["run"] == f"micro-llama/{method}/sst2/main/seed0"
        assert record["facts"]["prompts_seen"] == 32
        assert (run / "adapter" / "adapter_model.safetensors").is_file()
        metrics = json.loads((run / "evaluation" / "sst2" / "metrics.json").read_text())
        assert metrics["split"]
        assert metrics["n"] == 30
        assert not list((finished.folder / "work" / method).iterdir())
    with (finished.folder / "results" / "metrics.csv").open() as handle:
        assert {row["method"] for row in csv.DictReader(handle)} == {"zero-shot", "sft", "ppo"}


def test_nothing_is_left_to_do(finished):
    assert planned(finished) == set()


def test_a_reward_edit_reruns_ppo_and_not_sft(finished):
    text = (finished.folder / "src/rl4nlu/methods/rl/rewards.py").read_text()
    finished.edit("src/rl4nlu/methods/rl/rewards.py", "-3.0)", "-2.0)")
    assert {"train_ppo", "answer_run", "score_run", "collect"} <= planned(finished)
    assert "train_sft" not in planned(finished)
    (finished.folder / "src/rl4nlu/methods/rl/rewards.py").write_text(text)


def test_a_setting_reruns_what_it_touches(finished):
    finished.edit("config/tiny.yaml", "sft: {prompts: 32}", "sft: {prompts: 48}")
    assert "train_sft" in planned(finished)
    assert "train_ppo" not in planned(finished)
    finished.edit("config/tiny.yaml", "sft: {prompts: 48}", "sft: {prompts: 32}")


def test_tables_are_made_from_results_without_torch(finished, tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('torch is not needed here')")
    arguments = ("--cores", "1", "-F", "tables", "--configfile", "config/tiny.yaml", "--config", "source=results")
    output = finished.snakemake(*arguments, before=tmp_path)
    assert "train_" not in output


def test_published_tables_need_no_results(root, tmp_path):
    checkout = copy_of(root, tmp_path)
    checkout.snakemake("--cores", "1", "tables", "--config", "source=published")
    assert "84.8" in (checkout.folder / "paper" / "generated" / "tables" / "glue.md").read_text()
