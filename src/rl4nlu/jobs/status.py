"""`python -m rl4nlu status`: which runs of a config are finished, running, failed or missing, and why they failed.

Only files are read (records, leases, logs), so that it can be asked at any time, while a workflow runs or after it was killed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..base.files import read_json
from ..base.leases import Holder, lease_age, read_holder
from ..config import METHODS, PROMPTING_METHODS, Config
from ..runs.grid import Grid
from ..runs.spec import RunSpec

STATES = ("finished", "running", "failed", "missing")

TAIL = 20_000
"""Bytes at a log's end that are searched for the reason of a failure."""

REASONS = (
    ("out of memory", r"out of memory|OutOfMemoryError|MemoryError|can't allocate memory|oom.?kill|std::bad_alloc"),
    ("time limit", r"DUE TO TIME LIMIT|time limit"),
    ("NaN", r"no longer finite|loss is (nan|inf)|is not finite"),
    ("disk full", r"No space left on device|disk is full|Disk quota exceeded"),
    ("cancelled", r"JOB \d+ ON \S+ CANCELLED AT|KeyboardInterrupt"),
    ("requeued, interrupted, or warned before its time limit", r"CANCELLED AT|stopped by SIGTERM"),
)
"""What a log says, in the order in which it decides."""


@dataclass(frozen=True)
class Status:
    """A step of a run: `what` is one of `LOGS`; `note` says by whom, why, or what is missing."""

    run: str
    what: str
    state: str
    note: str = ""
    log: Path | None = None


def statuses(config: Config, grid: Grid, root: Path = Path()) -> Iterator[Status]:
    """What stands of every run of the grid below `root`/`config.folder`: its training, its answers, its scores."""
    folder = root / config.folder
    holders = living_holders(folder / "work" / "leases")
    for address, spec in grid.runs.items():
        results, logs = folder / "results" / address.path, folder / "logs" / Path(address.path)
        for what in steps_of(spec.method):
            log = logs.with_name(f"{logs.name}.{LOGS[what]}.log")
            lacking = missing(spec, results, what)
            holder = holders.get((what, address.path))
            if lacking is None:
                yield Status(address.path, what, "finished")
            elif holder is not None:
                yield Status(address.path, what, "running", str(holder), log if log.is_file() else None)
            elif log.is_file() and not begun(results, what):
                yield Status(address.path, what, "failed", reason(log, root), log)
            else:
                yield Status(address.path, what, "missing", lacking)


LOGS = {"training": "train", "answering": "answer", "prompting": "prompt", "scoring": "score"}
"""The word in the name of a step's log."""


def steps_of(method: str) -> tuple[str, ...]:
    """What is done for a run of a method, in its order."""
    made = ("prompting",) if method in PROMPTING_METHODS else ("training", "answering")
    return (*made, "scoring") if METHODS[method].scored else made[:1]


def missing(spec: RunSpec, results: Path, what: str) -> str | None:
    """What a run lacks of a step, or None where it stands and was made by the settings of now."""
    if what == "scoring":
        for task in spec.eval_tasks:
            scores = results / "evaluation" / task.name / "metrics.json"
            if not scores.is_file():
                return f"not scored on {task.name}"
            if read_json(scores).get("digest") != spec.evaluation_digest:
                return f"scored on {task.name} by other settings"
        return None
    made, record, digest = {
        "training": ("trained", results / "run.json", spec.digest),
        "answering": ("asked", results / "answers" / "answers.json", spec.answers_digest),
        "prompting": ("asked", results / "run.json", spec.answers_digest),
    }[what]
    if not record.is_file():
        return f"not {made}"
    return None if read_json(record).get("digest") == digest else f"{made} by other settings"


def begun(results: Path, what: str) -> bool:
    """Whether anything was put in place: Snakemake deletes it before a job starts, so that its last job did not fail."""
    return (results / {"answering": "answers", "scoring": "evaluation"}.get(what, "run.json")).exists()


def living_holders(leases: Path) -> dict[tuple[str, str], Holder]:
    """Who is at work, by what is done and the run's address."""
    found = {}
    for path in sorted(leases.glob("*.lease")):
        holder = read_holder(path)
        if holder is not None and not holder.is_dead(lease_age(path)):
            found[holder.what, holder.run] = holder
    return found


def reason(log: Path, root: Path = Path()) -> str:
    """Why a job ended, as its log tells, and Slurm's own log of the job where there is one below `root`/.snakemake."""
    text = tail(log)
    job = re.search(r"slurm job (\d+)", log.read_text(encoding="utf-8", errors="replace")[:2000])
    for path in (root / ".snakemake" / "slurm_logs").rglob(f"{job[1]}.log") if job else ():
        text += "\n" + tail(path)
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith(PASSING)]
    said = next(
        (line for line in reversed(lines) if re.match(r"error: |[\w.]+(Error|Exception|Exit|Lost)\b", line)), None
    )
    for name, pattern in REASONS:
        found = next((line for line in reversed(lines) if re.search(pattern, line)), None)
        if found is not None:
            return f"{name}: {found}" if name not in found else found
    if said is not None:
        return said
    return (
        f"ended without a message, killed perhaps; last line: {lines[-1]}" if lines else "ended before its first line"
    )


PASSING = ("---", "waiting:")
"""Beginnings of lines that are not about the log's own run."""


def tail(path: Path) -> str:
    """The end of a text file."""
    with path.open("rb") as handle:
        handle.seek(max(0, path.stat().st_size - TAIL))
        return handle.read().decode("utf-8", errors="replace")


def print_status(config: Config, grid: Grid, everything: bool, root: Path = Path()) -> bool:
    """Print a line a run that is not finished (`everything`: of all), then the totals; whether all are finished."""
    found = list(statuses(config, grid, root))
    for status in found:
        if everything or status.state != "finished":
            where = f"  [{status.log}]" if status.log else ""
            print(f"{status.state:8}  {status.what:10}  {status.run}{f'  {status.note}' if status.note else ''}{where}")
    counts = Counter(status.state for status in found)
    done = {s.run for s in found} - {s.run for s in found if s.state != "finished"}
    jobs = ", ".join(f"{counts[state]} {state}" for state in STATES)
    print(f"{config.name}: {len(done)} of {len(grid.runs)} runs finished; of {len(found)} jobs {jobs}")
    for line in grid.absent.values():
        print(line)
    return len(done) == len(grid.runs)
