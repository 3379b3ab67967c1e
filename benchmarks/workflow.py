"""The embedded default of before the work on speed, whole: by the code of then, and by the code of now.

Both are cloned from this repository and get a virtual environment of their own, as a newcomer's would be; then `snakemake`
makes everything, from rows to the paper, with all cores. The grid and its budgets are those of then; now they are made in
batches. The shipped models have the same shapes and other weights, so that scores are not compared; that both sides
finished the same runs is checked before any time is printed.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import measure
import yaml

from rl4nlu.config import PROMPTING_METHODS

BEFORE = "b35dec1"
"""The last commit before the work on speed began."""


def git(*arguments: str) -> str:
    """What git says about this repository."""
    return subprocess.run(
        ["git", "-C", str(measure.ROOT), *arguments], check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def config_of_now() -> dict[str, Any]:
    """The default of then as the code of now reads it: in batches, and on the suites that there were."""
    config: dict[str, Any] = yaml.safe_load(git("show", f"{BEFORE}:config/config.yaml"))
    for line in config["grid"]:
        if line["method"] in PROMPTING_METHODS:
            line.setdefault("tasks", ["glue", "superglue"])
    return config | {"batch": True}


def clone(name: str, commit: str) -> Path:
    """A clone at `commit` and, beside it, its virtual environment.

    Raises:
        Absent: pip could not install it.
    """
    folder = measure.WORK / "workflow" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    subprocess.run(["git", "clone", "-q", str(measure.ROOT), str(folder / "rl4nlu")], check=True)
    subprocess.run(["git", "-C", str(folder / "rl4nlu"), "checkout", "-q", commit], check=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    install = [str(folder / "venv" / "bin" / "pip"), "install", "-q", "-c", "constraints.txt", "-e", "."]
    done = subprocess.run(install, cwd=folder / "rl4nlu", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise measure.Absent(f"{name} cannot be installed: {done.stdout.strip().splitlines()[-1]}")
    return folder


def whole_run(name: str, commit: str, config: dict[str, Any] | None) -> dict[str, Any]:
    """Minutes and CPU-minutes of `snakemake`, its jobs included, and the addresses of the finished runs."""
    folder = clone(name, commit)
    checkout = folder / "rl4nlu"
    command = [str(folder / "venv" / "bin" / "snakemake"), "--cores", "all"]
    if config is not None:
        (checkout / "config" / "then.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        command += ["all", "--configfile", "config/then.yaml"]
    path = os.pathsep.join([str(folder / "venv" / "bin"), os.environ["PATH"]])
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with (folder / "snakemake.log").open("w") as said:
        done = subprocess.run(command, cwd=checkout, env={**os.environ, "PATH": path}, stdout=said, stderr=said)
    minutes, after = (time.monotonic() - began) / 60, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{name}: snakemake ended with {done.returncode}; see {folder}/snakemake.log")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    results = checkout / "results"
    runs = sorted(str(path.parent.relative_to(results)) for path in results.rglob("seed*/run.json"))
    measure.note(f"  {name}: {minutes:.1f} minutes, {cpu / 60:.1f} CPU-minutes, {len(runs)} runs")
    return {"minutes": minutes, "cpu_minutes": cpu / 60, "runs": runs}


def compare(arguments: argparse.Namespace) -> None:
    """Both sides once, one after the other: a run of each takes all cores."""
    if arguments.quick:
        raise measure.Absent("there is no quick form: the default is either made or not")
    now = git("rev-parse", "--short", "HEAD").strip()
    sides = {"then": whole_run("then", BEFORE, None), "now": whole_run("now", now, config_of_now())}
    differing = set(sides["then"]["runs"]) ^ set(sides["now"]["runs"])
    measure.equal({"runs that only one side finished": (len(differing), 0)})
    table = measure.table(
        [
            {"code": f"{name} ({commit})", "runs": len(side["runs"])}
            | {"minutes": side["minutes"], "CPU-minutes": side["cpu_minutes"]}
            | {"ratio of minutes": sides["then"]["minutes"] / side["minutes"]}
            for (name, side), commit in zip(sides.items(), (BEFORE, now), strict=True)
        ]
    )
    measure.save("workflow", {"commits": {"then": BEFORE, "now": now}, "sides": sides}, table)


if __name__ == "__main__":
    measure.main(__doc__, compare, {})
