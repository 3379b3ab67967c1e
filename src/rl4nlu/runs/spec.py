"""A run's address, in words, and the run with everything resolved."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import SerializeAsAny, ValidationInfo, field_validator

from ..base.errors import ConfigError
from ..base.files import digest_of
from ..config import METHODS, Data, Evaluation, Model, Protocol, Settings
from ..tasks.task import Task


@dataclass(frozen=True, order=True)
class Address:
    """Names one run, in words: `micro-llama/ppo/sst2/main/seed0`."""

    model: str
    method: str
    mixture: str
    variant: str
    seed: int

    @property
    def path(self) -> str:
        """Folder of the run below `results/`."""
        return f"{self.model}/{self.method}/{self.mixture}/{self.variant}/seed{self.seed}"

    @classmethod
    def parse(cls, path: str) -> Address:
        """The address written as `<model>/<method>/<mixture>/<variant>/seed<k>`.

        Raises:
            ConfigError: the text has another form.
        """
        parts = path.strip("/").split("/")
        if len(parts) != 5 or not parts[4].removeprefix("seed").isdigit():
            raise ConfigError(f"run {path!r}: expected <model>/<method>/<mixture>/<variant>/seed<k>")
        return cls(parts[0], parts[1], parts[2], parts[3], int(parts[4].removeprefix("seed")))


class RunSpec(Settings):
    """A run with everything resolved: what the stage's program reads, and what `run.json` records."""

    model: str
    method: str
    mixture: str
    variant: str
    seed: int
    model_spec: Model
    train_tasks: tuple[Task, ...]
    eval_tasks: tuple[Task, ...]
    protocol: Protocol
    settings: SerializeAsAny[Settings]
    evaluation: Evaluation
    data: Data
    threads: int
    start: str | None = None
    stands_on: dict[str, str] = {}  # noqa: RUF012 # pydantic copies it
    encoder_spec: Model | None = None

    @field_validator("settings", mode="before")
    @classmethod
    def _settings_of_the_method(cls, values: Any, known: ValidationInfo) -> Any:
        return METHODS[known.data["method"]].settings.model_validate(values) if isinstance(values, dict) else values

    @property
    def address(self) -> Address:
        """The run's address."""
        return Address(self.model, self.method, self.mixture, self.variant, self.seed)

    @cached_property
    def scored_from(self) -> list[str]:
        """Names of the tasks whose rows scoring reads: the scored ones, and those that they follow."""
        return sorted({name for task in self.eval_tasks for name in (task.name, task.trained_with or task.name)})

    @cached_property
    def digest(self) -> str:
        """Names what training depends on: nothing that only evaluation reads."""
        values = self.model_dump(mode="json", exclude={"eval_tasks", "evaluation"})
        for key in ("parser", "random_fallback"):
            values["protocol"].pop(key)
        values["data"].pop("data_root")  # the rows' own digests are recorded; where they lay does not matter
        values["validation"] = self.evaluation.model_dump(mode="json", exclude={"bootstrap"})
        return digest_of(values)

    @cached_property
    def evaluation_digest(self) -> str:
        """Names what the run's scores depend on: the whole record."""
        return digest_of(self.model_dump(mode="json"))
