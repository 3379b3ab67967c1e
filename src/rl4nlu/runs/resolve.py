"""The one resolver: from a config to runs, and from a run's address to everything that it needs to know.

A *run* is (model, method, mixture, variant, seed). The workflow resolves runs to find their inputs and
to notice what a setting touches; the stage's program resolves the same run to execute it.
"""

from __future__ import annotations

from dataclasses import replace
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
    Rlgf,
    Rllr,
    Settings,
    check,
    merge,
)
from ..tasks.own_reward import check_function
from ..tasks.task import RULES, Task, expand
from .idle import refuse_idle
from .presets import PRESETS
from .spec import Address, RunSpec


def check_name(name: str, known: dict[str, Any], where: str) -> None:
    """Refuse a name that is not among `known`.

    Raises:
        ConfigError: names `where` it stands and the nearest known name.
    """
    if name not in known:
        raise ConfigError(f"{where}: unknown name {name!r}{nearest(name, list(known))} Known: {', '.join(known)}.")


def _touches(layer: Overrides, method: str) -> bool:
    """Whether a variant changes what a method of paper 2's chain computes, by its settings or by what it stands on."""
    entry = METHODS[method]
    changed = {entry.section, "protocol"} & layer.model_fields_set
    return bool(changed) or any(_touches(layer, m) for m in entry.stands_on.values())


def add_followers(names: list[str], tasks: dict[str, Task]) -> list[str]:
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
    """The run at `address`: defaults, the preset, the config, then the model's, the mixture's and the variant's overrides.

    Raises:
        ConfigError: a name is unknown, an override does not fit its section, or settings exclude each other.
    """
    check_name(address.model, models, "model")
    check_name(address.variant, {"main": MAIN, **config.variants}, "variant")
    if address.method not in METHODS:
        raise ConfigError(f"method: unknown name {address.method!r}{nearest(address.method, list(METHODS))}")
    entry = METHODS[address.method]
    if entry.module is not None and models[address.model].dtype == "float16":
        raise ConfigError(
            f"{config.name}: run {address.path}: dtype of model {address.model} is float16, in which small gradients are zero, "
            f"and {address.method} trains; set it to bfloat16 or float32"
        )
    settings = _merge_section(config, address, entry.section)
    if isinstance(settings, Rllr) and settings.value_gradients == "released":
        _check_released_critic(config, address, settings)
    protocol, evaluation = (_merge_section(config, address, name) for name in ("protocol", "evaluation"))
    assert isinstance(protocol, Protocol)
    assert isinstance(evaluation, Evaluation)
    if protocol.prompt_format == "chat" and entry.loads == "decoder" and not models[address.model].chat:
        raise ConfigError(
            f"{config.name}: run {address.path}: protocol.prompt_format is chat, and model {address.model} is not said to have "
            "a chat template; set chat: true in config/models.yaml if it has one"
        )
    if entry.rationale:
        protocol = protocol.model_copy(update={"response": "rationale"})
    if protocol.response == "rationale":  # room for the rationale, wherever one is written
        room, decoding = config.rationales.max_tokens, evaluation.decoding
        wider = decoding.model_copy(update={"max_new_tokens": max(room, decoding.max_new_tokens)})
        evaluation = evaluation.model_copy(update={"decoding": wider})
        if isinstance(settings, PolicyOptimisation):
            settings = settings.model_copy(update={"max_new_tokens": max(room, settings.max_new_tokens)})
    train = training_tasks(address.mixture, tasks)
    evaluated = evaluated if evaluated is not None else add_followers([t.name for t in train], tasks)
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
        bits=config.bits,
        start=_find_start(address, settings, protocol),
        stands_on=_find_foundations(config, address) | _find_guide_run(config, address, settings, protocol),
        learning_rate_from=_find_tuning_run(config, address, settings),
        encoder_spec=_find_encoder(config, models, address) if entry.with_encoder else None,
        guide_spec=_find_guide(config, models, address, settings),
    )
    spec = spec.model_copy(update=_find_rules(spec, config.name) | {"judges": _find_judges(config, models, spec)})
    _check_texts(config, spec)
    return spec


def _merge_section(config: Config, address: Address, name: str) -> Settings:
    """A section: the preset's layer, then the config's, and what the run's model, mixture and variant lay over it."""
    layers = [
        (f"models.{address.model}", config.models.get(address.model, MAIN)),
        (f"mixtures.{address.mixture}", config.mixtures.get(address.mixture, MAIN)),
        (f"variants.{address.variant}", config.variants.get(address.variant, MAIN)),
    ]
    default: Settings = getattr(config, name)
    own = values = default.model_dump(mode="json", exclude_unset=True)
    preset = config.protocol.preset
    for label, layer in layers:
        over = getattr(layer, name)
        if "preset" in layer.protocol:
            preset = layer.protocol["preset"]
            check_name(preset, PRESETS, f"{config.name}: {label}: protocol.preset")
            if name == "protocol":
                values = {}  # all of its switches are the preset's, rather than single ones of the layers below
        values = merge(values, over)
    where = " + ".join(label for label, layer in layers if getattr(layer, name)) or "defaults"
    where = where if preset == "corrected" else f"preset {preset} + {where}"
    below = PRESETS[preset].section(name)
    section = check(type(default), merge(below, values), f"{config.name}: {where}: {name}")
    over = [(label, getattr(layer, name)) for label, layer in layers]
    refuse_idle(section, [("preset", below), ("config", own), *over], f"{config.name}: {name}")
    return section


def _check_released_critic(config: Config, address: Address, settings: Rllr) -> None:
    """A critic that is computed through the policy's adapter must be an adapter of its kind."""
    reward_model = _merge_section(config, address, "reward_model")
    assert isinstance(reward_model, RewardModel)
    own, critic = settings.lora, reward_model.lora
    kind = ("rank", "targets", *(["dropout"] if settings.dropout_in_logprobs else []))
    if any(getattr(own, name) != getattr(critic, name) for name in kind):
        found, wanted = (", ".join(f"{name} {getattr(lora, name)}" for name in kind) for lora in (own, critic))
        raise ConfigError(
            f"{config.name}: run {address.path}: rllr.value_gradients: released computes the critic, a reward model, through "
            f"the policy's adapter; rllr.lora ({found}) must be of the kind of reward_model.lora ({wanted})"
        )


def _sft_method(protocol: Protocol) -> str:
    """The method of the SFT runs whose adapters answer as the protocol says."""
    return "sft-rationale" if protocol.response == "rationale" else "sft"


def _find_start(address: Address, settings: Settings, protocol: Protocol) -> str | None:
    """Path of the SFT run whose adapter a policy starts from, if it does."""
    if isinstance(settings, PolicyOptimisation) and settings.start == "sft":
        return Address(address.model, _sft_method(protocol), address.mixture, "main", address.seed).path
    return None


def _find_guide(config: Config, models: dict[str, Model], address: Address, settings: Settings) -> Model | None:
    """The model that guides a run's roll-outs, where that is another than the run's start."""
    if not isinstance(settings, Rlgf):
        return None
    where = f"{config.name}: run {address.path}: rlgf.guide"
    if settings.guide == "references" and address.method != "ppo++":
        raise ConfigError(
            f"{where}: references go on with nothing that a policy has begun, as {address.method} needs; they guide ppo++ alone. "
            "Allowed: start, model, endpoint."
        )
    if settings.guide != "model":
        return None
    check_name(
        settings.guide_model or address.model,
        {n: m for n, m in models.items() if m.kind == "decoder"},
        f"{where}_model",
    )
    return models[settings.guide_model or address.model]


def _find_guide_run(config: Config, address: Address, settings: Settings, protocol: Protocol) -> dict[str, str]:
    """Path of the SFT run whose adapter the guide has, by its role, if it has one."""
    if not isinstance(settings, Rlgf) or settings.guide != "model" or settings.guide_sft is None:
        return {}
    where = f"{config.name}: run {address.path}: rlgf.guide_sft"
    check_name(settings.guide_sft, {"main": MAIN, **config.variants}, where)
    model, method = settings.guide_model or address.model, _sft_method(protocol)
    return {"guide": replace(address, model=model, method=method, variant=settings.guide_sft).path}


def _find_foundations(config: Config, address: Address) -> dict[str, str]:
    """Paths of the runs that a run stands on, by role: of its own variant where that changes what they compute."""
    layer = config.variants.get(address.variant, MAIN)
    return {
        role: replace(address, method=method, variant=address.variant if _touches(layer, method) else "main").path
        for role, method in METHODS[address.method].stands_on.items()
    }


def _find_tuning_run(config: Config, address: Address, settings: Settings) -> str | None:
    """Path of the run that chooses a run's learning rate for it, where there is a choice and another seed makes it."""
    if config.tuning_seed in (None, address.seed) or not METHODS[address.method].learns:
        return None
    chooses = len(settings.learning_rates) > 1  # type: ignore[attr-defined]
    return replace(address, seed=config.tuning_seed).path if chooses else None


def _find_encoder(config: Config, models: dict[str, Model], address: Address) -> Model:
    """The encoder that a run's reward model is, or learns to be."""
    settings = _merge_section(config, address, "reward_encoder")
    assert isinstance(settings, RewardEncoder)
    encoders = {name: model for name, model in models.items() if model.kind == "encoder"}
    check_name(settings.encoder, encoders, "reward_encoder.encoder")
    return models[settings.encoder]


def _find_judges(config: Config, models: dict[str, Model], spec: RunSpec) -> dict[str, Model]:
    """Judges of a run's tasks of texts, by task, as the config names them."""
    tasks = [task for task in (*spec.train_tasks, *spec.eval_tasks) if task.judge is not None]
    classifiers = {name: model for name, model in models.items() if model.kind == "classifier"}
    found = {}
    for name in dict.fromkeys(name for task in tasks for name in (task.name, task.trained_with or task.name)):
        if name not in config.judges:
            continue
        check_name(config.judges[name], classifiers, f"{config.name}: judges.{name}")
        found[name] = classifiers[config.judges[name]]
    return found


def _check_texts(config: Config, spec: RunSpec) -> None:
    """Refuse tasks of texts where a method, a grammar or a missing judge has no use for them."""
    tasks = [task for task in (*spec.train_tasks, *spec.eval_tasks) if task.answer == "text"]
    if not tasks:
        return
    where, name = f"{config.name}: run {spec.address.path}", tasks[0].name
    if not METHODS[spec.method].texts:
        able = ", ".join(method for method, entry in METHODS.items() if entry.texts)
        raise ConfigError(
            f"{where}: task {name} answers with texts, and method {spec.method} needs labels. Allowed: {able}."
        )
    if spec.protocol.response == "rationale":
        raise ConfigError(
            f"{where}: protocol.response is rationale, a reason before a label, and task {name} answers with texts; set it to label"
        )
    chooses_shots = METHODS[spec.method].answered_by == "answering.few_shot"
    for task in spec.eval_tasks if chooses_shots else spec.train_tasks:
        asks = (
            "reward" if spec.rules.get(task.name) == "judge" else "first metric" if task.metrics[0] == "judge" else None
        )
        if asks and task.name not in spec.judges:
            raise ConfigError(
                f"{where}: the {asks} of task {task.name} is a judge's, and none is named; set judges: {{{task.name}: <classifier>}}"
            )


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
