"""A model and rows from the hub: local rules bring them, jobs run with the hub off, and no token is written anywhere."""

import json
import os
import re
import shutil

import pytest
from hub_server import COMMIT, Hub

from .conftest import slurm_that_says

SECRET = "hf_thisIsNoRealToken0123456789"
CONFIG = """
name: hubbed
data: {source: hub, train_rows: 80, validation_rows: 20, test_rows: 30}
sft: {prompts: 32}
evaluation: {bootstrap: 50}
grid:
  - {method: majority, models: [llama2-7b-chat], tasks: [sst2]}
  - {method: zero-shot, models: [hub-llama], tasks: [sst2]}
  - {method: sft, models: [hub-llama], mixtures: [sst2]}
"""


@pytest.fixture
def rows(tmp_path_factory):
    """A data set as the hub holds it: a folder of parquet files with a card."""
    import datasets

    folder = tmp_path_factory.mktemp("rows")
    features = datasets.Features(
        {
            "sentence": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["negative", "positive"]),
            "idx": datasets.Value("int32"),
        }
    )
    card = ["---", "configs:", "- config_name: sst2", "  data_files:"]
    for split, count in (("train", 120), ("validation", 40)):
        made = [{"sentence": f"a {['dull', 'fine'][i % 2]} film {i}", "label": i % 2, "idx": i} for i in range(count)]
        (folder / "sst2").mkdir(exist_ok=True)
        datasets.Dataset.from_list(made, features=features).to_parquet(folder / "sst2" / f"{split}-0.parquet")
        card += [f"  - split: {split}", f"    path: sst2/{split}-*"]
    (folder / "README.md").write_text("\n".join([*card, "---", ""]))
    return folder


@pytest.fixture
def hubbed(checkout, rows, tmp_path_factory, monkeypatch):
    """A checkout whose model lies on a gated hub, and that hub; the environment holds the token."""
    weights = tmp_path_factory.mktemp("hub") / "micro-llama"
    shutil.copytree(checkout.folder / "resources" / "micro" / "micro-llama", weights)
    checkout.edit(
        "config/models.yaml", "micro-llama:\n", "hub-llama: {kind: decoder, path: lab/micro-llama}\nmicro-llama:\n"
    )
    checkout.edit("config/tasks/glue/sst2.yaml", "repository: nyu-mll/glue", f"repository: {rows}")
    (checkout.folder / "config" / "hubbed.yaml").write_text(CONFIG)
    with Hub({"lab/micro-llama": weights}, gated={"lab/micro-llama"}, token=SECRET) as hub:
        for name in [name for name in os.environ if name.startswith("HF_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        monkeypatch.setenv("HF_HOME", str(checkout.folder / "hub"))
        monkeypatch.setenv("HF_TOKEN", SECRET)
        yield checkout, hub


def test_jobs_never_ask_the_hub_and_no_token_is_written(hubbed):
    checkout, hub = hubbed
    command = ("--cores", "1", "--configfile", "config/hubbed.yaml")
    checkout.snakemake("models", "data/sst2/record.json", *command)
    fetched = json.loads((checkout.folder / "models" / "hub-llama.json").read_text())
    assert fetched["commit"] == COMMIT
    # the majority's model is asked nothing, so it is not fetched
    assert [path.name for path in (checkout.folder / "models").iterdir()] == ["hub-llama.json"]
    assert SECRET in {token for _, token in hub.asked}
    hub.asked.clear()
    output = checkout.snakemake("evaluate", *command)
    assert hub.asked == []
    for method, mixture in (("zero-shot", "none"), ("sft", "sst2")):
        run = checkout.folder / "results" / "hub-llama" / method / mixture / "main" / "seed0" / "run.json"
        assert json.loads(run.read_text())["model_commit"] == COMMIT
    assert SECRET not in output
    written = [path for path in checkout.folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert [path for path in written if SECRET.encode() in path.read_bytes()] == []


def test_a_gated_model_without_a_token_stops_before_any_job_with_advice(hubbed, monkeypatch):
    checkout, _ = hubbed
    monkeypatch.delenv("HF_TOKEN")
    output = checkout.snakemake("--cores", "1", "models", "--configfile", "config/hubbed.yaml", fails=True)
    assert "it is gated: accept its licence" in output
    assert "export HF_TOKEN=" in output
    assert "Traceback" not in output


def test_only_local_rules_go_to_the_hub(hubbed, tmp_path_factory, monkeypatch):
    checkout, _ = hubbed
    arguments = ("--workflow-profile", "slurm", "--configfile", "config/hubbed.yaml")
    planned = checkout.snakemake("-n", "-p", "evaluate", *arguments)
    online = {"prepare", "fetch_model"}
    blocks = dict(re.findall(r"^rule (\w+):\n(.*?)(?:\n\n|\Z)", planned, re.MULTILINE | re.DOTALL))
    assert {"prompt", "train_sft", "answer_run", "score_run"} <= set(blocks)
    for rule in set(blocks) - online - {"evaluate"}:
        assert "HF_HUB_OFFLINE=1 python" in blocks[rule], blocks[rule]
    # and these two are not submitted: this sbatch would fail
    settings = ("MinJobAge = 300 sec", "AccountingStorageType = accounting_storage/none")
    monkeypatch.setenv("PATH", slurm_that_says(tmp_path_factory.mktemp("slurm") / "bin", *settings))
    checkout.snakemake("models", "data/sst2/record.json", *arguments)
