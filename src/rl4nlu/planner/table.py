"""`python -m rl4nlu plan`: what a config costs before anything is submitted, and what to do where a job is too large."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any, cast

from ..config import (
    METHODS,
    PROMPTING_METHODS,
    SUPPORTING_METHODS,
    TRAINED_METHODS,
    Config,
    Encoder,
    PolicyOptimisation,
    Sft,
)
from ..runs.grid import Grid, hub_models, tasks_with_rationales
from ..runs.spec import RunSpec
from .costs import Machine
from .device import CPU_MACHINE, Device
from .estimate import Estimate, estimate_evaluation, estimate_training
from .shapes import BYTES, parameters, shape_of


@dataclass(frozen=True)
class Job:
    """One job of the workflow that runs a model, with its estimate (None: the model's shape is unknown)."""

    kind: str
    spec: RunSpec
    estimate: Estimate | None

    @property
    def stage(self) -> Callable[..., Estimate | None]:
        """What estimates it."""
        return estimate_training if self.kind == "train" else estimate_evaluation


def list_jobs(grid: Grid, data: Path) -> list[Job]:
    """Jobs of all runs: prompting methods have one, trained runs are trained and, unless others only stand on them, asked."""
    jobs = []
    for spec in grid.runs.values():
        if spec.method in TRAINED_METHODS:
            jobs.append(Job("train", spec, estimate_training(spec, data)))
            if spec.method not in SUPPORTING_METHODS:
                jobs.append(Job("answer", spec, estimate_evaluation(spec, data)))
        else:
            jobs.append(Job("prompt", spec, estimate_evaluation(spec, data)))
    return jobs


FINISHING = 5
"""Jobs after all runs: collect, tables, figures, numbers, paper."""


def count_jobs(grid: Grid, jobs: list[Job]) -> dict[str, int]:
    """Number of jobs of every kind, as the workflow has them."""
    argued = tasks_with_rationales(grid)
    rows = set(argued)
    for spec in grid.runs.values():
        rows |= {task.name for task in (*spec.train_tasks, *spec.eval_tasks)}
        if spec.method in PROMPTING_METHODS:
            rows |= set(spec.scored_from)
    return {
        "fetch": len(hub_models(grid)),
        "prepare": len(rows),
        "rationales": len(argued),
        **{kind: sum(job.kind == kind for job in jobs) for kind in ("prompt", "train", "answer")},
        "score": sum(METHODS[spec.method].scored for spec in grid.runs.values()),
        "tables and paper": FINISHING,
    }


# 2. What would fit ---------------------------------------------------------------------------------------------------


FILLED = 0.9
"""Of a GPU's memory that a plan fills, for the estimate has an error."""


def advise(job: Job, data: Path, limit: float) -> list[str]:
    """What would bring a job within `limit` bytes: settings that do, else 4-bit weights, else several GPUs."""
    spec, least = job.spec, job
    ways: tuple[tuple[str, ...], ...] = (("settings",), ("evaluation",), ("settings", "evaluation"))
    for ways_now in ways if job.kind == "train" else ways[1:2]:
        smaller, changed = spec, dict[str, int]()
        for _ in range(12):
            smaller, now = halve(smaller, ways_now)
            changed |= now
            estimate = job.stage(smaller, data)
            assert estimate is not None
            least = Job(job.kind, smaller, estimate)
            if changed and estimate.device_bytes <= limit:
                keys = ", ".join(f"{key} {value}" for key, value in changed.items())
                return [f"fits with {keys} ({format_bytes(estimate.device_bytes)})"]
    lines = []
    quantised = job.stage(least.spec, data, Machine(gpu=True, quantised=True))
    assert quantised is not None
    assert least.estimate is not None
    if quantised.device_bytes <= limit:
        lines.append(
            f"with the smallest batches and 4-bit weights (QLoRA, not built in) it would fit: {format_bytes(quantised.device_bytes)}"
        )
    count = ceil(least.estimate.device_bytes / limit)
    lines.append(f"with the smallest batches, {count} such GPUs that share the weights (not built in) would hold it")
    return lines


def halve(spec: RunSpec, what: tuple[str, ...]) -> tuple[RunSpec, dict[str, int]]:
    """The run with half of the rows and tokens a forward pass, in training (`settings`) or `evaluation`; what changed, by key."""
    changed: dict[str, int] = {}
    evaluation, settings = spec.evaluation, cast(Any, spec.settings)
    if "evaluation" in what and evaluation.batch_tokens > 256:
        changed["evaluation.batch_tokens"] = evaluation.batch_tokens // 2
        evaluation = evaluation.model_copy(update={"batch_tokens": evaluation.batch_tokens // 2})
    if "settings" in what and isinstance(settings, PolicyOptimisation | Sft | Encoder):
        whole = getattr(settings, "minibatch_size", settings.batch_size)
        name = "batch_size" if isinstance(settings, Encoder) else "micro_batch_size"
        if (rows := getattr(settings, name) or whole) > 1:
            changed[f"{spec.method}.{name}"] = max(n for n in range(1, rows // 2 + 1) if whole % n == 0)
            settings = settings.model_copy(update={name: changed[f"{spec.method}.{name}"]})
        if isinstance(settings, PolicyOptimisation) and settings.micro_batch_tokens > 128:
            changed[f"{spec.method}.micro_batch_tokens"] = settings.micro_batch_tokens // 2
            settings = settings.model_copy(update={"micro_batch_tokens": settings.micro_batch_tokens // 2})
    return spec.model_copy(update={"evaluation": evaluation, "settings": settings}), changed


# 3. The table ----------------------------------------------------------------------------------------------------------


def format_bytes(count: float) -> str:
    """Bytes for people."""
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if count >= unit:
            return f"{count / unit:.3g} {name}"
    return f"{count / 1e3:.0f} kB"


def align(rows: list[list[str]]) -> list[str]:
    """Rows as columns of text, numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(w) if n < 3 else cell.rjust(w) for n, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def describe_plan(config: Config, grid: Grid, data: Path, device: Device) -> tuple[list[str], list[str]]:
    """Lines of the plan, and lines about jobs that do not fit the device (none: everything fits)."""
    jobs = list_jobs(grid, data)
    kinds = count_jobs(grid, jobs)
    told = ", ".join(f"{n} {kind}" for kind, n in kinds.items() if n)
    lines = [f"config {config.name}: {sum(kinds.values())} jobs: {told}"]
    lines += ["", *align(tabulate(jobs, device)), ""]
    known = [(job, job.estimate) for job in jobs if job.estimate is not None]
    hours = sum(e.seconds(device, j.spec.model_spec.dtype) for j, e in known if e.gpu) / 3600
    minutes = sum(e.seconds(device) for _, e in known if not e.gpu) / 60
    disk, weights = sum(e.disk for _, e in known), download_bytes(grid)
    lines.append(
        f"GPU-hours: {hours:,.0f}. CPU-minutes, one thread a job: {minutes:,.0f}. Disk: {format_bytes(disk)} of results"
        + (f", {format_bytes(weights)} of weights from the hub." if weights else ".")
    )
    if known:
        job, largest = max(known, key=lambda pair: (pair[1].gpu, pair[1].device_bytes))
        parts = ", ".join(f"{name} {format_bytes(n)}" for name, n in vars(largest.memory).items() if n)
        where = "GPU memory" if largest.gpu else "resident memory"
        lines.append(
            f"Largest job: {job.kind} {job.spec.address.path}: {format_bytes(largest.device_bytes)} of {where} ({parts})."
        )
    lines.append(
        f"GPU: {format_bytes(device.memory)}, {device.flops / 1e12:g} TFLOP/s in bfloat16, {device.float32 / 1e12:g} in float32, "
        f"{device.bandwidth / 1e9:g} GB/s, {device.share:.0%} of them reached (assumed, not measured). CPU: {CPU_MACHINE}."
    )
    unknown = {job.spec.model: job.spec.model_spec for job in jobs if job.estimate is None}
    lines += [
        f"UNKNOWN: the shape of {name} ({model.path}): no config.json on disk or in the hub's cache, and no entry in "
        "resources/planning.yaml; add one, or download the model. Its jobs are in no total."
        for name, model in unknown.items()
    ]
    return lines, list_refusals(jobs, data, device)


def tabulate(jobs: list[Job], device: Device) -> list[list[str]]:
    """One row for each kind of job, method and model."""
    groups: dict[tuple[str, str, str], list[Job]] = {}
    for job in jobs:
        groups.setdefault((job.kind, job.spec.method, job.spec.model), []).append(job)
    rows = [["job", "method", "model", "jobs", "device", "peak memory", "longest", "all", "disk"]]
    for names, members in groups.items():
        known = [job.estimate for job in members if job.estimate is not None]
        if not known:
            rows.append([*names, str(len(members)), *["UNKNOWN"] * 5])
            continue
        unit, word = (3600, "h") if known[0].gpu else (60, "min")
        seconds = [estimate.seconds(device, members[0].spec.model_spec.dtype) for estimate in known]
        cells = [format_bytes(max(estimate.device_bytes for estimate in known))]
        cells += [f"{n / unit:,.1f} {word}" for n in (max(seconds), sum(seconds))]
        cells += [format_bytes(sum(estimate.disk for estimate in known))]
        rows.append([*names, str(len(members)), "GPU" if known[0].gpu else "CPU", *cells])
    return rows


def download_bytes(grid: Grid) -> float:
    """Bytes of the weights that come from the hub."""
    models = [grid.models[name] for name in hub_models(grid)]
    return sum(parameters(shape) * BYTES[model.dtype] for model in models if (shape := shape_of(model)) is not None)


def list_refusals(jobs: list[Job], data: Path, device: Device) -> list[str]:
    """One line for each method and model that does not fit the GPU: its largest job, and what would fit."""
    worst: dict[tuple[str, str, str], Job] = {}
    for job in jobs:
        if job.estimate is None or not job.estimate.gpu or job.estimate.device_bytes <= FILLED * device.memory:
            continue
        key = (job.kind, job.spec.method, job.spec.model)
        held = worst.get(key)
        if held is None or held.estimate is None or job.estimate.device_bytes > held.estimate.device_bytes:
            worst[key] = job
    lines = []
    for job in worst.values():
        assert job.estimate is not None
        what = "; ".join(advise(job, data, FILLED * device.memory))
        lines.append(
            f"does not fit: {job.kind} {job.spec.address.path} needs {format_bytes(job.estimate.device_bytes)}, "
            f"and {FILLED:.0%} of {format_bytes(device.memory)} is filled at most: {what}"
        )
    return lines
