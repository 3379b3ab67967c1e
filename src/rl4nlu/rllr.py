"""RLHF, RLLR and RLLR-mixed (paper 2): PPO whose reward is the score of one or two reward models.

`rlhf` is rewarded by the rationale model, `rllr` by the label model, `rllr-mixed` by both, the label's share capped:
`R = min(r_label, tau) + r_rationale` (papers/2, section 7.1). Scores are normalised by their running mean and deviation.
Policy, critic and reward models are LoRA adapters of one backbone, the merged SFT-with-rationale model, which with its
adapters off is the KL reference. Roll-outs, KL, GAE and clipped update are those of `ppo.py`.

What is logged says whether the reward is over-optimised: every model's mean score on the policy's own samples, apart for
right and wrong labels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import ppo
from .asking import Sampler
from .checkpoint import NOT_SAVED, Checkpoint
from .config import ConfigError, Rllr
from .merging import merged_model
from .models import add_lora, load_backbone
from .policy import Policy, ValueHead
from .records import read_json
from .reward_model import load_head, responses_scored
from .rewards import Judgement, Prompt, labels_read
from .runs import REWARDS

if TYPE_CHECKING:
    from .runs import RunSpec

CRITIC = "critic"


# 1. Rewards -------------------------------------------------------------------------------------------------------------


def combined(label: float, rationale: float, how: str, threshold: float | None) -> float:
    """The reward of a response from the two models' scores (see `Rllr.combination`); tau is needed where `how` is capped."""
    if how == "capped":
        assert threshold is not None
        return min(label, threshold) + rationale
    return (label + rationale) * (0.5 if how == "average" else 1.0)


@dataclass
class RunningMoments:
    """Mean and unbiased deviation of all numbers so far, joined batch by batch (Chan et al.; TRL 0.7.2)."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def update(self, numbers: Sequence[float]) -> None:
        """Take a batch in."""
        n, total = len(numbers), self.count + len(numbers)
        mean = sum(numbers) / n
        away = mean - self.mean
        self.squares += sum((x - mean) ** 2 for x in numbers) + away**2 * self.count * n / total
        self.mean += away * n / total
        self.count = total

    @property
    def deviation(self) -> float:
        """Zero while there is only one number."""
        return math.sqrt(self.squares / (self.count - 1)) if self.count > 1 else 0.0

    def state(self) -> dict[str, float]:
        """See `ppo.Carried`."""
        return {"count": self.count, "mean": self.mean, "squares": self.squares}

    def restore(self, state: dict[str, Any]) -> None:
        """See `ppo.Carried`."""
        self.count, self.mean, self.squares = state["count"], state["mean"], state["squares"]

    def normalised(self, numbers: Sequence[float]) -> list[float]:
        """A batch less the mean, over the deviation, both of which it is part of (papers/2, section 7.2)."""
        self.update(numbers)
        return [(x - self.mean) / (self.deviation + 1e-8) for x in numbers]


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


def mean(numbers: Sequence[float]) -> float | None:
    """None of no numbers."""
    return sum(numbers) / len(numbers) if numbers else None


def by_correctness(name: str, rewards: Sequence[float], right: Sequence[bool]) -> dict[str, float | None]:
    """A model's mean reward apart for right and wrong labels, as it is logged."""
    return {
        f"{name}_reward_{side}": mean([v for v, r in zip(rewards, right, strict=True) if r == wanted])
        for side, wanted in (("right", True), ("wrong", False))
    }


def by_models(
    policy: Policy,
    heads: dict[str, ValueHead],
    settings: Rllr,
    threshold: float | None,
    texts: Callable[..., list[str]],
    moments: RunningMoments | None = None,
) -> ppo.Reward:
    """Judges roll-outs by reward models, which are adapters of the policy's network, named as in `heads`.

    Args:
        policy: is switched to each model and back, before its own forward passes.
        heads: scalar heads of the models, `label` and `rationale` or one of them.
        settings: combination and normalisation.
        threshold: tau, where both models are there and their scores are combined `capped`.
        texts: makes responses text, for the logged shares of right and unreadable ones.
        moments: of the scores so far.
    """
    seen = moments or RunningMoments()

    def judge(batch: Sequence[Prompt], responses: list[list[int]]) -> Judgement:
        prompts, groups = [prompt.tokens for prompt in batch], [prompt.task.name for prompt in batch]
        scores = {}
        policy.model.eval()
        for name, head in heads.items():
            with policy.switched(name):
                scores[name] = responses_scored(policy.model, head, prompts, responses, groups, settings)
        if len(scores) == 1:
            (rewards,) = scores.values()
        else:
            both = zip(scores["label"], scores["rationale"], strict=True)
            rewards = [combined(a, b, settings.combination, threshold) for a, b in both]
        right, unreadable = labels_read(batch, texts(responses), "rationale")
        more = {"reward": mean(rewards)}
        for name, values in scores.items():
            more |= by_correctness(name, values, right)
        # as released, dropout acts in the forward passes of the update
        policy.model.train(settings.dropout_in_logprobs)
        final = seen.normalised(rewards) if settings.score_normalisation else rewards
        return Judgement(final, sum(right) / len(batch), unreadable, more)

    return judge


# 2. One backbone, many adapters -----------------------------------------------------------------------------------------


def build_policy(spec: RunSpec, stands_on: dict[str, Path]) -> tuple[Policy, dict[str, ValueHead]]:
    """The policy before its first step, equal to its reference to the bit; its critic; the reward models' heads.

    The critic starts as the first reward model, head and all (papers/2, section 7.4), or is a head on the policy.
    """
    settings = spec.settings
    assert isinstance(settings, Rllr)
    backbone = load_backbone(merged_model(spec, stands_on["backbone"]))
    size = backbone.get_output_embeddings().in_features
    model = add_lora(backbone, settings.lora, spec.seed)
    heads = {}
    for name in REWARDS[spec.method]:
        folder = stands_on[name] / "adapter"
        model.load_adapter(str(folder), adapter_name=name)
        heads[name] = load_head(folder, size, backbone.dtype).to(backbone.device).requires_grad_(False)
    first = stands_on[REWARDS[spec.method][0]] / "adapter"
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
    capped = len(REWARDS[spec.method]) > 1 and settings.combination == "capped"
    threshold = choose_threshold(settings, stands_on["label"]) if capped else None
    heads: dict[str, ValueHead] = {}

    def make_policy() -> Policy:
        policy, found = build_policy(spec, stands_on)
        heads.update(found)
        return policy

    def make_reward(policy: Policy, sampler: Sampler) -> tuple[ppo.Reward, list[ppo.Carried]]:
        moments = RunningMoments()
        return by_models(policy, heads, settings, threshold, sampler.texts, moments), [moments]

    facts = ppo.train(
        spec,
        data,
        out,
        tensorboard=tensorboard,
        checkpoint=checkpoint,
        make_policy=make_policy,
        make_reward=make_reward,
    )
    return {**facts, "threshold": threshold}
