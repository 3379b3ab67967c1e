"""`python -m rl4nlu plan`: what a config costs, as a table, before anything is submitted; and what to do where a job is too large."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

from .config import Config, Model, Ppo, Sft
from .costs import Machine
from .plan import CPU_MACHINE, Device, Estimate, evaluating, training
from .config import TRAINED_METHODS
from .runs import Grid, RunSpec
from .shapes import BYTES, parameters, shape_of


# 1. Jobs ---------------------------------------------------------------------------------------------------------------

Stage = Callable[..., Estimate | None]


@dataclass(frozen=True)
class Job:
    """One job of the workflow that runs a model, with its estimate (None: the model's shape is unknown)."""

    kind: str
    spec: RunSpec
    estimate: Estimate | None

    @property
    def stage(self) -> Stage:
        """What estimates it."""
        return training if self.kind == "train" else evaluating


def jobs_of(grid: Grid, data: Path) -> list[Job]:
    """Jobs of all runs: prompting methods have one, trained runs are trained and evaluated."""
    jobs = []
    for spec in grid.runs.values():
        if spec.method in TRAINED_METHODS:
            jobs.append(Job("train", spec, training(spec, data)))
            jobs.append(Job("evaluate", spec, evaluating(spec, data)))
        else:
            jobs.append(Job("prompt", spec, evaluating(spec, data)))
    return jobs


# 2. What would fit ---------------------------------------------------------------------------------------------------

def advice(spec: RunSpec, stage: Callable[..., Estimate | None], data: Path, limit: float) -> list[str]:
    """What would bring a job within `limit` bytes: settings that do, else 4-bit weights, else several GPUs."""
    smaller, changed = spec, {}
    for _ in range(12):
        estimate = stage(smaller, data)
        if estimate is None or estimate.device_bytes <= limit:
            break
        smaller, now = _halved(smaller)
        changed |= now
    found = stage(smaller, data)
    if found is not None and found.device_bytes <= limit:
        keys = ", ".join(f"{key} {value}" for key, value in changed.items())
        return [f"fits with {keys} ({found.device_bytes / 1e9:.0f} GB)"]
    least = f"{changed and 'with the smallest batches'} " if changed else ""
    lines = []
    quantised = stage(smaller, data, Machine(gpu=True, quantised=True))
    if quantised is not None and quantised.device_bytes <= limit:
        lines.append(f"{least}a backbone in 4 bits (QLoRA) would fit: {quantised.device_bytes / 1e9:.0f} GB")
    if found is not None:
        lines.append(f"{least}its weights shared by {ceil(found.device_bytes / limit)} such GPUs would fit")
    return lines


def _halved(spec: RunSpec) -> tuple[RunSpec, dict[str, int]]:
    """The run with the batch settings of its stage halved, and their new values by key."""
    changed = {"evaluation.batch_tokens": max(256, spec.evaluation.batch_tokens // 2)}
    evaluation = spec.evaluation.model_copy(update={"batch_tokens": changed["evaluation.batch_tokens"]})
    settings: Any = spec.settings
    if isinstance(settings, Ppo):
        rows = max(1, (settings.micro_batch_size or settings.minibatch_size) // 2)
        tokens = max(64, settings.micro_batch_tokens // 2)
        changed |= {"ppo.micro_batch_size": rows, "ppo.micro_batch_tokens": tokens}
        settings = settings.model_copy(update={"micro_batch_size": rows, "micro_batch_tokens": tokens})
    elif isinstance(settings, Sft):
        rows = max(1, (settings.micro_batch_size or settings.batch_size) // 2)
        changed["sft.micro_batch_size"] = rows
        settings = settings.model_copy(update={"micro_batch_size": rows})
    return spec.model_copy(update={"evaluation": evaluation, "settings": settings}), changed


# 3. The table ----------------------------------------------------------------------------------------------------------


def size(count: float) -> str:
    """Bytes for people."""
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if count >= unit:
            return f"{count / unit:.3g} {name}"
    return f"{count / 1e3:.0f} kB"


def aligned(rows: list[list[str]]) -> list[str]:
    """Rows as columns of text, numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(w) if n < 3 else cell.rjust(w) for n, (cell, w) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    ]


def report(config: Config, grid: Grid, data: Path, device: Device) -> tuple[list[str], list[str]]:
    """Lines of the plan, and lines about jobs that do not fit the device (none: everything fits)."""
    jobs = jobs_of(grid, data)
    groups: dict[tuple[str, str, str], list[Job]] = {}
    for job in jobs:
        groups.setdefault((job.kind, job.spec.method, job.spec.model), []).append(job)
    rows = [["job", "method", "model", "jobs", "device", "peak memory", "longest", "all", "disk"]]
    hours = minutes = disk = 0.0
    unknown: dict[str, Model] = {}
    for (kind, method, model), members in groups.items():
        known = [job.estimate for job in members if job.estimate is not None]
        if not known:
            unknown[model] = members[0].spec.model_spec
            rows.append([kind, method, model, str(len(members)), *["UNKNOWN"] * 5])
            continue
        gpu, dtype = known[0].gpu, members[0].spec.model_spec.dtype
        seconds = [estimate.seconds(device, dtype) for estimate in known]
        stored = sum(estimate.disk for estimate in known)
        unit = 3600 if gpu else 60
        rows.append(
            [kind, method, model, str(len(members)), "GPU" if gpu else "CPU"]
            + [size(max(estimate.device_bytes for estimate in known))]
            + [f"{n / unit:,.1f} {'h' if gpu else 'min'}" for n in (max(seconds), sum(seconds))]
            + [size(stored)]
        )
        hours += sum(seconds) / 3600 if gpu else 0
        minutes += 0 if gpu else sum(seconds) / 60
        disk += stored
    counts = {kind: sum(job.kind == kind for job in jobs) for kind in ("prompt", "train", "evaluate")}
    counts = {"prepare": len(grid.tasks), **counts, "tables and paper": 5}
    weights = sum(
        parameters(shape) * BYTES[model.dtype]
        for model in {job.spec.model: job.spec.model_spec for job in jobs}.values()
        if (shape := shape_of(model)) is not None and not (Path(model.path).is_dir() or model.path.startswith("resources/"))
    )
    lines = [f"config {config.name}: {sum(counts.values())} jobs: " + ", ".join(f"{n} {k}" for k, n in counts.items())]
    lines += ["", *aligned(rows), ""]
    lines.append(f"GPU-hours: {hours:,.0f}. CPU-minutes, one thread a job: {minutes:,.0f}. Disk: {size(disk)} of results" + (f", {size(weights)} of weights from the hub." if weights else "."))
    estimated = [job for job in jobs if job.estimate is not None]
    if estimated:
        largest = max(estimated, key=lambda job: (job.estimate.gpu, job.estimate.device_bytes))  # type: ignore[union-attr]
        assert largest.estimate is not None
        parts = ", ".join(f"{name} {size(n)}" for name, n in vars(largest.estimate.memory).items() if n)
        where = "GPU memory" if largest.estimate.gpu else "resident memory"
        lines.append(f"Largest job: {largest.kind} {largest.spec.address.path}: {size(largest.estimate.device_bytes)} of {where} ({parts}).")
    lines.append(
        f"GPU: {device.memory / 1e9:g} GB, {device.flops / 1e12:g} TFLOP/s in bfloat16, {device.float32 / 1e12:g} in float32, "
        f"{device.bandwidth / 1e9:g} GB/s, {device.share:.0%} of them reached (assumed, not measured). CPU: {CPU_MACHINE}."
    )
    for name, model in unknown.items():
        lines.append(
            f"UNKNOWN: the shape of {name} ({model.path}): no config.json on disk or in the hub's cache, and no entry in "
            "resources/planning.yaml; add one, or download the model. Its jobs are in no total."
        )
    return lines, refusals(jobs, data, device)


def refusals(jobs: list[Job], data: Path, device: Device) -> list[str]:
    """One line for each method and model that does not fit the GPU: its largest job, and what would fit."""
    worst: dict[tuple[str, str, str], Job] = {}
    for job in jobs:
        if job.estimate is None or not job.estimate.gpu or job.estimate.device_bytes <= device.memory:
            continue
        key = (job.kind, job.spec.method, job.spec.model)
        held = worst.get(key)
        if held is None or held.estimate is None or job.estimate.device_bytes > held.estimate.device_bytes:
            worst[key] = job
    lines = []
    for job in worst.values():
        assert job.estimate is not None
        what = "; ".join(advice(job.spec, job.stage, data, device.memory))
        lines.append(
            f"does not fit: {job.kind} {job.spec.address.path} needs {job.estimate.device_bytes / 1e9:.0f} GB of {device.memory / 1e9:g} GB: {what}"
        )
    return lines
