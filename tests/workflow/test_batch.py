"""Batches in the real workflow: every run is trained once, whoever trains it, and a new seed trains nothing else."""

import re

import pytest

CONFIG = """
name: tiny
batch: true
data: {source: microworld, train_rows: 80, validation_rows: 20, test_rows: 30}
sft: {prompts: 32}
evaluation: {bootstrap: 50}
grid:
  - {method: sft, models: [micro-llama], mixtures: [sst2], seeds: [0, 1, 2]}
"""


def lines(checkout, pattern):
    logs = sorted((checkout.folder / "logs").rglob("seed*.log"))
    return sorted(found for log in logs for found in re.findall(pattern, log.read_text(), re.MULTILINE))


@pytest.mark.slow
def test_every_run_is_trained_once_and_a_new_seed_trains_only_itself(checkout):
    (checkout.folder / "config" / "tiny.yaml").write_text(CONFIG)
    checkout.snakemake("--cores", "2", "evaluate", "--configfile", "config/tiny.yaml")
    runs = [f"micro-llama/sft/sst2/main/seed{seed}" for seed in range(3)]
    assert lines(checkout, r"^training (\S+): done") == runs
    assert lines(checkout, r"^answering (\S+): done") == runs
    assert len(lines(checkout, r"^answering: nothing to do, made by process \d+")) == 3
    assert lines(checkout, r"^scoring (\S+): done") == runs
    for run in runs:
        assert (checkout.folder / "results" / run / "evaluation" / "sst2" / "metrics.json").is_file()
    for stage in ("sft", "answering", "scoring"):
        assert not list((checkout.folder / "work" / stage).iterdir())

    checkout.edit("config/tiny.yaml", "seeds: [0, 1, 2]", "seeds: [0, 1, 2, 3]")
    output = checkout.snakemake("--cores", "2", "evaluate", "--configfile", "config/tiny.yaml")
    assert re.search(r"^train_sft +1$", output, re.MULTILINE)
    assert lines(checkout, r"^training (\S+): done") == [*runs, "micro-llama/sft/sst2/main/seed3"]
    assert not lines(checkout, r"--- batch of micro-llama/sft/sst2/main/seed3: training")
