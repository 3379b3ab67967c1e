"""What a job asks the scheduler for: the rules' `gpu`, `mem_mb` and `runtime`."""

from __future__ import annotations

from math import ceil
from pathlib import Path
from typing import Literal

from ..config import Model
from ..runs.spec import RunSpec
from .device import Device
from .estimate import Estimate, estimate_evaluation, estimate_training, needs_gpu

UNKNOWN = {"mem_mb": 24_000, "runtime": 1440}
"""Of a job whose model's shape is unknown: those of a 7B model, for a day."""


def resources_of(estimate: Estimate | None, model: Model) -> dict[str, int]:
    """`gpu`, `mem_mb` and `runtime` (minutes) of a job, with room for what the estimate cannot see.

    Memory: a quarter more and 500 MB, for the scheduler's own processes. Time: three times the estimate and ten
    minutes; on a GPU the estimate is that of the default `Device`. Growth after a failure belongs to profiles.
    """
    if estimate is None:
        return {"gpu": int(needs_gpu(model)), **UNKNOWN}
    memory = ceil((1.25 * estimate.host_bytes / 1e6 + 500) / 100) * 100
    minutes = ceil(3 * estimate.seconds(Device(), model.dtype) / 60 + 10)
    return {"gpu": int(estimate.gpu), "mem_mb": memory, "runtime": minutes}


class JobResources:
    """Resources of the jobs of one config; seeds of a run that train as often share them."""

    def __init__(self, data: Path) -> None:
        """`data` is the folder of prepared rows."""
        self.data = data
        self.known: dict[tuple[str | int, ...], dict[str, int]] = {}

    def of(self, stage: Literal["training", "evaluating"], spec: RunSpec) -> dict[str, int]:
        """Of a run's job."""
        key = (stage, spec.model, spec.method, spec.mixture, spec.variant, spec.trainings)
        if key not in self.known:
            estimate = (estimate_training if stage == "training" else estimate_evaluation)(spec, self.data)
            self.known[key] = resources_of(estimate, spec.model_spec)
        return self.known[key]
