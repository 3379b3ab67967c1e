"""What a machine or a cluster cannot do is said before the first job."""

from pathlib import Path

import pytest

from rl4nlu.jobs.preflight import (
    gpu_fault,
    missing_slurm,
    partition_minutes,
    profile_fault,
    runtime_fault,
    slurm_facts,
    slurm_faults,
    token_fault,
    unwarned,
)

# lines of `scontrol show config`, as parsed
NO_ACCOUNTS = {"AccountingStorageType": "accounting_storage/none", "MinJobAge": "300 sec", "PreemptMode": "OFF"}
ACCOUNTS = {**NO_ACCOUNTS, "AccountingStorageType": "accounting_storage/slurmdbd"}


def faults(facts, command="squeue", first_check=40, attempts=60, checks_per_second=0.1, sacct=True):
    return slurm_faults(facts, command, first_check, attempts, checks_per_second, sacct)


def test_the_slurm_profiles_settings_are_sound_with_and_without_accounts():
    assert faults(NO_ACCOUNTS) == ([], [])
    assert faults(ACCOUNTS) == ([], [])
    assert faults(NO_ACCOUNTS, sacct=False) == ([], [])


@pytest.mark.parametrize(
    ("facts", "settings", "said"),
    [
        (NO_ACCOUNTS, {"command": None}, "slurm-status-command: squeue"),
        (NO_ACCOUNTS, {"command": "sacct"}, "slurm-status-command: squeue"),
        (NO_ACCOUNTS, {"first_check": 101}, "slurm-init-seconds-before-status-checks: 100 or less"),
        ({**NO_ACCOUNTS, "MinJobAge": "150 sec"}, {}, "300 s, Slurm's default"),
        ({**ACCOUNTS, "MinJobAge": "150 sec"}, {}, "slurm-status-command: sacct"),
        ({**NO_ACCOUNTS, "MinJobAge": "60 sec"}, {"sacct": False}, "forgets a finished job after 60 s"),
        ({}, {}, "does not answer"),
    ],
)
def test_settings_that_wait_for_ever_are_faults(facts, settings, said):
    found, _ = faults(facts, **settings)
    assert len(found) == 1
    assert said in found[0]


@pytest.mark.parametrize(
    ("facts", "settings", "said"),
    [
        (ACCOUNTS, {"command": "sacct"}, "never noticed"),
        (ACCOUNTS, {"command": None}, "never noticed"),
        (NO_ACCOUNTS, {"attempts": 5, "checks_per_second": 10}, "slurm-status-attempts: 60"),
        ({**NO_ACCOUNTS, "PreemptMode": "GANG,CANCEL"}, {}, "PreemptMode"),
    ],
)
def test_settings_that_may_wait_for_ever_are_warnings(facts, settings, said):
    found, warnings = faults(facts, **settings)
    assert found == []
    assert len(warnings) == 1
    assert said in warnings[0]


@pytest.fixture
def checkout(tmp_path) -> Path:
    for name in ("default", "slurm"):
        (tmp_path / "profiles" / name).mkdir(parents=True)
        (tmp_path / "profiles" / name / "profile.yaml").touch()
    return tmp_path


@pytest.mark.parametrize(
    "given",
    [["--workflow-profile", "slrum"], ["--workflow-profile=slrum"], ["-n", "--workflow-profile", "slrum", "all"]],
)
def test_a_misspelt_profile_is_named_with_the_nearest(checkout, given):
    fault = profile_fault(["snakemake", *given], [checkout])
    assert "did you mean 'slurm'" in fault
    assert "Known: default, slurm." in fault


@pytest.mark.parametrize("given", [[], ["slurm"], ["profiles/slurm"], ["none"], ["profiles/slurm/profile.yaml"]])
def test_profiles_that_snakemake_finds_are_no_fault(checkout, given):
    command = ["snakemake", *[word for name in given for word in ("--workflow-profile", name)]]
    assert profile_fault(command, [checkout / "elsewhere", checkout]) is None


def test_gpu_jobs_without_a_gpu_are_a_fault():
    fault = gpu_fault({"train_ppo": 3, "prompt": 1}, 0)
    assert fault.startswith("jobs that ask for a GPU: 1 of rule prompt, 3 of rule train_ppo; and none is visible here.")
    assert "--set-resources prompt:gpu=0 train_ppo:gpu=0" in fault
    assert gpu_fault({"train_ppo": 3}, 1) is None
    assert gpu_fault({}, 0) is None


def program(folder: Path, name: str, *lines: str) -> None:
    path = folder / name
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)


def test_slurms_own_settings_are_read(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert slurm_facts() == {}
    assert "sbatch, squeue, scontrol" in missing_slurm()
    program(tmp_path, "scontrol", 'echo "MinJobAge               = 300 sec"', 'echo "AuthInfo = socket=/x"')
    assert slurm_facts() == {"MinJobAge": "300 sec", "AuthInfo": "socket=/x"}
    for name in ("sbatch", "squeue"):
        program(tmp_path, name)
    assert missing_slurm() is None


def test_partitions_and_their_limits_are_read(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert partition_minutes() == {}
    program(
        tmp_path,
        "sinfo",
        *(f'echo "{line}"' for line in ("cpu* 1:00:00", "gpu 2-00:30:00", "long infinite", "now 30:00")),
    )
    assert partition_minutes() == {None: 60, "cpu": 60, "gpu": 2910, "long": None, "now": 30}


def test_a_job_that_no_partition_would_start_is_a_fault():
    limits = {None: 60, "cpu": 60, "long": None}
    fault = runtime_fault({("prompt", None, 30), ("train_ppo", None, 90), ("train_sft", "cpu", 80)}, limits)
    assert "rule train_ppo asks for 90 minutes, and the default partition gives 60" in fault
    assert "train_ppo: {slurm_extra: \"'--signal=TERM@120'\", runtime: 60}" in fault
    assert "partition cpu gives 60" in runtime_fault({("train_sft", "cpu", 80)}, limits)
    assert (
        runtime_fault({("a", "long", 9999), ("b", None, 60), ("c", None, None), ("d", "unknown", 99)}, limits) is None
    )
    assert runtime_fault({("a", None, 90)}, {}) is None


def test_a_token_and_verbose_do_not_go_together():
    assert "HF_TOKEN is set" in token_fault(True, {"HF_TOKEN": "hf_secret"})
    assert "hf_secret" not in token_fault(True, {"HF_TOKEN": "hf_secret"})
    assert token_fault(False, {"HF_TOKEN": "hf_secret"}) is None
    assert token_fault(True, {"HF_TOKEN": ""}) is None


def test_jobs_that_are_not_told_before_their_time_limit_are_named():
    assert unwarned({("prompt", "--signal=TERM@120")}) is None
    said = unwarned({("prompt", "--signal=TERM@120"), ("train_sft", None), ("train_ppo", "--nice=3")})
    assert said is not None
    assert said.startswith("jobs of train_ppo, train_sft are not told before their time limit")
