"""Everything that a config file may say: closed, typed classes with their defaults.

A config says *what* is run; a profile says how and where. The classes here are the one source of the
defaults, of the JSON schema in `workflow/schemas/` and of `config/README.md` (`python -m rl4nlu docs`).
Unknown keys, wrong types and impossible combinations end in one `ConfigError` that names the key path,
what was found, what is allowed and the nearest known name.
"""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

PROMPTING_METHODS = ("majority", "random", "zero-shot", "few-shot")
TRAINED_METHODS = ("sft", "ppo", "grpo", "encoder")
METHODS = PROMPTING_METHODS + TRAINED_METHODS
Method = Literal["majority", "random", "zero-shot", "few-shot", "sft", "ppo", "grpo", "encoder"]

T = TypeVar("T", bound=BaseModel)

REPOSITORY = Path(__file__).resolve().parents[2]
"""Root of the checkout: task files, model files and shipped weights are found from here."""


class ConfigError(ValueError):
    """A config, task or model file says something that it may not; the message is for the user."""


class Settings(BaseModel):
    """Base of all settings: unknown keys are errors, values never change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Model(Settings):
    """A foundation model: one entry of `config/models.yaml`."""

    kind: Literal["decoder", "encoder"] = Field(description="decoders are prompted and tuned; encoders are fine-tuned")
    path: str = Field(description="hub repository, or a folder (relative to the repository root)")
    revision: str | None = Field(None, description="hub commit; recorded, and required for a hub model at paper scale")
    title: str | None = Field(None, description="name in tables and figures; the key when absent")
    dtype: Literal["float32", "bfloat16", "float16"] = Field("float32", description="precision of the backbone")
    chat: bool = Field(False, description="has a chat template that `protocol.prompt_format: chat` may use")
    max_length: int = Field(2048, ge=64, description="longest prompt plus answer, in tokens")
    table: Literal["main", "other"] = Field("main", description="rows of Tables 1 and 10, or of Table 2 (other models)")


class Data(Settings):
    """Where rows come from and how many of them are used."""

    source: Literal["hub", "local", "microworld"] = Field(
        "microworld", description="the Hugging Face hub, official files, or generated"
    )
    data_root: str | None = Field(None, description="folder of the official files (source: local)")
    train_rows: int | None = Field(None, ge=1, description="cap on training rows per task; null: all")
    validation_rows: int = Field(200, ge=1, description="rows carved from train for every choice that is made")
    test_rows: int | None = Field(None, ge=1, description="cap on reported rows per task (official dev); null: all")
    seed: int = Field(0, description="seed of carving, capping and generation")
    skip_absent: bool = Field(False, description="leave out tasks whose local files are absent, with one line each")


class Lora(Settings):
    """Low-rank adapters (PEFT)."""

    rank: int = Field(16, ge=1, description="paper 1, Appendix C: 16")
    alpha: int = Field(32, ge=1, description="release: 32")
    dropout: float = Field(0.0, ge=0, lt=1, description="release: 0.05")
    rslora: bool = Field(False, description="scale by alpha/sqrt(rank) (release) rather than alpha/rank")
    bias: Literal["none", "all"] = Field("none", description="release: all; base biases then drift under the reference")
    targets: list[str] | Literal["default", "all-linear"] = Field(
        "default", description="adapted modules; default: PEFT's choice for the architecture (query and value)"
    )


class Decoding(Settings):
    """How an answer is read from a decoder."""

    how: Literal["greedy", "sample", "score"] = Field(
        "greedy", description="generate greedily, sample, or score the label words"
    )
    max_new_tokens: int = Field(12, ge=1, description="longest answer, in tokens")
    temperature: float = Field(1.0, gt=0, description="of sampling; paper 1 samples at 1")
    top_k: int = Field(0, ge=0, description="0: off")


class Prompting(Settings):
    """Zero-shot and few-shot baselines."""

    shots: list[int] = Field(
        [1, 2, 3, 4, 5], min_length=1, description="candidates for k, chosen on validation (paper 1: 1-5)"
    )
    demonstrations: Literal["first", "random"] = Field(
        "random", description="first k training rows (as released), or drawn by the seed"
    )


class Sft(Settings):
    """Supervised fine-tuning of an adapter on the answer tokens."""

    prompts: int = Field(6400, ge=1, description="training examples seen, repeats counted")
    batch_size: int = Field(16, ge=1, description="examples an optimiser step, by accumulation if need be")
    micro_batch_size: int | None = Field(
        None, ge=1, description="examples a forward pass; must divide batch_size; null: all"
    )
    learning_rates: list[float] = Field([3e-3], min_length=1, description="candidates, chosen on validation")
    weight_decay: float = Field(0.0, ge=0)
    evaluate_every: int = Field(0, ge=0, description="optimiser steps between validation scores; 0: at the end only")
    max_grad_norm: float = Field(1.0, gt=0)
    lora: Lora = Lora()

    @model_validator(mode="after")
    def _divisible(self) -> Sft:
        if self.micro_batch_size and self.batch_size % self.micro_batch_size:
            raise ValueError(
                f"batch_size {self.batch_size} is not a multiple of micro_batch_size {self.micro_batch_size}"
            )
        return self


class PolicyOptimisation(Settings):
    """What all reinforcement learning of an adapter from its own answers shares."""

    start: Literal["base", "sft"] = Field(
        "base", description="begin from the foundation model or from its SFT adapter of the same seed"
    )
    prompts: int = Field(6400, ge=1, description="prompts rolled out, repeats counted")
    batch_size: int = Field(64, ge=1, description="prompts a roll-out")
    minibatch_size: int = Field(
        64, ge=1, description="answers an optimiser step; must divide the answers of a roll-out"
    )
    micro_batch_size: int | None = Field(
        None, ge=1, description="answers a forward pass; must divide minibatch_size; null: all"
    )
    micro_batch_tokens: int = Field(
        16384, ge=64, description="tokens a forward pass, padding counted; batches are cut by length"
    )
    epochs: int = Field(4, ge=1, description="passes over a roll-out")
    learning_rates: list[float] = Field([3e-3], min_length=1, description="candidates, chosen on validation")
    optimiser: Literal["adamw", "adafactor"] = "adamw"
    clip_range: float = Field(0.2, gt=0)
    entropy_coefficient: float = Field(0.0, ge=0)
    kl_coefficient: float = Field(0.05, ge=0, description="initial weight of the KL penalty (release: 0.2)")
    ratio_threshold: float | None = Field(
        10.0, gt=1, description="minibatches whose mean ratio exceeds it are skipped; null: never"
    )
    max_grad_norm: float | None = Field(1.0, gt=0, description="release: none")
    max_new_tokens: int = Field(8, ge=1, description="longest sampled answer")
    temperature: float = Field(1.0, gt=0)
    evaluate_every: int = Field(0, ge=0, description="roll-outs between validation scores; 0: at the end only")
    lora: Lora = Lora()

    @property
    def answers(self) -> int:
        """Answers sampled a prompt."""
        return 1

    @model_validator(mode="after")
    def _divisible(self) -> PolicyOptimisation:
        if self.prompts % self.batch_size:
            raise ValueError(f"prompts {self.prompts} is not a multiple of batch_size {self.batch_size}")
        rows = self.batch_size * self.answers
        if rows % self.minibatch_size:
            answers = f" x group_size {self.answers}" if self.answers > 1 else ""
            raise ValueError(
                f"batch_size {self.batch_size}{answers} is not a multiple of minibatch_size {self.minibatch_size}"
            )
        if self.micro_batch_size and self.minibatch_size % self.micro_batch_size:
            raise ValueError(
                f"minibatch_size {self.minibatch_size} is not a multiple of micro_batch_size {self.micro_batch_size}"
            )
        return self


class Ppo(PolicyOptimisation):
    """Proximal policy optimisation of an adapter (paper 1, section 2; TRL 0.11.4's defaults where the paper is silent)."""

    value_learning_rate: float | None = Field(1e-2, gt=0, description="of the value head; null: as the policy")
    gamma: float = Field(1.0, gt=0, le=1)
    gae_lambda: float = Field(0.95, ge=0, le=1)
    clip_range_value: float = Field(0.2, gt=0)
    value_coefficient: float = Field(0.1, ge=0)
    kl_control: Literal["adaptive", "fixed"] = "fixed"
    kl_target: float = Field(6.0, gt=0, description="summed over the response, batch mean (adaptive control)")
    kl_horizon: int = Field(10000, ge=1, description="in prompts (adaptive control)")
    whiten_advantages: bool = True
    whiten_rewards: bool = False


class Grpo(PolicyOptimisation):
    """Group-relative policy optimisation of an adapter (paper 1, Table 3; its settings are unknown, Shao et al. 2024's are used)."""

    group_size: int = Field(4, ge=2, description="answers sampled a prompt")
    kl_coefficient: float = Field(0.04, ge=0, description="weight of the KL term of the loss")
    scale_advantages: bool = Field(True, description="divide by the group's standard deviation")

    @property
    def answers(self) -> int:
        """Answers sampled a prompt."""
        return self.group_size


class Encoder(Settings):
    """Full fine-tuning of an encoder per task (Devlin et al. 2019)."""

    prompts: int = Field(6400, ge=1, description="training examples seen, repeats counted")
    batch_size: int = Field(16, ge=1)
    learning_rates: list[float] = Field([5e-4], min_length=1, description="candidates, chosen on validation")
    weight_decay: float = Field(0.01, ge=0)


class ChatModel(Settings):
    """A chat model on this machine that writes rationales."""

    path: str = Field(description="hub repository, or a folder (relative to the repository root), with a chat template")
    revision: str | None = Field(None, description="hub commit")
    dtype: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    temperature: float = Field(0.7, ge=0, description="of sampling; 0: greedy")
    batch_size: int = Field(8, ge=1, description="prompts generated together")


class Endpoint(Settings):
    """A server that speaks OpenAI's chat-completions protocol and writes rationales."""

    base_url: str = Field(description="up to and without /chat/completions, such as http://localhost:8000/v1")
    model: str = Field(description="name that the server knows the model by")
    key_variable: str | None = Field(
        "OPENAI_API_KEY", description="environment variable that holds the key; null: the server wants none"
    )
    temperature: float = Field(0.7, ge=0, description="of sampling")
    timeout: float = Field(60.0, gt=0, description="seconds that an answer may take")
    attempts: int = Field(5, ge=1, description="tries for one answer (time-outs, 429, 5xx, malformed bodies)")
    longest_wait: float = Field(60.0, ge=0, description="seconds between two tries at most, whatever Retry-After says")
    concurrency: int = Field(4, ge=1, description="requests under way at a time")

    @field_validator("base_url")
    @classmethod
    def _plain_url(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must begin with http:// or https:// and name a host")
        if parts.username or parts.password or parts.query:
            raise ValueError("must hold no user, password or query; the key comes from the variable key_variable names")
        return url.rstrip("/")


class Rationales(Settings):
    """Rationales for gold and wrong labels (paper 2, whose own source and prompts are not published)."""

    source: Literal["derived", "template", "supplied", "chat", "endpoint"] = Field(
        "derived",
        description="derived: from why a generated label holds; template: quotes spans of the input; supplied: a file; "
        "chat: a model on this machine; endpoint: a server",
    )
    seed: int = Field(0, description="seed of the wrong labels and of the wording")
    wrong_labels: int = Field(1, ge=1, description="wrong labels argued for, a row, drawn uniformly")
    ungrounded: bool = Field(
        False,
        description="also write, for every label, a rationale that cites what the row does not say (derived, template)",
    )
    rows: int | None = Field(None, ge=1, description="cap on rows a split that are asked for; null: all")
    max_tokens: int = Field(64, ge=8, description="longest response (rationale and label), in the model's tokens")
    max_words: int = Field(48, ge=4, description="longest rationale that is kept, in words and signs")
    supplied: str | None = Field(
        None,
        description="JSON-lines file; {task} stands for the task's name; lines: id, label, rationale and maybe split",
    )
    chat: ChatModel | None = None
    endpoint: Endpoint | None = None

    @model_validator(mode="after")
    def _source_is_described(self) -> Rationales:
        if self.source in ("supplied", "chat", "endpoint") and getattr(self, self.source) is None:
            raise ValueError(f"source is {self.source}, and the key {self.source} is missing")
        if self.ungrounded and self.source not in ("derived", "template"):
            raise ValueError(
                f"ungrounded rationales are made by derived and template only, and source is {self.source}"
            )
        return self


PRESETS: dict[str, dict[str, Any]] = {
    "corrected": {},
    "released": {
        "reward_table": "released", "parser": "lenient", "random_fallback": True, "stop_at_tag": False,
        "schedule": "constant", "sst2_negative": "No", "sft_prompt": "separate",
    },
    "paper": {"reward_table": "paper", "schedule": "cosine"},
}  # fmt: skip
"""What each named protocol sets; a key that is absent keeps its default (paper 1, sections 3, 4 and 7)."""


class Protocol(Settings):
    """The switches where paper 1, its release and sound practice differ (papers/1, section 7)."""

    preset: Literal["corrected", "released", "paper"] = Field(
        "corrected", description="sets the others, which may still be set one by one"
    )
    reward_table: Literal["released", "paper"] = Field(
        "released", description="right/wrong/unparseable: +1/-1/-3 (code) or 1/0/-1 (text)"
    )
    parser: Literal["strict", "lenient"] = Field(
        "strict", description="strict: one parser for reward and score; lenient: the release's test parser for scores"
    )
    random_fallback: bool = Field(False, description="replace unparseable test outputs by random labels, as released")
    stop_at_tag: bool = Field(True, description="end the episode at </Judgement>, as the paper says")
    schedule: Literal["constant", "cosine"] = Field(
        "constant", description="of the learning rate; cosine: 10 % warm-up, ends at a tenth"
    )
    sst2_negative: Literal["Negative", "No"] = Field(
        "Negative", description="word for negative SST-2 items in SFT data and demonstrations (release: No)"
    )
    sft_prompt: Literal["same", "separate"] = Field(
        "same", description="SFT trains on the test prompt, or on other wording, as released"
    )
    prompt_format: Literal["raw", "chat"] = Field(
        "raw", description="plain text, as in paper 1, or the model's chat template"
    )
    response: Literal["label", "rationale"] = Field(
        "label",
        description="label: the prompt opens the answer tag; rationale: the model gives a reason and then opens it (paper 2)",
    )

    @model_validator(mode="before")
    @classmethod
    def _apply_preset(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("preset") in PRESETS:
            return {**PRESETS[values["preset"]], **values}
        return values


class Evaluation(Settings):
    """How runs are scored."""

    decoding: Decoding = Decoding()
    bootstrap: int = Field(1000, ge=0, description="resamples for the 95 % intervals over examples")
    batch_tokens: int = Field(8192, ge=64, description="token budget of a batch; batches are made by length")


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


class Overrides(Settings):
    """Settings that a variant, a model or a mixture changes; each is a partial copy of the section of that name."""

    prompting: dict[str, Any] = {}
    sft: dict[str, Any] = {}
    ppo: dict[str, Any] = {}
    grpo: dict[str, Any] = {}
    encoder: dict[str, Any] = {}
    protocol: dict[str, Any] = {}
    evaluation: dict[str, Any] = {}


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
    data_root: str | None = Field(None, description="short for data.data_root, for the command line")
    data: Data = Data()
    prompting: Prompting = Prompting()
    sft: Sft = Sft()
    ppo: Ppo = Ppo()
    grpo: Grpo = Grpo()
    encoder: Encoder = Encoder()
    rationales: Rationales = Rationales()
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


def read_yaml(path: Path) -> Any:
    """The parsed YAML file, with syntax errors turned into a `ConfigError` that names file and line."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8")) or {}
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
