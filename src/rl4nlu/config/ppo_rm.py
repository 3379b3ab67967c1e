"""Settings and methods of the first paper's learnt reward (its Table 7)."""

from __future__ import annotations

from pydantic import Field, model_validator

from .method import Method
from .rl import Ppo
from .rllr import BACKBONE
from .settings import Settings


class RewardEncoder(Settings):
    """A reward model of paper 1: an encoder with a scalar head, trained on ranked responses (its learning rate and epochs are unknown)."""

    encoder: str = Field(
        "micro-bert-base", description="encoder of config/models.yaml that is trained (paper 1: bert-base-cased)"
    )
    prompts: int = Field(
        5000, ge=1, description="training rows whose responses are ranked, the first ones (paper 1: 5,000)"
    )
    validation_prompts: int = Field(200, ge=1, description="validation rows whose responses are ranked, the first ones")
    replies: int = Field(
        4, ge=1, description="responses sampled a row, beside the right and a wrong label alone (paper 1: 4)"
    )
    temperature: float = Field(1.0, gt=0, description="of sampling")
    top_k: int = Field(0, ge=0, description="of sampling; 0: off")
    rankings: int = Field(3200, ge=1, description="rows seen, with all pairs of their responses; repeats counted")
    batch_size: int = Field(8, ge=1, description="rows an optimiser step")
    learning_rates: list[float] = Field(
        [5e-4], min_length=1, description="candidates, chosen by the share of validation pairs that are ranked right"
    )
    weight_decay: float = Field(0.01, ge=0)


class PpoRm(Ppo):
    """PPO of responses with a rationale, against the reward encoder or the label (ppo-rm, ppo-rationale); the keys of `ppo` and these."""

    score_normalisation: bool = Field(
        True, description="the encoder's scores less their running mean, over their running deviation"
    )

    @model_validator(mode="after")
    def _fits_the_chain(self) -> PpoRm:
        if self.start != "base":
            raise ValueError("start: must be base; these runs start from the merged SFT model with rationales")
        if self.reward is not None:
            raise ValueError(
                "reward: ppo-rm, whose section this is, too, is judged by a model; name it in the task's file"
            )
        return self


PPO_RM = {
    "reward-encoder": Method(
        "Reward encoder",
        "reward_encoder",
        RewardEncoder,
        "reward_encoder",
        "methods.ppo_rm.reward_encoder",
        leaves=("responses.train.jsonl", "responses.validation.jsonl", "history.jsonl", "model"),
        stands_on=BACKBONE,
        with_encoder=True,
        rationale=True,
        scored=False,
    ),
    "ppo-rationale": Method(
        "PPO with rationale",
        "ppo_rm",
        PpoRm,
        "ppo_rm",
        "methods.ppo_rm.ppo_rationale",
        stands_on=BACKBONE,
        rationale=True,
        against=("sft-rationale",),
    ),
    "ppo-rm": Method(
        "PPO-RM",
        "ppo_rm",
        PpoRm,
        "ppo_rm",
        "methods.ppo_rm.ppo_rm",
        stands_on=BACKBONE | {"encoder": "reward-encoder"},
        rewards=("encoder",),
        with_encoder=True,
        rationale=True,
        against=("ppo-rationale", "sft-rationale"),
    ),
}
