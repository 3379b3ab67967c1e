"""Pretraining with a tiny budget: it runs, its loss falls, and what it saves loads again."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from interruptions import HOW, heeding, interrupted, without_times  # noqa: F401

from rl4nlu.base.files import REPOSITORY
from rl4nlu.base.leases import Lease, take
from rl4nlu.microworld.architectures import DECODERS, MICRO_MODELS
from rl4nlu.microworld.pretrain import learning_rate, pretrain
from rl4nlu.microworld.tokenizer import build_tokenizer, vocabulary_digest

RESOURCES = Path(__file__).parents[3] / "resources" / "micro"


@pytest.mark.parametrize("name", ["micro-llama", "micro-bert-base"])
def test_a_short_run_learns_and_saves(name: str, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

    lines: list[str] = []
    record = pretrain(name, 45_000, 1, tmp_path / name, probe_every=1e9, probe_rows=0, log=lines.append)
    assert record["finished"]
    assert record["tokens_seen"] >= 45_000
    assert record["steps"] > 10
    assert json.loads((tmp_path / name / "record.json").read_text()) == record
    words = (
        1 if name in DECODERS else 2
    )  # the loss on answers or on masked words; a uniform guess over the vocabulary is 7.9
    assert record["loss_curve"][-1][words] < 7.5
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / name)
    assert vocabulary_digest(tokenizer) == record["vocabulary_digest"]
    auto = AutoModelForCausalLM if name in DECODERS else AutoModelForMaskedLM
    model = auto.from_pretrained(tmp_path / name)
    assert next(model.parameters()).dtype == torch.float16
    out = model.float()(**tokenizer("Anna has a cup.", return_tensors="pt"))
    assert torch.isfinite(out.logits).all()


def test_learning_rate_rises_and_falls() -> None:
    assert learning_rate(0.0) < learning_rate(0.02) == 1.0
    assert learning_rate(0.99) == 0.05


@pytest.mark.parametrize("name", MICRO_MODELS)
def test_shipped_weights_match_the_vocabulary(name: str) -> None:
    folder = RESOURCES / name
    if not folder.exists():
        pytest.skip(f"{folder} is not shipped")
    record = json.loads((folder / "record.json").read_text())
    tokenizer = build_tokenizer("decoder" if name in DECODERS else "encoder")
    assert record["finished"]
    assert record["vocabulary_digest"] == vocabulary_digest(tokenizer)


@pytest.mark.usefixtures("heeding")
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("name", ["micro-llama", "micro-bert-base"])
def test_a_pretraining_stopped_in_the_middle_ends_with_the_same_bits(name: str, tmp_path: Path, how: str) -> None:
    # past the first pool of documents, whose successor is drawn as the curriculum then stands
    budget = 70_000

    def train(folder: str, work: Path | None = None) -> dict[str, Any]:
        return pretrain(
            name, budget, 1, tmp_path / folder, probe_every=3e4, probe_rows=2, log=lambda line: None, work=work
        )

    undisturbed = train("whole")
    patch = pytest.MonkeyPatch()

    def resumed(checkpoint: Any) -> dict[str, Any]:
        patch.setattr("rl4nlu.base.checkpoint.Checkpoint", lambda folder, key, every: checkpoint)
        record = train("stopped", tmp_path / "work")
        patch.undo()
        return record

    found = interrupted(resumed, tmp_path / "state", how, (1, 20, 8))
    assert without_times(found) == without_times(undisturbed)
    weights = [(tmp_path / n / "model.safetensors").read_bytes() for n in ("stopped", "whole")]
    assert weights[0] == weights[1]
    assert not (tmp_path / "state").exists()


def test_a_duplicate_waits_and_says_for_whom(tmp_path: Path) -> None:
    lease = take(tmp_path / "work" / "leases", "pretrain-micro-llama", "micro-llama", "pretraining")
    assert isinstance(lease, Lease)
    program = [sys.executable, str(REPOSITORY / "workflow" / "scripts" / "pretrain.py"), "--model", "micro-llama"]
    process = subprocess.Popen(
        [*program, "--out", str(tmp_path / "out"), "--work", str(tmp_path / "work")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "src")},
    )
    assert process.stdout is not None
    waiting = next(line for line in process.stdout if line.startswith("waiting"))
    assert f"pretraining micro-llama is in the hands of process {os.getpid()}" in waiting
    process.terminate()
    assert process.wait() == -signal.SIGTERM
    lease.release()
    assert not (tmp_path / "out").exists()
