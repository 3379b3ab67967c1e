"""RLHF, RLLR and RLLR-mixed (paper 2): PPO whose reward is the score of one or two reward models.

`rlhf` is rewarded by the rationale model, `rllr` by the label model, `rllr-mixed` by both, the label's share capped:
`R = min(r_label, tau) + r_rationale` (paper 2's release). Scores are normalised by their running mean and deviation.
Policy, critic and reward models are LoRA adapters of one backbone, the merged SFT-with-rationale model, which with its
adapters off is the KL reference. Roll-outs, KL, GAE and clipped update are those of `ppo.py`.

What is logged says whether the reward is over-optimised: every model's mean score on the policy's own samples, apart for
right and wrong labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...base.checkpoint import NOT_SAVED, Checkpoint
from ...base.errors import ConfigError
from ...base.files import read_json
from ...config import METHODS, Rllr
from ...models.load import add_lora, load_backbone
from ..merge import merged_model
from ..rl import ppo
from ..rl.loop import Start, train_policy
from ..rl.policy import Policy, ValueHead
from ..rl.rewards import RunningMoments, by_correctness
from ..rl.rollout import Judgement, Reward, RollOut
from .reward_model import load_head, responses_scored

if TYPE_CHECKING:
    from ...runs.spec import RunSpec


CRITIC = "critic"

PPO_AS_RELEASED = replace(ppo.PPO, critic_step=ppo.released_critic_step)
"""Its critic is computed once more at backward, through the policy's adapter (paper 2's release)."""


# 1. Rewards -------------------------------------------------------------------------------------------------------------


def combined(label: float, rationale: float, how: str, threshold: float | None) -> float:
    """The reward of a response from the two models' scores (see `Rllr.combination`); tau is needed where `how` is capped."""
    if how == "capped":
        assert threshold is not None
        return min(label, threshold) + rationale
    return (label + rationale) * (0.5 if how == "average" else 1.0)


def quantile(steps: Sequence[float], q: float) -> float:
    """The `q` quantile between numbers that stand at equal steps from the least to the greatest."""
    place = q * (len(steps) - 1)
    low = min(int(place), len(steps) - 2)
    return steps[low] + (place - low) * (steps[low + 1] - steps[low])


def choose_threshold(settings: Rllr, label_model: Path) -> float:
    """Tau: the config's or, where it gives none, a quantile of the label model's scores on held-out right responses.

    Raises:
        ConfigError: the label model was scored on no right response.
    """
    if settings.threshold is not None:
        return settings.threshold
    scores = read_json(label_model / "run.json")["facts"]["right_scores"]
    if not scores:
        raise ConfigError(f"{label_model}: no held-out right responses to choose tau from; set rllr.threshold")
    return quantile(scores, settings.threshold_quantile)


def by_models(
    policy: Policy,
    heads: dict[str, ValueHead],
    settings: Rllr,
    threshold: float | None,
    moments: RunningMoments,
) -> Reward:
    """Judges roll-outs by reward models, which are adapters of the policy's network, named as in `heads`.

    Args:
        policy: is switched to each model and back, before its own forward passes.
        heads: scalar heads of the models, `label` and `rationale` or one of them.
        settings: combination and normalisation.
        threshold: tau, where both models are there and their scores are combined `capped`.
        moments: of the scores so far.
    """

    def judge(answers: RollOut) -> Judgement:
        prompts = [prompt.tokens for prompt in answers.prompts]
        groups = [prompt.task.name for prompt in answers.prompts]
        scores = {}
        policy.model.eval()
        for name, head in heads.items():
            with policy.switched(name):
                scores[name] = responses_scored(policy.model, head, prompts, answers.responses, groups, settings)
        if len(scores) == 1:
            (rewards,) = scores.values()
        else:
            both = zip(scores["label"], scores["rationale"], strict=True)
            rewards = [combined(a, b, settings.combination, threshold) for a, b in both]
        right = answers.right
        more: dict[str, float | None] = {}
        for name, values in scores.items():
            more |= by_correctness(name, values, right)
        # as released, dropout acts in the forward passes of the update
        policy.model.train(settings.dropout_in_logprobs)
        final = moments.normalise(rewards) if settings.score_normalisation else rewards
        return Judgement(final, sum(rewards) / len(rewards), more)

    return judge


# 2. One backbone, many adapters -----------------------------------------------------------------------------------------


def build_rewarded_policy(spec: RunSpec, stands_on: dict[str, Path]) -> tuple[Policy, dict[str, ValueHead]]:
    """The policy before its first step, equal to its reference to the bit; its critic; the reward models' heads.

    The critic starts as the first reward model, head and all (paper 2's release), or is a head on the policy.
    """
    settings = spec.settings
    assert isinstance(settings, Rllr)
    backbone = load_backbone(merged_model(spec, stands_on["backbone"]))
    size = backbone.get_output_embeddings().in_features
    model = add_lora(backbone, settings.lora, spec.seed)
    heads = {}
    for name in METHODS[spec.method].rewards:
        folder = stands_on[name] / "adapter"
        model.load_adapter(str(folder), adapter_name=name)
        heads[name] = load_head(folder, size, backbone.dtype).to(backbone.device).requires_grad_(False)
    first = stands_on[METHODS[spec.method].rewards[0]] / "adapter"
    if settings.value_adapter:
        model.load_adapter(str(first), adapter_name=CRITIC)
        head = load_head(first, size, backbone.dtype)
    else:
        head = ValueHead(size, backbone.dtype)
    model.eval()
    policy = Policy(model, head.to(backbone.device), CRITIC if settings.value_adapter else None)
    policy.activate()
    return policy, heads


# 3. The whole run -------------------------------------------------------------------------------------------------------


def train(
    spec: RunSpec,
    data: Path,
    out: Path,
    stands_on: dict[str, Path],
    tensorboard: Path | None = None,
    checkpoint: Checkpoint = NOT_SAVED,
) -> dict[str, Any]:
    """Train a run's adapter of the merged backbone: see `ppo.train`; the facts also hold `threshold`, the tau that was used, if any.

    Args:
        spec: the resolved run.
        data: folder of prepared rows.
        out: folder to write.
        stands_on: folders of the merged backbone (`backbone`) and of the reward models (`label`, `rationale`).
        tensorboard: folder for event files, if they are wanted.
        checkpoint: state of the run, from which it is resumed.
    """
    settings = spec.settings
    assert isinstance(settings, Rllr)
    capped = len(METHODS[spec.method].rewards) > 1 and settings.combination == "capped"
    threshold = choose_threshold(settings, stands_on["label"]) if capped else None

    def begin() -> Start:
        policy, heads = build_rewarded_policy(spec, stands_on)
        moments = RunningMoments()
        return Start(policy, by_models(policy, heads, settings, threshold, moments), [moments])

    objective = PPO_AS_RELEASED if settings.value_gradients == "released" else ppo.PPO
    facts = train_policy(
        spec,
        data,
        out,
        tensorboard=tensorboard,
        checkpoint=checkpoint,
        begin=begin,
        objective=objective,
    )
    return {**facts, "threshold": threshold}
