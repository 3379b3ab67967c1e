"""Models from the hub: fetched once, checked, recorded; every fault says what to do; no token is ever shown.

The real huggingface_hub talks to a small hub on loopback, in processes of its own because it reads its settings
when it is imported.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hub_server import COMMIT, Hub

SECRET = "hf_thisIsNoRealToken0123456789"
FETCH = """
import sys
from pathlib import Path
from rl4nlu.config import Model
from rl4nlu.models.fetch import cached_commit, fetch_model
from rl4nlu.jobs.programs import main_of
model = Model(kind="decoder", path=sys.argv[1], revision=sys.argv[2] or None)
main_of(lambda: fetch_model("mine", model, Path(sys.argv[3])))
print(cached_commit(model))
"""


@pytest.fixture
def repository(tmp_path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "tokenizer.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights" * 100)
    (folder / "modeling.py").write_text("raise SystemExit('code from the hub')")
    (folder / "pytorch_model.bin").write_bytes(b"pickled" * 100)
    return folder


@pytest.fixture
def hub(repository):
    with Hub({"lab/model": repository}, token=SECRET, other="hf_other") as hub:
        yield hub


def fetch(
    tmp_path: Path, address: str, path="lab/model", revision="", program=FETCH, **environment: str
) -> tuple[int, str, dict]:
    """Status, output and record of a fetch in a process of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    out = tmp_path / "record.json"
    done = subprocess.run(
        [sys.executable, "-c", program, path, revision, str(out)],
        env={**kept, "HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "home"), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    output = done.stdout + done.stderr
    assert SECRET not in output
    record = out.read_text() if out.is_file() else "{}"
    assert SECRET not in record
    return done.returncode, output, json.loads(record)


def test_a_model_is_fetched_checked_and_recorded(hub, tmp_path, repository):
    status, output, record = fetch(tmp_path, hub.address)
    assert status == 0, output
    assert record["repository"] == "lab/model"
    assert record["commit"] == COMMIT == output.split()[-1]
    # one kind of weights, and no code
    assert set(record["files"]) == {"config.json", "tokenizer.json", "model.safetensors"}
    assert record["files"]["model.safetensors"]["bytes"] == (repository / "model.safetensors").stat().st_size
    # afterwards the cache does, with the hub off and with the hub away
    for more in ({"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}):
        assert fetch(tmp_path, hub.address, **more)[2] == record


def test_a_repository_without_safetensors_gives_its_old_weights(hub, tmp_path, repository):
    (repository / "model.safetensors").unlink()
    status, output, record = fetch(tmp_path, hub.address)
    assert status == 0, output
    assert "pytorch_model.bin" in record["files"]
    (repository / "pytorch_model.bin").unlink()
    status, output, _ = fetch(tmp_path / "other", hub.address)
    assert status == 2
    assert "holds no weights" in output


def test_a_damaged_file_in_the_cache_is_found(hub, tmp_path):
    fetch(tmp_path, hub.address)
    weights = next((tmp_path / "home").rglob("snapshots/*/model.safetensors")).resolve()
    weights.write_bytes(b"x" * weights.stat().st_size)
    status, output, _ = fetch(tmp_path, hub.address)
    assert status == 2
    assert f"{weights} is damaged" in output


def test_a_token_opens_a_gated_model_and_is_not_shown(hub, tmp_path):
    hub.gated.add("lab/model")
    status, output, _ = fetch(tmp_path, hub.address, HF_TOKEN=SECRET)
    assert status == 0, output
    assert SECRET in {token for _, token in hub.asked}
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and SECRET.encode() in file.read_bytes()]


@pytest.mark.parametrize(
    ("gated", "asked", "environment", "said"),
    [
        (True, {}, {}, "it is gated: accept its licence .* export HF_TOKEN"),
        (True, {}, {"HF_TOKEN": "hf_other"}, "it is gated, and the account of the token in HF_TOKEN has no access"),
        (False, {"path": "lab/other"}, {}, "no such hub repository, or it is private: .* or set HF_TOKEN"),
        (
            False,
            {"path": "lab/other"},
            {"HF_TOKEN": SECRET},
            "whether the account of the token in HF_TOKEN may read it",
        ),
        (False, {}, {"HF_TOKEN": "hf_expired"}, "the hub refuses the token in HF_TOKEN"),
        (False, {"revision": "v9"}, {}, "it has no revision 'v9'"),
        (False, {}, {"HF_ENDPOINT": "http://127.0.0.1:9"}, "cannot be reached .*`snakemake models data`"),
        (False, {}, {"HF_HUB_OFFLINE": "1"}, "cannot be reached .*`snakemake models data`"),
    ],
)
def test_every_fault_says_what_to_do(hub, tmp_path, gated, asked, environment, said):
    hub.gated = {"lab/model"} if gated else set()
    status, output, _ = fetch(tmp_path, hub.address, **asked, **environment)
    assert status == 2, output
    assert re.search(said, output), output
    assert "model mine: " in output
    assert "Traceback" not in output


ROWS = """
import sys
from rl4nlu.jobs.programs import main_of
from rl4nlu.tasks.sources.hub import load
from rl4nlu.tasks.task import load_task
source = load_task("sst2").sources.hub.model_copy(update={"repository": sys.argv[1]})
main_of(lambda: load(source, sys.argv[2] or None, "train"))
"""


@pytest.mark.parametrize(
    ("gated", "asked", "environment", "said"),
    [
        (True, {}, {}, "It is gated: accept its licence .* export HF_TOKEN"),
        (True, {}, {"HF_TOKEN": "hf_other"}, "It is gated, and the account of the token in HF_TOKEN has no access"),
        (False, {"path": "lab/other"}, {}, "no such hub repository, or it is private: .* or set HF_TOKEN"),
        (False, {"revision": "v9"}, {}, "It has no revision 'v9'"),
        (False, {}, {"HF_ENDPOINT": "http://127.0.0.1:9"}, "The hub cannot be reached .*`snakemake models data`"),
        (False, {}, {"HF_HUB_OFFLINE": "1"}, "The hub cannot be reached .*`snakemake models data`"),
    ],
)
def test_faults_of_a_data_set_say_what_to_do_too(hub, tmp_path, gated, asked, environment, said):
    hub.gated = {"lab/model"} if gated else set()
    status, output, _ = fetch(tmp_path, hub.address, program=ROWS, **asked, **environment)
    assert status == 2, output
    assert re.search(said, output), output
    assert "Traceback" not in output
