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


def clone(name: str, commit: str) -> tuple[Path, Path]:
    """A clone at `commit`, and the folder of the programs that its virtual environment holds.

    Raises:
        Absent: pip could not install it.
    """
    checkout = measure.WORK / "workflow" / name
    shutil.rmtree(checkout, ignore_errors=True)
    subprocess.run(["git", "clone", "-q", str(measure.ROOT), str(checkout)], check=True)
    subprocess.run(["git", "-C", str(checkout), "checkout", "-q", commit], check=True)
    packages = ["-c", str(checkout / "constraints.txt"), "-e", str(checkout)]
    return checkout, measure.environment(f"rl4nlu-{name}-{commit}", packages).parent


def whole_run(name: str, commit: str, config: dict[str, Any] | None) -> dict[str, Any]:
    """Minutes and CPU-minutes of `snakemake`, its jobs included, and the addresses of the finished runs."""
    checkout, programs = clone(name, commit)
    command = [str(programs / "snakemake"), "--cores", "all"]
    if config is not None:
        (checkout / "config" / "then.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        command += ["all", "--configfile", "config/then.yaml"]
    path, log = os.pathsep.join([str(programs), os.environ["PATH"]]), checkout.with_suffix(".log")
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with log.open("w") as said:
        done = subprocess.run(command, cwd=checkout, env={**os.environ, "PATH": path}, stdout=said, stderr=said)
    minutes, after = (time.monotonic() - began) / 60, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{name}: snakemake ended with {done.returncode}; see {log}")
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
