"""Everything that a config file may say: closed, typed classes with their defaults.

A config says *what* is run; a profile says how and where. The classes here and in `settings.py` are the one source of the
defaults, of the JSON schema in `workflow/schemas/` and of `config/README.md` (`python -m rl4nlu docs`).
Unknown keys, wrong types and impossible combinations end in one `ConfigError` that names the key path,
what was found, what is allowed and the nearest known name.
"""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from .settings import (  # noqa: F401 # sections that are imported from here
    PRESETS,
    ChatModel,
    Data,
    Decoding,
    Encoder,
    Endpoint,
    Evaluation,
    Grpo,
    Lora,
    Model,
    Overrides,
    Pairs,
    PolicyOptimisation,
    Ppo,
    PpoRm,
    Prompting,
    Protocol,
    Rationales,
    RewardEncoder,
    RewardModel,
    Rllr,
    Settings,
    Sft,
)

PROMPTING_METHODS = ("majority", "random", "zero-shot", "few-shot")
SUPPORTING_METHODS = ("merged-backbone", "pairs", "reward-label", "reward-rationale", "reward-encoder")
"""What `rlhf`, `rllr`, `rllr-mixed` and `ppo-rm` stand on; these runs answer no task and are not scored."""
RATIONALE_METHODS = ("sft-rationale", *SUPPORTING_METHODS, "rlhf", "rllr", "rllr-mixed", "ppo-rationale", "ppo-rm")
"""Methods whose responses are a rationale and then a label, whatever `protocol.response` says."""
TRAINED_METHODS = ("sft", "ppo", "grpo", *RATIONALE_METHODS, "encoder")
METHODS = PROMPTING_METHODS + TRAINED_METHODS
Method = Literal[
    "majority", "random", "zero-shot", "few-shot", "sft", "ppo", "grpo", "sft-rationale", "merged-backbone", "pairs",
    "reward-label", "reward-rationale", "reward-encoder", "rlhf", "rllr", "rllr-mixed", "ppo-rationale", "ppo-rm", "encoder",
]  # fmt: skip

T = TypeVar("T", bound=BaseModel)

REPOSITORY = Path(__file__).resolve().parents[2]
"""Root of the checkout: task files, model files and shipped weights are found from here."""


class ConfigError(ValueError):
    """A config, task or model file says something that it may not; the message is for the user."""


class Arm(Settings):
    """One line of the grid: every combination of its models, mixtures and seeds."""

    method: Method
    models: list[str] = Field(min_length=1)
    mixtures: list[str] = Field(
        ["none"], min_length=1, description="tasks or suites to train on; none for methods that train nothing"
    )
    variants: list[str] = Field(["main"], min_length=1)
    seeds: list[int] = Field([0], min_length=1)
    tasks: list[str] | None = Field(
        None, description="tasks or suites to evaluate on; null: the mixture's own tasks and those trained with them"
    )

    @model_validator(mode="after")
    def _mixtures_fit(self) -> Arm:
        trains = self.method in TRAINED_METHODS
        if trains and "none" in self.mixtures:
            raise ValueError(f"method {self.method} trains and needs mixtures (tasks or suites)")
        if not trains and self.mixtures != ["none"]:
            raise ValueError(f"method {self.method} trains nothing; leave mixtures out and name tasks")
        return self


class Config(Settings):
    """A scale: one whole experiment, as one file."""

    name: str = Field("embedded", pattern=r"^[a-z0-9-]+$", description="printed in tables and figures")
    folder: str = Field(".", description="where data/, results/, work/, logs/ and the paper go")
    source: Literal["run", "results", "published"] = Field(
        "run", description="what tables are made from: build what is missing, metrics on disk, or the papers' print"
    )
    note: str = Field("", description="one sentence printed under every table: what these numbers are")
    threads: int = Field(
        1, ge=1, description="torch threads a job; part of a run, so that numbers do not depend on the host"
    )
    batch: bool = Field(
        False,
        description="let a process go on with other runs of its model and method, to save start-up; changes no number",
    )
    save_every_seconds: float = Field(
        300.0, ge=0, description="between two states that a run in training can be resumed from; changes no number"
    )
    data_root: str | None = Field(None, description="short for data.data_root, for the command line")
    data: Data = Data()
    prompting: Prompting = Prompting()
    sft: Sft = Sft()
    ppo: Ppo = Ppo()
    grpo: Grpo = Grpo()
    rationales: Rationales = Rationales()
    sft_rationale: Sft = Field(Sft(), description="as sft, for responses of a rationale and a label (paper 2)")
    pairs: Pairs = Pairs()
    reward_model: RewardModel = Field(RewardModel(), description="of reward-label and reward-rationale")
    rllr: Rllr = Field(Rllr(), description="of rlhf, rllr and rllr-mixed")
    reward_encoder: RewardEncoder = Field(RewardEncoder(), description="of reward-encoder")
    ppo_rm: PpoRm = Field(PpoRm(), description="of ppo-rationale (label reward) and ppo-rm (reward encoder)")
    encoder: Encoder = Encoder()
    protocol: Protocol = Protocol()
    evaluation: Evaluation = Evaluation()
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


def nearest(name: str, known: list[str] | tuple[str, ...]) -> str:
    """' - did you mean X?' for the nearest of `known`, or an empty string."""
    close = difflib.get_close_matches(str(name), [str(k) for k in known], n=1, cutoff=0.5)
    return f" - did you mean {close[0]!r}?" if close else ""


def _fields_at(model: type[BaseModel], path: tuple[Any, ...]) -> list[str]:
    """Names of the fields that are allowed at `path` below `model` (empty where that cannot be told)."""
    for part in path:
        if isinstance(part, int) or part not in model.model_fields:
            continue
        annotation = model.model_fields[part].annotation
        inner = [a for a in (annotation, *get_args(annotation)) if isinstance(a, type) and issubclass(a, BaseModel)]
        if not inner:
            return []
        model = inner[0]
    return list(model.model_fields)


def explain(error: ValidationError, model: type[BaseModel], where: str) -> ConfigError:
    """One line a fault: file, key path, what was found, what is allowed, the nearest name."""
    lines = []
    for fault in error.errors():
        path = ".".join(str(part) for part in fault["loc"]) or "(top level)"
        if fault["type"] == "extra_forbidden":
            key, known = str(fault["loc"][-1]), _fields_at(model, fault["loc"][:-1])
            lines.append(f"{where}: {path}: unknown key{nearest(key, known)} Allowed: {', '.join(known)}.")
        elif fault["type"] == "missing":
            lines.append(f"{where}: {path}: is missing.")
        else:
            found, allowed = fault.get("input"), fault["msg"].removeprefix("Value error, ")
            guess = (
                nearest(
                    found,
                    str(fault.get("ctx", {}).get("expected", "")).replace("'", "").replace(" or ", ", ").split(", "),
                )
                if isinstance(found, str)
                else ""
            )
            shown = "" if isinstance(found, dict) else f" (found {json.dumps(found, default=str)})"
            lines.append(f"{where}: {path}: {allowed}{shown}{guess}")
    return ConfigError("\n".join(lines))


def check(model: type[T], values: Any, where: str) -> T:
    """`model` made from `values`, or a `ConfigError` that a user can act on."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise explain(error, model, where) from None


LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's, ten times as fast, where PyYAML was built with it."""


def read_yaml(path: Path) -> Any:
    """The parsed YAML file, with syntax errors turned into a `ConfigError` that names file and line."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=LOADER) or {}
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: no such file{nearest(path.name, [p.name for p in path.parent.glob('*.yaml')])}"
        ) from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from None


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`base` with `over` laid on it, dict by dict; lists and scalars are replaced."""
    out = dict(base)
    for key, value in over.items():
        out[key] = merge(out[key], value) if isinstance(value, dict) and isinstance(out.get(key), dict) else value
    return out


def load_config(values: dict[str, Any], where: str = "config") -> Config:
    """A checked `Config` from merged YAML values."""
    return check(Config, values, where)


def load_models(path: Path | None = None) -> dict[str, Model]:
    """Every model of `config/models.yaml`, by name."""
    path = path or REPOSITORY / "config" / "models.yaml"
    return {name: check(Model, values, f"{path.name}: {name}") for name, values in read_yaml(path).items()}
