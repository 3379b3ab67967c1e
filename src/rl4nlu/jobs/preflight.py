"""What must hold of the machine before a workflow starts: its profile, its GPUs, the scheduler's settings.

Each check is a function of plain values that returns what is wrong; `workflow/rules/checks.smk` gathers the values,
stops on faults and prints warnings. The facts about Snakemake's slurm plugin (2.8) were measured on a real Slurm.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ..base.errors import nearest

LONGEST_PAUSE = 180
"""Seconds that the slurm plugin lets pass, at most, between two questions for the state of its jobs."""

CONTROLLER_PATIENCE = 60
"""Seconds of silence of Slurm's controller that a workflow should survive, at least."""


def profile_fault(argv: Sequence[str], folders: Sequence[Path]) -> str | None:
    """What is wrong with `--workflow-profile` in a command line: Snakemake passes over a name that it cannot find.

    Args:
        argv: the command line.
        folders: where Snakemake looks, i.e. the folder it was started in and that of the Snakefile.
    """
    options = [
        part.split("=", 1) for part in " ".join(argv).replace("--workflow-profile ", "--workflow-profile=").split()
    ]
    for name in [option[1] for option in options if option[0] == "--workflow-profile" and len(option) == 2]:
        if name == "none" or any((folder / place / name).exists() for folder in folders for place in ("", "profiles")):
            continue
        known = sorted({path.parent.name for folder in folders for path in folder.glob("profiles/*/profile.yaml")})
        return (
            f"--workflow-profile {name}: there is no such profile{nearest(name, known)} Known: {', '.join(known)}. "
            "Snakemake would pass over it and run everything on this machine."
        )
    return None


def gpu_fault(rules: Mapping[str, int], visible: int) -> str | None:
    """Why jobs that ask for a GPU (their number, by rule) cannot run on a machine with `visible` GPUs."""
    if visible or not any(rules.values()):
        return None
    asked = ", ".join(f"{count} of rule {rule}" for rule, count in sorted(rules.items()) if count)
    cpu = " ".join(f"{rule}:gpu=0" for rule in sorted(rules))
    return (
        f"jobs that ask for a GPU: {asked}; and none is visible here. Submit them to a cluster with "
        f"--workflow-profile slurm, or let them crawl on the CPU with --set-resources {cpu}"
    )


def slurm_facts() -> dict[str, str]:
    """Slurm's own settings by name (`scontrol show config`); empty where its controller does not answer."""
    try:
        shown = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return {}
    return {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in shown.stdout.splitlines())}


def slurm_faults(
    facts: Mapping[str, str],
    command: str | None,
    first_check: int,
    attempts: int,
    checks_per_second: float,
    sacct: bool,
) -> tuple[list[str], list[str]]:
    """Settings under which a workflow on Slurm waits for ever for jobs that ended long ago.

    Args:
        facts: Slurm's settings (`slurm_facts`).
        command: slurm-status-command, None where it was left to the plugin.
        first_check: slurm-init-seconds-before-status-checks.
        attempts: slurm-status-attempts.
        checks_per_second: max-status-checks-per-second.
        sacct: whether the program is on the PATH.

    Returns:
        Faults, with which nothing should start, and warnings.
    """
    if not facts:
        return ["Slurm's controller does not answer (`scontrol show config`): is this a node that may submit jobs?"], []
    faults, warnings = [], []
    accounting = facts.get("AccountingStorageType", "").endswith("slurmdbd")
    age = _seconds(facts.get("MinJobAge", ""))
    # the plugin's own rule: squeue only while finished jobs stay in Slurm's memory for three first checks
    forgets = age < 3 * first_check
    asks = "sacct" if sacct and (command != "squeue" or forgets) else "squeue"
    if asks == "sacct" and not accounting:
        why = f"MinJobAge is {age} s, less than three times {first_check} s" if command == "squeue" else "it was chosen"
        faults.append(
            f"the state of jobs would be asked of sacct ({why}), which knows nothing here: Slurm keeps no accounts "
            f"(AccountingStorageType). The workflow would wait for ever. Set slurm-status-command: squeue and "
            f"slurm-init-seconds-before-status-checks: {max(1, age // 3)} or less, as in profiles/slurm"
        )
    elif asks == "sacct":
        warnings.append(
            "the state of jobs is asked of sacct: a job that somebody cancels is never noticed, and the workflow waits for "
            "it for ever. If jobs are cancelled, interrupt the workflow and start it again"
        )
    elif age < LONGEST_PAUSE:
        faults.append(
            f"Slurm forgets a finished job after {age} s (MinJobAge), and squeue is asked only every {LONGEST_PAUSE} s when "
            "jobs are long: the workflow could wait for ever. "
            + ("Set slurm-status-command: sacct" if accounting else "Ask for MinJobAge of 300 s, Slurm's default")
        )
    if (patience := attempts / checks_per_second) < CONTROLLER_PATIENCE:
        warnings.append(
            f"when Slurm's controller does not answer for {patience:.0f} s, finished jobs are never noticed. "
            "Set slurm-status-attempts: 60 and max-status-checks-per-second: 0.1, as in profiles/slurm"
        )
    if "CANCEL" in facts.get("PreemptMode", "").upper():
        warnings.append(
            "Slurm cancels preempted jobs (PreemptMode), and the workflow waits for such a job for ever: stay away from "
            "partitions that are preempted, or interrupt the workflow and start it again"
        )
    return faults, warnings


def partition_minutes() -> dict[str | None, int | None]:
    """Longest run time of each of Slurm's partitions, in minutes; None stands for no limit, and names the default one."""
    try:
        shown = subprocess.run(["sinfo", "-h", "-o", "%P %l"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return {}
    limits: dict[str | None, int | None] = {}
    for name, limit in (line.split() for line in shown.stdout.splitlines()):
        limits[name.rstrip("*")] = _minutes(limit)
        if name.endswith("*"):
            limits[None] = _minutes(limit)
    return limits


def runtime_fault(
    asked: Iterable[tuple[str, str | None, int | None]], limits: Mapping[str | None, int | None]
) -> str | None:
    """Why jobs would stay in Slurm's queue for ever: they ask for more time than their partition gives.

    Args:
        asked: rule, partition (None: the default one) and minutes of each job.
        limits: `partition_minutes`.
    """
    over = [
        (rule, name, minutes)
        for rule, name, minutes in asked
        if isinstance(minutes, int) and minutes > (limits.get(name) or minutes)
    ]
    if not over:
        return None
    rule, name, minutes = max(over, key=lambda job: job[2])
    where = f"partition {name}" if name else "the default partition"
    return (
        f"rule {rule} asks for {minutes} minutes, and {where} gives {limits[name]}: Slurm would keep it waiting for ever. "
        f"Choose another partition (slurm_partition in your site's profile), or end a copy of profiles/slurm with "
        f"`{rule}: {{slurm_extra: \"'--signal=TERM@120'\", runtime: {limits[name]}}}`; training goes on from its saved state when its time is up"
    )


def unwarned(asked: Iterable[tuple[str, str | None]]) -> str | None:
    """That Slurm will not send SIGTERM before the time limit of some jobs, so that they are killed between two saved states.

    Args:
        asked: rule and slurm_extra of each job.
    """
    rules = sorted({rule for rule, extra in asked if "--signal" not in (extra or "")})
    if not rules:
        return None
    return (
        f"jobs of {', '.join(rules)} are not told before their time limit, and lose what they did since their last saved "
        "state. --set-resources, and set-resources of another profile, replace all of profiles/slurm's: change a copy of "
        "that profile instead"
    )


def token_fault(verbose: bool, environment: Mapping[str, str]) -> str | None:
    """Why a verbose run on a cluster must not start: each job's log would hold the whole environment."""
    held = [name for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN") if environment.get(name)]
    if not (verbose and held):
        return None
    return f"--verbose prints the whole environment into Slurm's logs, and {held[0]} is set: unset it, or leave --verbose out"


def missing_slurm() -> str | None:
    """That Slurm's programs are not on this machine, if so."""
    lacking = [name for name in ("sbatch", "squeue", "scontrol") if shutil.which(name) is None]
    if not lacking:
        return None
    return f"the executor is slurm, and {', '.join(lacking)} cannot be found: start the workflow on the cluster's login node"


def _seconds(text: str) -> int:
    """Seconds of a setting like `300 sec`; 0 where it says nothing."""
    found = re.match(r"(\d+)\s*(\w*)", text)
    return int(found[1]) * (3600 if found[2].startswith("h") else 60 if found[2].startswith("m") else 1) if found else 0


def _minutes(limit: str) -> int | None:
    """Minutes of Slurm's `[days-]hours:minutes:seconds`; None for `infinite`."""
    if limit == "infinite":
        return None
    days, _, clock = limit.rpartition("-")
    hours, minutes, _ = ([0, 0, 0] + [int(part) for part in clock.split(":")])[-3:]
    return int(days or 0) * 1440 + hours * 60 + minutes
