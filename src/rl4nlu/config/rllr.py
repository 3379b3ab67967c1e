"""Settings and methods of the second paper: rationales, pairs, reward models, and policies that these reward."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from .method import Method
from .rl import Ppo
from .settings import Lora, Settings
from .supervised import Sft


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
        for name in ("supplied", "chat", "endpoint"):
            if getattr(self, name) is not None and self.source != name:
                raise ValueError(
                    f"{name} has no effect while source is {self.source}; set source: {name}, or leave it out"
                )
        if self.ungrounded and self.source not in ("derived", "template"):
            raise ValueError(
                f"ungrounded rationales are made by derived and template only, and source is {self.source}"
            )
        return self


class Pairs(Settings):
    """Pairs of responses for reward models: whose label differs, and sampled ones whose rationale is better or worse (paper 2)."""

    prompts: int = Field(
        800, ge=1, description="training rows that the merged model answers, equal shares of every task"
    )
    validation_prompts: int = Field(400, ge=1, description="validation rows that it answers, for held-out pairs")
    replies: int = Field(4, ge=2, description="replies sampled a row")
    temperature: float = Field(1.0, gt=0, description="of sampling")
    top_k: int = Field(0, ge=0, description="of sampling; 0: off")
    mix: Literal["any-label", "same-label"] = Field(
        "any-label",
        description="ranked replies that the rationale model (RLHF) learns from. any-label: whatever their labels, as plain RLHF "
        "does (paper 2: most of its pairs agree in their label); same-label: only replies that agree in it, so that a pair "
        "differs in its rationale alone (the release calls RLHF's reward model the rationale model, and holds no pairs)",
    )
    pairing: Literal["every", "extremes"] = Field(
        "every",
        description="every: every two replies to a row that the judge ranks differently; extremes: the best against the worst, "
        "with same-label among the replies of the commonest label (paper 2 doesn't say)",
    )
    equal_numbers: bool = Field(
        True,
        description="the label model and the rationale model learn from equal numbers of distinct pairs, task by task the smaller "
        "of both; false: each from all that come out",
    )
    judge: Literal["overlap", "likelihood", "endpoint"] = Field(
        "overlap",
        description="ranks replies by the F1 of their rationale's words with the supplied rationale of the gold label, by its "
        "mean log-probability a token under judge_model, or by the grades that the server judge_endpoint gives them",
    )
    judge_model: str | None = Field(None, description="model of config/models.yaml that judges (judge: likelihood)")
    judge_endpoint: Endpoint | None = Field(None, description="server that judges (judge: endpoint)")
    negatives: list[Literal["supplied", "policy", "swapped", "ungrounded"]] = Field(
        ["supplied"],
        min_length=1,
        description="rejected sides of label-sensitive training pairs. supplied: a wrong label and its rationale (paper 2); "
        "policy: a wrong reply sampled from the merged model; swapped: the gold label's rationale and then a wrong label; "
        "ungrounded: the gold label with the rationale of another row",
    )

    @model_validator(mode="after")
    def _judge_is_named(self) -> Pairs:
        if (self.judge == "likelihood") != (self.judge_model is not None):
            raise ValueError("judge likelihood needs judge_model, a name of config/models.yaml; other judges take none")
        if (self.judge == "endpoint") != (self.judge_endpoint is not None):
            raise ValueError("judge endpoint needs judge_endpoint, with base_url and model; other judges take none")
        return self


class RewardModel(Settings):
    """A reward model: LoRA and a scalar head on the merged backbone, trained on pairs (paper 2; defaults of its release)."""

    pairs: int = Field(3200, ge=1, description="pairs seen, repeats counted")
    batch_size: int = Field(32, ge=1, description="pairs an optimiser step")
    micro_batch_size: int | None = Field(None, ge=1, description="pairs a forward pass; null: all")
    micro_batch_tokens: int = Field(16384, ge=64, description="tokens a forward pass, padding counted")
    learning_rates: list[float] = Field(
        [3e-3],
        min_length=1,
        description="candidates, chosen by the share of validation pairs that are told apart; cosine without warm-up, as released",
    )
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)
    loss: Literal["dense", "last"] = Field(
        "dense",
        description="Bradley-Terry loss at every position from the first that differs, as released, or at the last token alone",
    )
    temperature: float = Field(1.0, gt=0, description="that score differences are divided by in the loss")
    lora: Lora = Lora()


class Rllr(Ppo):
    """PPO against reward models (RLHF, RLLR, RLLR-mixed; paper 2); the keys of `ppo` and these, with defaults of its release."""

    prompts: int = Field(2560, ge=1, description="prompts rolled out, repeats counted")
    epochs: int = Field(1, ge=1, description="passes over a roll-out; 1: one optimiser step a batch, as released")
    top_k: int = Field(50, ge=0, description="sampled from the likeliest tokens only; 0: off")
    threshold: float | None = Field(
        None,
        description="tau, where the label reward is capped; null: threshold_quantile of the label model's scores on held-out right responses",
    )
    threshold_quantile: float = Field(0.5, ge=0, le=1)
    combination: Literal["capped", "sum", "average"] = Field(
        "capped",
        description="of label reward L and rationale reward R: min(L, tau) + R, as released; L + R; or (L + R) / 2, "
        "which the release holds as a comment",
    )
    score_normalisation: bool = Field(True, description="scores less their running mean, over their running deviation")
    value_adapter: bool = Field(
        True, description="a critic of its own that starts as the reward model; else a head on the policy"
    )
    value_learning_rate: float | None = Field(None, gt=0, description="of the critic; null: as the policy")
    kl_coefficient: float = Field(0.2, ge=0, description="initial weight of the KL penalty (release: 0.2, adaptive)")
    value_gradients: Literal["corrected", "released"] = Field(
        "corrected",
        description="released: recomputed with the policy's adapter on, as gradient checkpointing did in the release",
    )
    dropout_in_logprobs: bool = Field(
        False, description="lora.dropout acts in old and new log-probabilities and values, as released"
    )

    @model_validator(mode="after")
    def _fits_the_chain(self) -> Rllr:
        if self.start != "base":
            raise ValueError("start: must be base; these runs start from the merged SFT model with rationales")
        if self.reward is not None:
            raise ValueError("reward: reward models judge these runs; a function of your own may judge ppo and grpo")
        if self.value_gradients == "released" and not self.value_adapter:
            raise ValueError(
                "value_gradients: released needs value_adapter: true, for the fault lies in switching adapters"
            )
        return self


BACKBONE = {"backbone": "merged-backbone"}
"""The SFT-with-rationale model, merged: what everything after it stands on."""

PAIR_FILES = tuple(f"{kind}.{split}.jsonl" for kind in ("label", "rationale") for split in ("train", "validation"))

RLLR = {
    "sft-rationale": Method(
        "SFT with rationale", "sft_rationale", Sft, "sft", "methods.sft", rationale=True, colour="#8C6D00"
    ),
    "merged-backbone": Method(
        "Merged backbone",
        "sft_rationale",
        Sft,
        "merging",
        "methods.merge",
        leaves=("model",),
        stands_on={"adapter": "sft-rationale"},
        rationale=True,
        scored=False,
    ),
    "pairs": Method(
        "Pairs",
        "pairs",
        Pairs,
        "pairs",
        "methods.rllr.pairs",
        leaves=(*PAIR_FILES, "statistics.json"),
        stands_on=BACKBONE,
        rationale=True,
        scored=False,
    ),
    **{
        f"reward-{kind}": Method(
            f"Reward model ({kind})",
            "reward_model",
            RewardModel,
            "reward_model",
            "methods.rllr.reward_model",
            stands_on=BACKBONE | {"pairs": "pairs"},
            rationale=True,
            scored=False,
        )
        for kind in ("label", "rationale")
    },
    **{
        name: Method(
            title,
            "rllr",
            Rllr,
            "rllr",
            "methods.rllr.rllr",
            stands_on=BACKBONE | {kind: f"reward-{kind}" for kind in rewards},
            rewards=rewards,
            rationale=True,
            against=against,
            colour=colour,
        )
        for name, title, rewards, against, colour in (
            ("rlhf", "RLHF", ("rationale",), ("sft-rationale",), "#000000"),
            ("rllr", "RLLR", ("label",), ("sft", "sft-rationale", "rlhf"), "#CC79A7"),
            ("rllr-mixed", "RLLR-mixed", ("label", "rationale"), ("rllr",), "#009E73"),
        )
    },
}
