"""What a record says of the machine, and claims of GPUs by real processes; the machine needs none."""

import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from rl4nlu.base import machine as devices
from rl4nlu.base.errors import ConfigError

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
    monkeypatch.setattr(devices, "describe_kernels", lambda: None)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda) if loaded else None)
    assert devices.environment(tmp_path)["device"] == said


def test_a_record_names_the_kernels_where_torch_is_loaded(monkeypatch):
    shown = "  - Intel(R) oneAPI Math Kernel Library Version 2024.2-Product Build 1\n  - Intel(R) MKL-DNN v3.12.0 (Git Hash a)"
    torch = SimpleNamespace(
        __config__=SimpleNamespace(show=lambda: shown),
        backends=SimpleNamespace(cpu=SimpleNamespace(get_cpu_capability=lambda: "AVX2")),
    )
    for name in devices.KERNELS["portable"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert (
        devices.describe_kernels() == "AVX2, Math Kernel Library 2024.2-Product, MKL-DNN v3.12.0, MKL_CBWR=COMPATIBLE"
    )
    monkeypatch.setitem(sys.modules, "torch", None)
    assert devices.describe_kernels() is None


def test_the_processor_is_told_by_vendor_and_model(monkeypatch):
    monkeypatch.setattr(devices, "_processor_facts", lambda: {"vendor_id": "AuthenticAMD", "model name": "AMD EPYC"})
    assert devices.describe_processor() == "AuthenticAMD, AMD EPYC"


PINNED = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_CBWR": "COMPATIBLE"}


@pytest.fixture
def shell(monkeypatch):
    """A shell that says something else, and a process that has not imported torch."""
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in PINNED:
        monkeypatch.setenv(name, "other")
    return os.environ


def test_portable_bits_pin_the_kernels_whatever_the_shell_says(shell):
    devices.pin_kernels("portable")
    assert {name: shell[name] for name in PINNED} == PINNED


def test_fast_bits_leave_the_kernels_to_the_shell(shell):
    devices.pin_kernels("fast")
    assert {shell[name] for name in PINNED} == {"other"}


def test_kernels_cannot_be_pinned_once_torch_may_have_read_others(shell, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace())
    with pytest.raises(
        RuntimeError, match=r"bits: portable comes too late: torch is imported, with .*'MKL_CBWR': 'other'"
    ):
        devices.pin_kernels("portable")
    assert shell["MKL_CBWR"] == "other"
    for name, value in PINNED.items():
        monkeypatch.setenv(name, value)
    devices.pin_kernels("portable")


@pytest.mark.parametrize(("machine", "flags"), [("aarch64", "avx2"), ("x86_64", "sse4_2 avx")])
def test_a_processor_without_avx2_has_no_portable_bits(shell, monkeypatch, machine, flags):
    monkeypatch.setattr(devices.platform, "machine", lambda: machine)
    monkeypatch.setattr(devices, "_processor_facts", lambda: {"model name": "Old 1", "flags": flags})
    with pytest.raises(ConfigError, match=r"needs an x86-64 processor with AVX2, and this one \(Old 1\) is none"):
        devices.pin_kernels("portable")
    devices.pin_kernels("fast")


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
