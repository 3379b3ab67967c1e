"""Sections that all methods share: models, rows, adapters, decoding, the protocol, evaluation.

Values that a section may not take alone or together are refused here; `checks` turns that into one message.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

VADER = "vader"
"""Path of the classifier that is no network but the package vaderSentiment."""


class Settings(BaseModel):
    """Base of all settings: unknown keys are errors, values never change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Model(Settings):
    """A foundation model: one entry of `config/models.yaml`."""

    kind: Literal["decoder", "encoder", "classifier"] = Field(
        description="decoders are prompted and tuned; encoders are fine-tuned; classifiers only judge texts"
    )
    path: str = Field(
        description="hub repository, or a folder (relative to the repository root); vader: a classifier by lexicon"
    )
    revision: str | None = Field(None, description="hub commit; recorded, and required for a hub model at paper scale")
    title: str | None = Field(None, description="name in tables and figures; the key when absent")
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "float32",
        description="precision that the backbone is held and computes in; what is trained is float32. float16 only answers",
    )
    chat: bool = Field(False, description="has a chat template that `protocol.prompt_format: chat` may use")
    max_length: int = Field(2048, ge=64, description="longest prompt plus answer, in tokens")
    table: Literal["main", "other"] = Field("main", description="rows of Tables 1 and 10, or of Table 2 (other models)")
    positive: int = Field(1, ge=0, description="which of a classifier's outputs is its judgement, from 0")
    score: Literal["probability", "logit"] = Field(
        "probability", description="of a classifier: the output's share after softmax, or the output itself"
    )

    @model_validator(mode="after")
    def _encoders_are_float32(self) -> Model:
        if self.kind == "encoder" and self.dtype != "float32":
            raise ValueError(
                f"dtype {self.dtype}: encoders are trained as a whole, which takes float32; leave dtype out"
            )
        return self


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


class Protocol(Settings):
    """The switches where paper 1, its release and sound practice differ."""

    preset: Literal["corrected", "released", "paper", "rllr-released", "rlgf-released"] = Field(
        "corrected",
        description="sets what a paper or its release says, here and in other sections (see the presets below); it lies below "
        "all keys that are set",
    )
    reward_table: Literal["released", "paper"] = Field(
        "released", description="right/wrong/unparseable: +1/-1/-3 (code) or 1/0/-1 (text)"
    )
    parser: Literal["strict", "lenient"] = Field(
        "strict", description="strict: one parser for reward and score; lenient: the release's test parser for scores"
    )
    random_fallback: bool = Field(False, description="replace unparseable test outputs by random labels, as released")
    stop_at_tag: bool = Field(True, description="end the episode at </Judgement>, as the paper says")
    schedule: Literal["constant", "cosine", "linear"] = Field(
        "constant",
        description="of the learning rate; cosine: 10 % warm-up, ends at a tenth; linear: no warm-up, falls to zero (paper 3)",
    )
    sst2_negative: Literal["Negative", "No"] = Field(
        "Negative", description="word for negative SST-2 items in SFT data and demonstrations (release: No)"
    )
    superglue_labels: Literal["words", "integers"] = Field(
        "words", description="SuperGLUE's labels in SFT data: the test prompt's words, or plain integers, as released"
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


class Evaluation(Settings):
    """How runs are scored."""

    decoding: Decoding = Decoding()
    bootstrap: int = Field(1000, ge=0, description="resamples for the 95 % intervals over examples")
    batch_tokens: int = Field(8192, ge=64, description="token budget of a batch; batches are made by length")
