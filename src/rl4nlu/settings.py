"""The sections of a config: one settings class a kind of stage, with its defaults, in the order of the pipeline.

Values that a section may not take alone or together are refused here; `config.py` turns that into one message.
"""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


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
    top_k: int = Field(0, ge=0, description="sampled from the likeliest tokens only; 0: off")
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
        description="gradients are clipped; first-step: the first one's only, as paper 2's release does (papers/2, B4)",
    )
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
        if (self.keep == "best" or self.patience) and not self.evaluate_every:
            raise ValueError("keep: best and patience need evaluate_every above 0")
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


class Pairs(Settings):
    """Pairs of responses for reward models: whose label differs, and sampled ones whose rationale is better or worse (paper 2)."""

    prompts: int = Field(
        800, ge=1, description="training rows that the merged model answers, equal shares of every task"
    )
    validation_prompts: int = Field(400, ge=1, description="validation rows that it answers, for held-out pairs")
    replies: int = Field(4, ge=2, description="replies sampled a row")
    temperature: float = Field(1.0, gt=0, description="of sampling")
    top_k: int = Field(0, ge=0, description="of sampling; 0: off")
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
    learning_rate: float = Field(3e-3, gt=0, description="of adapter and head; cosine without warm-up, as released")
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
        description="released: recomputed with the policy's adapter on, as gradient checkpointing did (papers/2, B2)",
    )
    dropout_in_logprobs: bool = Field(
        False, description="lora.dropout acts in old and new log-probabilities and values, as released (papers/2, Q1)"
    )

    @model_validator(mode="after")
    def _fits_the_chain(self) -> Rllr:
        if self.start != "base":
            raise ValueError("start: must be base; these runs start from the merged SFT model with rationales")
        if self.value_gradients == "released" and not self.value_adapter:
            raise ValueError(
                "value_gradients: released needs value_adapter: true, for the fault lies in switching adapters"
            )
        return self


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
    truncation: Literal["passage", "proportional"] = Field(
        "passage",
        description="of what is too long to train on: the passage is shortened, or prompt and response are cut at the right "
        "in proportion, label and all, as paper 2's release does",
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


class Overrides(Settings):
    """Settings that a variant, a model or a mixture changes; each is a partial copy of the section of that name."""

    prompting: dict[str, Any] = {}
    sft: dict[str, Any] = {}
    ppo: dict[str, Any] = {}
    grpo: dict[str, Any] = {}
    sft_rationale: dict[str, Any] = {}
    pairs: dict[str, Any] = {}
    reward_model: dict[str, Any] = {}
    rllr: dict[str, Any] = {}
    reward_encoder: dict[str, Any] = {}
    ppo_rm: dict[str, Any] = {}
    encoder: dict[str, Any] = {}
    protocol: dict[str, Any] = {}
    evaluation: dict[str, Any] = {}
