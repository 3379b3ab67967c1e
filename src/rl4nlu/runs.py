"""The one resolver: from a config to runs, and from a run's address to everything that it needs to know.

A *run* is (model, method, mixture, variant, seed). The workflow resolves runs to find their inputs and
to notice what a setting touches; the stage's program resolves the same run to execute it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .config import (
    PROMPTING_METHODS,
    RATIONALE_METHODS,
    SUPPORTING_METHODS,
    TRAINED_METHODS,
    Config,
    ConfigError,
    Data,
    Encoder,
    Evaluation,
    Grpo,
    Model,
    Overrides,
    Pairs,
    PolicyOptimisation,
    Ppo,
    PpoRm,
    Prompting,
    Protocol,
    RewardEncoder,
    RewardModel,
    Rllr,
    Settings,
    Sft,
    check,
    load_models,
    merge,
    nearest,
)
from .data import local_files
from .records import digest_of
from .tasks import Task, expand, load_tasks

SECTION = {
    "zero-shot": "prompting", "few-shot": "prompting", "majority": "prompting", "random": "prompting",
    "sft-rationale": "sft_rationale", "merged-backbone": "sft_rationale",
    "reward-label": "reward_model", "reward-rationale": "reward_model",
    "rlhf": "rllr", "rllr": "rllr", "rllr-mixed": "rllr",
    "reward-encoder": "reward_encoder", "ppo-rationale": "ppo_rm", "ppo-rm": "ppo_rm",
}  # fmt: skip
"""Config section that holds a method's settings, where it is not the method's own name."""

REWARDS = {"rlhf": ("rationale",), "rllr": ("label",), "rllr-mixed": ("label", "rationale")}
"""Reward models of paper 2's methods; the critic starts as the first one."""

STANDS_ON: dict[str, dict[str, str]] = {
    "merged-backbone": {"adapter": "sft-rationale"},
    "pairs": {"backbone": "merged-backbone"},
    "reward-label": {"backbone": "merged-backbone", "pairs": "pairs"},
    "reward-rationale": {"backbone": "merged-backbone", "pairs": "pairs"},
    **{m: {"backbone": "merged-backbone", **{r: f"reward-{r}" for r in rewards}} for m, rewards in REWARDS.items()},
    "reward-encoder": {"backbone": "merged-backbone"},
    "ppo-rationale": {"backbone": "merged-backbone"},
    "ppo-rm": {"backbone": "merged-backbone", "encoder": "reward-encoder"},
}
"""What a run needs of other runs of the same model, mixture and seed, by its role there (paper 2's lineage, and PPO-RM)."""

ENCODED = ("reward-encoder", "ppo-rm")
"""Methods that also run an encoder, which config names (`reward_encoder.encoder`)."""

MAIN = Overrides()


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
    settings: Prompting | Sft | Rllr | PpoRm | Ppo | Grpo | Pairs | RewardModel | RewardEncoder | Encoder
    evaluation: Evaluation
    data: Data
    threads: int
    start: str | None = None
    stands_on: dict[str, str] = {}  # noqa: RUF012 # pydantic copies it
    encoder_spec: Model | None = None

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


def _known(name: str, known: dict[str, Any], where: str) -> None:
    if name not in known:
        raise ConfigError(f"{where}: unknown name {name!r}{nearest(name, list(known))} Known: {', '.join(known)}.")


def available_tasks(data: Data, tasks: dict[str, Task]) -> tuple[dict[str, Task], dict[str, str]]:
    """The tasks that have rows in this config's source, and why the others have none (by name).

    Raises:
        ConfigError: files are absent, and data.skip_absent does not allow it.
    """
    absent: dict[str, str] = {}
    for name, task in tasks.items():
        source = task.source or data.source
        if getattr(task.sources, source) is None:
            absent[name] = f"task {name} is left out: its file names no source {source}"
        for path in local_files(task, data):
            if not path.is_file():
                absent[name] = f"task {name} is left out: {path} is absent"
                if not data.skip_absent:
                    raise ConfigError(f"task {name}: {path} is absent (data.skip_absent: true leaves such tasks out)")
    for name, task in tasks.items():
        if task.trained_with in absent and name not in absent:
            absent[name] = f"task {name} is left out: it is trained with {task.trained_with}, which is left out"
    return {name: task for name, task in tasks.items() if name not in absent}, absent


@dataclass(frozen=True)
class Grid:
    """All that a config runs: tasks with rows, those left out (with the reason), and every run resolved."""

    tasks: dict[str, Task]
    absent: dict[str, str]
    models: dict[str, Model]
    runs: dict[Address, RunSpec]


def open_grid(config: Config) -> Grid:
    """The config's grid, resolved against the task and model files of the checkout.

    Raises:
        ConfigError: a name is unknown, or something does not fit.
    """
    models, (tasks, absent) = load_models(), available_tasks(config.data, load_tasks())
    evaluated = list_runs(config, models, tasks, tuple(absent))
    return Grid(tasks, absent, models, {a: resolve(config, models, tasks, a, names) for a, names in evaluated.items()})


def list_runs(
    config: Config, models: dict[str, Model], tasks: dict[str, Task], absent: tuple[str, ...] = ()
) -> dict[Address, list[str]]:
    """Every run of the grid with the names of the tasks that it is evaluated on; duplicates are joined.

    A run brings what it starts from or stands on into the grid. Tasks in `absent` are passed over.

    Raises:
        ConfigError: a name in the grid is unknown, or does not fit its method.
    """
    runs: dict[Address, list[str]] = {}
    for index, arm in enumerate(config.grid):
        where = f"{config.name}: grid.{index}"
        for model in arm.models:
            _known(model, models, f"{where}.models")
            if arm.method in TRAINED_METHODS and (arm.method == "encoder") != (models[model].kind == "encoder"):
                raise ConfigError(
                    f"{where}: method {arm.method} does not fit {model}, whose kind is {models[model].kind}"
                )
        for variant in arm.variants:
            _known(variant, {"main": MAIN, **config.variants}, f"{where}.variants")
        named = expand([t for t in arm.tasks if t not in absent], tasks) if arm.tasks else None
        for mixture in arm.mixtures:
            if mixture in absent:
                continue
            trained = [t.name for t in training_tasks(mixture, tasks)]
            evaluated = named or followed_by(trained, tasks) or list(tasks)
            if arm.method in SUPPORTING_METHODS:
                evaluated = []
            for model in arm.models:
                for variant in arm.variants:
                    for seed in arm.seeds:
                        known = runs.setdefault(Address(model, arm.method, mixture, variant, seed), [])
                        known += [name for name in evaluated if name not in known]
    waiting = list(runs)
    while waiting:
        spec = resolve(config, models, tasks, waiting.pop(0), [])
        for path in filter(None, (spec.start, *spec.stands_on.values())):
            needed = Address.parse(path)
            if needed not in runs:
                own = needed.method not in SUPPORTING_METHODS
                runs[needed] = followed_by([t.name for t in spec.train_tasks], tasks) if own else []
                waiting.append(needed)
    return runs


def _touched(method: str, layer: Overrides) -> bool:
    """Whether a variant changes what a method of paper 2's chain computes, by its settings or by what it stands on."""
    section = SECTION.get(method, method)
    return section in layer.model_fields_set or any(_touched(m, layer) for m in STANDS_ON.get(method, {}).values())


def followed_by(names: list[str], tasks: dict[str, Task]) -> list[str]:
    """`names` and the tasks that are trained with them (MNLI-mm with MNLI, the diagnostics with RTE or MNLI)."""
    return [n for n, task in tasks.items() if n in names or task.trained_with in names]


def training_tasks(mixture: str, tasks: dict[str, Task]) -> list[Task]:
    """Tasks whose training rows a mixture pools; tasks that follow another bring no rows of their own."""
    if mixture == "none":
        return []
    chosen = [tasks[name] for name in expand([mixture], tasks)]
    own = [task for task in chosen if task.trained_with is None]
    if not own:
        raise ConfigError(f"mixture {mixture!r} has no training rows: train on {chosen[0].trained_with!r} instead")
    return own


def resolve(
    config: Config,
    models: dict[str, Model],
    tasks: dict[str, Task],
    address: Address,
    evaluated: list[str] | None = None,
) -> RunSpec:
    """The run at `address`: defaults, then the model's, the mixture's and the variant's overrides.

    Raises:
        ConfigError: a name is unknown, an override does not fit its section, or settings exclude each other.
    """
    _known(address.model, models, "model")
    _known(address.variant, {"main": MAIN, **config.variants}, "variant")
    layers = [
        (f"models.{address.model}", config.models.get(address.model, MAIN)),
        (f"mixtures.{address.mixture}", config.mixtures.get(address.mixture, MAIN)),
        (f"variants.{address.variant}", config.variants.get(address.variant, MAIN)),
    ]

    def section(name: str) -> Settings:
        default: Settings = getattr(config, name)
        values = default.model_dump(mode="json", exclude_unset=True)
        for _, layer in layers:
            over = getattr(layer, name)
            if name == "protocol" and "preset" in over:
                values = {}  # a preset chosen by a variant starts afresh rather than inherit single switches
            values = merge(values, over)
        where = " + ".join(label for label, layer in layers if getattr(layer, name)) or "defaults"
        return check(type(default), values, f"{config.name}: {where}: {name}")

    name = SECTION.get(address.method, address.method)
    if address.method not in PROMPTING_METHODS + TRAINED_METHODS:
        raise ConfigError(
            f"method: unknown name {address.method!r}{nearest(address.method, PROMPTING_METHODS + TRAINED_METHODS)}"
        )
    settings = section(name)
    if isinstance(settings, Rllr) and settings.value_gradients == "released":
        reward_model = section("reward_model")
        assert isinstance(reward_model, RewardModel)
        own, critic = settings.lora, reward_model.lora
        kind = ("rank", "targets", "dropout")
        if any(getattr(own, name) != getattr(critic, name) for name in kind):
            found, wanted = (", ".join(f"{name} {getattr(lora, name)}" for name in kind) for lora in (own, critic))
            raise ConfigError(
                f"{config.name}: run {address.path}: rllr.value_gradients: released computes the critic, a reward model, through "
                f"the policy's adapter; rllr.lora ({found}) must be of the kind of reward_model.lora ({wanted})"
            )
    start = None
    if isinstance(settings, PolicyOptimisation) and settings.start == "sft":
        start = Address(address.model, "sft", address.mixture, "main", address.seed).path
    variant = config.variants.get(address.variant, MAIN)
    stands_on = {
        role: Address(
            address.model,
            method,
            address.mixture,
            address.variant if _touched(method, variant) else "main",
            address.seed,
        ).path
        for role, method in STANDS_ON.get(address.method, {}).items()
    }
    protocol, evaluation = section("protocol"), section("evaluation")
    assert isinstance(protocol, Protocol)
    assert isinstance(evaluation, Evaluation)
    if address.method in RATIONALE_METHODS:
        protocol = protocol.model_copy(update={"response": "rationale"})
    if protocol.response == "rationale":  # room for the rationale, wherever one is written
        room = config.rationales.max_tokens
        decoding = evaluation.decoding
        evaluation = evaluation.model_copy(
            update={"decoding": decoding.model_copy(update={"max_new_tokens": max(room, decoding.max_new_tokens)})}
        )
        if isinstance(settings, PolicyOptimisation):
            settings = settings.model_copy(update={"max_new_tokens": max(room, settings.max_new_tokens)})
    encoder = None
    if address.method in ENCODED:
        named = section("reward_encoder")
        assert isinstance(named, RewardEncoder)
        _known(named.encoder, {n: m for n, m in models.items() if m.kind == "encoder"}, "reward_encoder.encoder")
        encoder = models[named.encoder]
    train = training_tasks(address.mixture, tasks)
    evaluated = evaluated if evaluated is not None else followed_by([t.name for t in train], tasks)
    return RunSpec(
        model=address.model,
        method=address.method,
        mixture=address.mixture,
        variant=address.variant,
        seed=address.seed,
        model_spec=models[address.model],
        train_tasks=tuple(train),
        eval_tasks=tuple(tasks[t] for t in evaluated),
        protocol=protocol,
        settings=settings,  # type: ignore[arg-type]
        evaluation=evaluation,
        data=config.data,
        threads=config.threads,
        start=start,
        stands_on=stands_on,
        encoder_spec=encoder,
    )
