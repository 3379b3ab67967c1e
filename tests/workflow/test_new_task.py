"""A task of one's own: one YAML file and rows, from nothing to scores."""

import csv
import json

import pytest

TASK = """
title: Rain
description: You are an assistant that decides if a sentence is about rain .
query: 'Is this about rain ? "{text}"'
fields: [text]
labels: {"wet": "Yes", "dry": "No"}
metrics: [accuracy, f1]
pair: {text_a: "{text}"}
source: local
sources:
  local: {format: csv, root: mine, train: train.csv, test: test.csv, fields: {text: sentence}, label: kind}
"""
CONFIG = """
name: mine
folder: runs/mine
data: {source: microworld, validation_rows: 10}
sft: {prompts: 32}
evaluation: {bootstrap: 50}
grid:
  - {method: zero-shot, models: [micro-llama], tasks: [rain]}
  - {method: sft, models: [micro-llama], mixtures: [rain]}
"""


@pytest.fixture
def mine(checkout):
    """A checkout with a task file, a config and rows of the user's own."""
    tasks = checkout.folder / "config" / "tasks" / "weather"
    tasks.mkdir()
    (tasks / "rain.yaml").write_text(TASK)
    (checkout.folder / "config" / "mine.yaml").write_text(CONFIG)
    (checkout.folder / "mine").mkdir()
    for name, count in (("train", 60), ("test", 20)):
        with (checkout.folder / "mine" / f"{name}.csv").open("w", newline="") as handle:
            writer = csv.writer(handle)
            writer.writerow(["sentence", "kind"])
            for i in range(count):
                wet = i % 2 == 0
                writer.writerow(
                    [f"the sky is {'grey, and wet' if wet else 'clear'} on {name} day {i}", "wet" if wet else "dry"]
                )
    return checkout


def test_a_task_added_by_one_file_is_prepared_trained_and_scored(mine):
    mine.snakemake("--cores", "2", "evaluate", "--configfile", "config/mine.yaml")
    results = mine.folder / "runs" / "mine" / "results" / "micro-llama"
    for run in ("zero-shot/none", "sft/rain"):
        metrics = json.loads((results / run / "main" / "seed0" / "evaluation" / "rain" / "metrics.json").read_text())
        assert metrics["n"] == 20
        assert 0 <= metrics["metrics"]["accuracy"]["value"] <= 100


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("metrics: [accuracy", "metrics: [acuracy", "did you mean 'accuracy'"),
        ("{text}", "{txt}", "did you mean 'text'"),
        ("description:", "descripton:", "did you mean 'description'"),
    ],
)
def test_a_typo_in_it_gives_one_message_with_the_file(mine, old, new, said):
    mine.edit("config/tasks/weather/rain.yaml", old, new)
    output = mine.snakemake("-n", "--configfile", "config/mine.yaml", fails=True)
    assert "weather/rain.yaml" in output
    assert said in output
    assert "Traceback" not in output
