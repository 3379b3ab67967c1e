"""What a record says of the machine, and claims of GPUs by real processes; the machine needs none."""

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from rl4nlu.base import machine as devices

CLAIM = """
import os, sys, time
from pathlib import Path
from rl4nlu.base.machine import claim_device
claim_device(int(sys.argv[2]), Path(sys.argv[1]))
print(os.environ.get("CUDA_VISIBLE_DEVICES"), "torch" in sys.modules, flush=True)
time.sleep(60)
"""


@pytest.fixture
def claim(tmp_path, monkeypatch):
    """Starts a process that claims one of `count` GPUs and keeps it."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    started = []

    def start(count: int) -> subprocess.Popen:
        command = [sys.executable, "-c", CLAIM, str(tmp_path), str(count)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_each_process_gets_a_gpu_of_its_own_and_the_next_waits_until_one_is_killed(claim):
    first, second = claim(2), claim(2)
    got = {process.stdout.readline() for process in (first, second)}
    assert got == {"0 False\n", "1 False\n"}
    third = claim(2)
    assert third.stdout.readline() == "waiting: all of the 2 GPUs (0, 1) are claimed\n"
    second.kill()
    assert third.stdout.readline() in got


def test_one_gpu_or_none_is_not_claimed(claim):
    assert claim(1).stdout.readline() == "None False\n"
    assert claim(0).stdout.readline() == "None False\n"


def test_only_what_a_scheduler_left_visible_is_claimed(claim, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-5ab")
    assert {claim(8).stdout.readline() for _ in range(2)} == {"3 False\n", "GPU-5ab False\n"}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "6")
    assert claim(8).stdout.readline() == "6 False\n"


def test_a_slurm_job_numbers_its_gpus_by_itself(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    alone = devices.lock_folder()
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    assert devices.lock_folder() == alone.with_name(f"{alone.name}-12")


@pytest.mark.parametrize(("visible", "said"), [("", "cpu"), ("-1", "cpu"), ("2", "GPU 2")])
def test_the_device_is_told_without_torch(monkeypatch, visible, said):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert devices.describe_device() == said


@pytest.mark.parametrize(("value", "count"), [("", 0), ("-1", 0), ("0", 1), ("0,3", 2), ("GPU-aa,GPU-bb,GPU-cc", 3)])
def test_the_environment_says_which_gpus_are_visible(monkeypatch, value, count):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert devices.visible_gpus() == count


def test_a_record_says_with_which_versions_it_was_made_and_from_which_commit(tmp_path):
    facts = devices.environment(tmp_path)
    assert {"torch", "transformers", "peft"} <= set(facts["versions"])
    assert all(metadata.version(package) == version for package, version in facts["versions"].items())
    assert facts["git_commit"] is None
    for command in (["init"], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "--allow-empty", "-m", "a"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True, capture_output=True)
    assert re.fullmatch("[0-9a-f]{40}", devices.environment(tmp_path)["git_commit"])


@pytest.mark.parametrize(("loaded", "gpu", "said"), [(True, True, "A GPU"), (True, False, "cpu"), (False, True, "cpu")])
def test_a_record_names_the_device_where_torch_is_loaded(tmp_path, monkeypatch, loaded, gpu, said):
    cuda = SimpleNamespace(is_available=lambda: gpu, get_device_name=lambda: "A GPU")
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda) if loaded else None)
    assert devices.environment(tmp_path)["device"] == said


def program(folder: Path, name: str, *lines: str) -> None:
    path = folder / name
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)


def test_without_the_variable_the_driver_is_asked(monkeypatch, tmp_path):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert devices.visible_gpus() == 0
    program(tmp_path, "nvidia-smi", 'echo "GPU 0: a (UUID: x)"', 'echo "  MIG 1g.5gb"', 'echo "GPU 1: b (UUID: y)"')
    assert devices.visible_gpus() == 2
    program(tmp_path, "nvidia-smi", "exit 9")
    assert devices.visible_gpus() == 0
