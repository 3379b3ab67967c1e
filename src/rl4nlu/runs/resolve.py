"""The one resolver: from a config to runs, and from a run's address to everything that it needs to know.

A *run* is (model, method, mixture, variant, seed). The workflow resolves runs to find their inputs and
to notice what a setting touches; the stage's program resolves the same run to execute it.
"""

from __future__ import annotations

from typing import Any

from ..base.errors import ConfigError, nearest
from ..config import (
    MAIN,
    METHODS,
    Config,
    Evaluation,
    Model,
    Overrides,
    PolicyOptimisation,
    Protocol,
    RewardEncoder,
    RewardModel,
    Rllr,
    Settings,
    check,
    merge,
)
from ..tasks.own_reward import check_function
from ..tasks.task import RULES, Task, expand
from .spec import Address, RunSpec


def _known(name: str, known: dict[str, Any], where: str) -> None:
    if name not in known:
        raise ConfigError(f"{where}: unknown name {name!r}{nearest(name, list(known))} Known: {', '.join(known)}.")


def _touched(method: str, layer: Overrides) -> bool:
    """Whether a variant changes what a method of paper 2's chain computes, by its settings or by what it stands on."""
    entry = METHODS[method]
    return entry.section in layer.model_fields_set or any(_touched(m, layer) for m in entry.stands_on.values())


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

    if address.method not in METHODS:
        raise ConfigError(f"method: unknown name {address.method!r}{nearest(address.method, list(METHODS))}")
    entry = METHODS[address.method]
    settings = section(entry.section)
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
        for role, method in entry.stands_on.items()
    }
    protocol, evaluation = section("protocol"), section("evaluation")
    assert isinstance(protocol, Protocol)
    assert isinstance(evaluation, Evaluation)
    if entry.rationale:
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
    if entry.with_encoder:
        named = section("reward_encoder")
        assert isinstance(named, RewardEncoder)
        _known(named.encoder, {n: m for n, m in models.items() if m.kind == "encoder"}, "reward_encoder.encoder")
        encoder = models[named.encoder]
    train = training_tasks(address.mixture, tasks)
    evaluated = evaluated if evaluated is not None else followed_by([t.name for t in train], tasks)
    spec = RunSpec(
        model=address.model,
        method=address.method,
        mixture=address.mixture,
        variant=address.variant,
        seed=address.seed,
        model_spec=models[address.model],
        train_tasks=tuple(train),
        eval_tasks=tuple(tasks[t] for t in evaluated),
        protocol=protocol,
        settings=settings,
        evaluation=evaluation,
        data=config.data,
        threads=config.threads,
        start=start,
        stands_on=stands_on,
        encoder_spec=encoder,
    )
    return spec.model_copy(update=_find_rules(spec, config.name))


def _find_rules(spec: RunSpec, where: str) -> dict[str, dict[str, str]]:
    """`rules` and `rule_files` of a run whose answers are judged by rules; nothing for others."""
    settings = spec.settings
    if not isinstance(settings, PolicyOptimisation) or METHODS[spec.method].rewards:
        return {}
    rules = {task.name: settings.reward or task.reward for task in spec.train_tasks}
    files = {
        name: check_function(name, f"{where}: run {spec.address.path}: {spec.reward_key(task)}")
        for task in spec.train_tasks
        if (name := rules[task.name]) not in RULES
    }
    return {"rules": rules, "rule_files": files}
