"""Settings and methods of reinforcement learning by the tasks' rules."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from .method import Method
from .settings import Lora, Settings

OWN_REWARD = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
"""How YAML names a user's own function: `module:function`."""


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
    entropy_coefficient: float = Field(0.0, ge=0)
    reward: str | None = Field(
        None,
        description="a Python function of your own that judges all answers, module:function (see config/example_reward.py); "
        "null: the reward that each task's file names",
    )
    kl_coefficient: float = Field(0.05, ge=0, description="initial weight of the KL penalty (release: 0.2)")
    max_grad_norm: float | None = Field(1.0, gt=0, description="release: none")
    max_new_tokens: int = Field(8, ge=1, description="longest sampled answer")
    temperature: float = Field(1.0, gt=0)
    top_k: int = Field(0, ge=0, description="sampled from the likeliest tokens only; 0: off")
    top_p: float = Field(
        1.0, gt=0, le=1, description="sampled from the fewest tokens with this probability in all; 1: off"
    )
    evaluate_every: int = Field(0, ge=0, description="roll-outs between validation scores; 0: at the end only")
    keep: Literal["last", "best"] = Field(
        "last",
        description="adapter that is kept: after the last roll-out, or the best on validation, the start included",
    )
    patience: int | None = Field(
        None, ge=1, description="stop after so many validation scores in a row that are no better; null: never"
    )
    clipping: Literal["every-step", "first-step"] = Field(
        "every-step",
        description="gradients are clipped; first-step: the first one's only, as paper 2's release does",
    )
    lora: Lora = Lora()

    @field_validator("reward")
    @classmethod
    def _names_a_function(cls, name: str | None) -> str | None:
        if name is not None and not OWN_REWARD.fullmatch(name):
            raise ValueError("must be module:function, such as config.example_reward:length_penalised")
        return name

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
        if (self.keep == "best" or self.patience) and not self.evaluate_every:
            raise ValueError("keep: best and patience need evaluate_every above 0")
        return self


class ClippedOptimisation(PolicyOptimisation):
    """Policy optimisation by probability ratios that are clipped (Schulman et al. 2017, eq. 7)."""

    clip_range: float = Field(0.2, gt=0)
    ratio_threshold: float | None = Field(
        10.0, gt=1, description="minibatches whose mean ratio exceeds it are skipped; null: never"
    )


class Ppo(ClippedOptimisation):
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
    supervised_coefficient: float = Field(
        0.0,
        ge=0,
        description="weight of the cross-entropy of gold answers to a minibatch's prompts (paper 3's release: 0.1)",
    )
    target: Literal["continuation", "review-start"] = Field(
        "continuation",
        description="gold answer of a continued review: what follows the prompt, or the review's first tokens, as paper 3's release does",
    )
    reward_reads: Literal["prompt", "window"] = Field(
        "prompt",
        description="what a judge reads before the answer: the whole prompt, as the metric does, or what the policy read of it (paper 3's release)",
    )


class Grpo(ClippedOptimisation):
    """Group-relative policy optimisation of an adapter (paper 1, Table 3; its settings are unknown, Shao et al. 2024's are used)."""

    group_size: int = Field(4, ge=2, description="answers sampled a prompt")
    kl_coefficient: float = Field(0.04, ge=0, description="weight of the KL term of the loss")
    scale_advantages: bool = Field(True, description="divide by the group's standard deviation")

    @property
    def answers(self) -> int:
        """Answers sampled a prompt."""
        return self.group_size


class Raft(PolicyOptimisation):
    """Reward-ranked fine-tuning of an adapter: supervised steps on its own best answers (Dong et al. 2023)."""

    group_size: int = Field(4, ge=1, description="answers sampled a prompt")
    reward_above: float = Field(
        0.0, description="the best answer to a prompt (the first of equals) is learnt if its reward is above this"
    )
    kl_coefficient: float = Field(0.0, ge=0, le=0, description="none: answers are ranked by their reward alone")

    @property
    def answers(self) -> int:
        """Answers sampled a prompt."""
        return self.group_size


RL = {
    "ppo": Method(
        "PPO",
        "ppo",
        Ppo,
        "ppo",
        "methods.rl.ppo",
        texts=True,
        against=("sft", "zero-shot", "grpo", "encoder"),
        colour="#D55E00",
    ),
    "grpo": Method("GRPO", "grpo", Grpo, "grpo", "methods.rl.grpo", texts=True),
    "raft": Method(
        "RAFT", "raft", Raft, "raft", "methods.rl.raft", texts=True, against=("sft", "ppo"), colour="#661100"
    ),
}
