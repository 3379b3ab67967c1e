"""Settings that would do nothing: a key that is set, and that another key of its section leaves without effect, is refused.

A layer may switch off what a lower one sets: a variant that fixes the KL coefficient leaves the config's `kl_target` idle.
What is refused is a key that is idle by its own layer or those below it. Presets say all that their source says; their keys
are not asked about. Nor are values equal to the default, and keys that some methods of a shared section read and others don't.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..base.errors import ConfigError
from ..config import ClippedOptimisation, Evaluation, PolicyOptimisation, Ppo, Rlgf, Rllr, Settings


@dataclass(frozen=True)
class Condition:
    """Keys that act only under a condition.

    Attributes:
        section: class of the sections that have them.
        keys: that act or don't; `lora.dropout` lies in a group.
        switches: keys that decide it; a section may lack them.
        act: whether the keys act under a section's values.
        why: they do nothing otherwise.
    """

    section: type[Settings]
    keys: tuple[str, ...]
    switches: tuple[str, ...]
    act: Callable[[Any], bool]
    why: str


def leaves_the_old_policy(settings: ClippedOptimisation) -> bool:
    """Whether a roll-out is learnt from by other policies than the one that gave it (dropout draws one, too)."""
    one_step = settings.epochs == 1 and settings.minibatch_size == settings.batch_size * settings.answers
    return not one_step or getattr(settings, "dropout_in_logprobs", False)


ONE_STEP = ("epochs", "minibatch_size", "batch_size")

CONDITIONS = (
    Condition(
        Evaluation,
        ("decoding.temperature", "decoding.top_k"),
        ("decoding.how",),
        lambda s: s.decoding.how == "sample",
        "nothing is drawn",
    ),
    Condition(
        PolicyOptimisation,
        ("lora.dropout",),
        ("dropout_in_logprobs",),
        lambda s: getattr(s, "dropout_in_logprobs", False),
        "policies sample and learn without dropout, so that probability ratios start at one",
    ),
    Condition(
        Rllr,
        ("dropout_in_logprobs",),
        ("lora.dropout", "value_adapter"),
        lambda s: s.lora.dropout > 0 or s.value_adapter,
        "no adapter has dropout (a critic's own would have its reward model's)",
    ),
    Condition(
        PolicyOptimisation,
        ("clipping",),
        ("max_grad_norm",),
        lambda s: s.max_grad_norm is not None,
        "no gradient is clipped",
    ),
    Condition(
        ClippedOptimisation,
        ("clip_range", "ratio_threshold"),
        ONE_STEP,
        leaves_the_old_policy,
        "one step a roll-out, at which every ratio is one",
    ),
    Condition(
        Ppo, ("clip_range_value",), ONE_STEP, leaves_the_old_policy, "one step a roll-out, at which values are the old ones"
    ),
    Condition(
        Ppo,
        ("value_learning_rate", "clip_range_value"),
        ("value_coefficient",),
        lambda s: s.value_coefficient > 0,
        "no value is learnt",
    ),
    Condition(
        Ppo,
        ("kl_target", "kl_horizon"),
        ("kl_control",),
        lambda s: s.kl_control == "adaptive",
        "the coefficient stays as it is",
    ),
    Condition(
        Rllr,
        ("threshold", "threshold_quantile"),
        ("combination",),
        lambda s: s.combination == "capped",
        "no reward is capped",
    ),
    Condition(
        Rllr, ("threshold_quantile",), ("threshold",), lambda s: s.threshold is None, "tau is given as a number"
    ),
    Condition(
        Rlgf,
        ("guide_model", "guide_sft"),
        ("guide",),
        lambda s: s.guide == "model",
        "the guide is no other model on this machine",
    ),
    Condition(Rlgf, ("guide_endpoint",), ("guide",), lambda s: s.guide == "endpoint", "no server is asked"),
    Condition(Rlgf, ("guide_weights",), ("guide",), lambda s: s.guide == "start", "the guide is not the start"),
    Condition(
        Rlgf,
        ("guide_top_p", "guide_top_k"),
        ("guide",),
        lambda s: s.guide in ("start", "model"),
        "the guide is not sampled here",
    ),
    Condition(
        Rlgf, ("guide_max_new_tokens",), ("guide",), lambda s: s.guide != "references", "gold answers have their own length"
    ),
    Condition(
        Rlgf,
        ("kl_coefficient", "kl_control"),
        ("kl_penalty",),
        lambda s: s.kl_penalty == "own",
        "no KL is paid",
    ),
    Condition(
        Ppo,
        ("target",),
        ("supervised_coefficient",),
        lambda s: s.supervised_coefficient > 0,
        "no gold answer is learnt",
    ),
)  # fmt: skip


def refuse_idle(section: Settings, layers: Sequence[tuple[str, Mapping[str, Any]]], where: str) -> None:
    """Refuse a section with a key that is idle by its own layer or those below it (see the module).

    Args:
        section: as it is resolved.
        layers: names and values of the preset's layer and of those over it, from the lowest.
        where: the file and the section's name.

    Raises:
        ConfigError: names layer, key, value, what leaves it without effect, and why.
    """
    for condition in (c for c in CONDITIONS if isinstance(section, c.section) and not c.act(section)):
        switches = [key for key in condition.switches if key.split(".")[0] in type(section).model_fields]
        decided = max((_layer_of(key, layers) for key in switches), default=-1)
        for key in condition.keys:
            value, layer = _value_at(section, key), _layer_of(key, layers)
            if layer > 0 and layer >= decided and value != _value_at(type(section)(), key):
                states = " and ".join(f"{name} is {json.dumps(_value_at(section, name))}" for name in switches)
                raise ConfigError(
                    f"{where}: {layers[layer][0]}: {key} {json.dumps(value, default=str)} has no effect"
                    f"{f' while {states}' if states else ''}: {condition.why}"
                )


def _layer_of(key: str, layers: Sequence[tuple[str, Mapping[str, Any]]]) -> int:
    """Number of the highest layer that sets a key; -1: the default holds."""
    group, _, name = key.partition(".")
    return max(
        (n for n, (_, values) in enumerate(layers) if group in values and (not name or name in values[group])),
        default=-1,
    )


def _value_at(section: Settings, key: str) -> Any:
    """The value of a key, which may lie in a group."""
    group, _, name = key.partition(".")
    return getattr(getattr(section, group), name) if name else getattr(section, group)
