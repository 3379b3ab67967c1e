"""A config file as a whole: the grid of runs, the methods' sections, and what a variant, a model or a mixture overrides.

A config says *what* is run; a profile says how and where. The classes of this package are the one source of the defaults,
of the JSON schemas in `workflow/schemas/` and of `config/README.md` (`python -m rl4nlu docs`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, create_model, field_validator, model_validator

from ..base.errors import nearest
from ..base.files import REPOSITORY
from .checks import check, read_yaml
from .methods import METHODS, SECTIONS, TRAINED_METHODS
from .rllr import Rationales
from .settings import Data, Evaluation, Model, Protocol, Settings


class Arm(Settings):
    """One line of the grid: every combination of its models, mixtures and seeds."""

    method: str = Field(json_schema_extra={"enum": list(METHODS)}, description="one of the methods below")
    models: list[str] = Field(min_length=1)
    mixtures: list[str] = Field(
        ["none"], min_length=1, description="tasks or suites to train on; none for methods that train nothing"
    )
    variants: list[str] = Field(["main"], min_length=1)
    seeds: list[int] = Field([0], min_length=1)
    tasks: list[str] | None = Field(
        None, description="tasks or suites to evaluate on; null: the mixture's own tasks and those trained with them"
    )

    @field_validator("method")
    @classmethod
    def _known_method(cls, name: str) -> str:
        if name not in METHODS:
            raise ValueError(f"unknown method{nearest(name, list(METHODS))} Allowed: {', '.join(METHODS)}.")
        return name

    @model_validator(mode="after")
    def _mixtures_fit(self) -> Arm:
        trains = self.method in TRAINED_METHODS
        if trains and "none" in self.mixtures:
            raise ValueError(f"method {self.method} trains and needs mixtures (tasks or suites)")
        if not trains and self.mixtures != ["none"]:
            raise ValueError(f"method {self.method} trains nothing; leave mixtures out and name tasks")
        return self


class Scale(Settings):
    """What a config says of the whole experiment, whatever its methods."""

    name: str = Field("embedded", pattern=r"^[a-z0-9-]+$", description="printed in tables and figures")
    folder: str = Field(".", description="where data/, results/, work/, logs/ and the paper go")
    source: Literal["run", "results", "published"] = Field(
        "run", description="what tables are made from: build what is missing, metrics on disk, or the papers' print"
    )
    note: str = Field("", description="one sentence printed under every table: what these numbers are")
    threads: int = Field(
        1, ge=1, description="torch threads a job; part of a run, so that numbers do not depend on the host"
    )
    bits: Literal["portable", "fast"] = Field(
        "portable",
        description="of float32 on a CPU; part of a run. portable: the same on every x86-64 processor with AVX2, by kernels "
        "that all of them have; fast: whatever this processor does fastest. No effect on what a GPU computes",
    )
    batch: bool = Field(
        False,
        description="let a process go on with other runs of its model and method, to save start-up; changes no number",
    )
    tuning_seed: int | None = Field(
        None,
        ge=0,
        description="seed whose run chooses among learning_rates for the runs of all seeds (of its model, method, mixture and "
        "variant), which train once with its choice; null: every run chooses for itself",
    )
    save_every_seconds: float = Field(
        300.0, ge=0, description="between two states that a run in training can be resumed from; changes no number"
    )
    data_root: str | None = Field(None, description="short for data.data_root, for the command line")
    data: Data = Data()
    judges: dict[str, str] = Field(
        {},
        description="task of texts -> classifier of models.yaml that judges its answers, for the metric and reward judge",
    )
    rationales: Rationales = Rationales()
    protocol: Protocol = Protocol()
    evaluation: Evaluation = Evaluation()


OVERRIDABLE = (*SECTIONS, "protocol", "evaluation")
"""Sections that a variant, a model or a mixture may change."""

if TYPE_CHECKING:  # what is made below, as type checkers see it

    class Sections(Scale):
        """A scale with the methods' sections."""

    class Overrides(Settings):
        """Partial sections."""

        protocol: dict[str, Any] = {}  # noqa: RUF012 # pydantic copies it

else:
    Sections = create_model(
        "Sections",
        __base__=Scale,
        **{
            name: (settings, Field(settings(), description=f"of {', '.join(n for n, m in METHODS.items() if m.section == name)}"))
            for name, settings in SECTIONS.items()
        },
    )  # fmt: skip
    Overrides = create_model(
        "Overrides",
        __base__=Settings,
        __doc__="Settings that a variant, a model or a mixture changes; each is a partial copy of the section of that name.",
        **{name: (dict[str, Any], {}) for name in OVERRIDABLE},
    )

MAIN = Overrides()
"""The variant that changes nothing."""


class Config(Sections):
    """A scale: one whole experiment, as one file."""

    grid: list[Arm] = Field([], description="what is run")
    variants: dict[str, Overrides] = Field({}, description="named overrides; main is always there")
    models: dict[str, Overrides] = Field({}, description="overrides by model")
    mixtures: dict[str, Overrides] = Field({}, description="overrides by mixture")

    @model_validator(mode="before")
    @classmethod
    def _place_data_root(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("data_root"):
            return {**values, "data": {**values.get("data", {}), "data_root": str(values["data_root"])}}
        return values


def load_config(values: dict[str, Any], where: str = "config") -> Config:
    """A checked `Config` from merged YAML values."""
    return check(Config, values, where)


def load_models(path: Path | None = None) -> dict[str, Model]:
    """Every model of `config/models.yaml`, by name."""
    path = path or REPOSITORY / "config" / "models.yaml"
    return {name: check(Model, values, f"{path.name}: {name}") for name, values in read_yaml(path).items()}
