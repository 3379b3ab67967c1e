"""Settings and methods that imitate or only ask: prompting, supervised fine-tuning, encoders."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from .method import Method
from .settings import Lora, Settings


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


class Encoder(Settings):
    """Full fine-tuning of an encoder per task (Devlin et al. 2019)."""

    prompts: int = Field(6400, ge=1, description="training examples seen, repeats counted")
    batch_size: int = Field(16, ge=1)
    learning_rates: list[float] = Field([5e-4], min_length=1, description="candidates, chosen on validation")
    weight_decay: float = Field(0.01, ge=0)


GUESSED = {"loads": None, "answered_by": "answering.guesses"}
PROMPTING: dict[str, Method] = {
    name: Method(title, "prompting", Prompting, "prompting", leaves=("answers",), **more)  # type: ignore[arg-type]
    for name, title, more in (
        ("majority", "Majority", {**GUESSED, "seeded": False, "colour": "#BBBBBB"}),
        ("random", "Random", {**GUESSED, "texts": True, "colour": "#BBBBBB"}),
        ("zero-shot", "Zero-shot", {"texts": True, "seeded": False, "colour": "#56B4E9"}),
        (
            "few-shot",
            "Few-shot",
            {"texts": True, "answered_by": "answering.few_shot", "colour": "#0072B2", "against": ("zero-shot",)},
        ),
    )
}
SFT = {"sft": Method("SFT", "sft", Sft, "sft", "methods.sft", texts=True, against=("zero-shot",), colour="#E69F00")}
ENCODER = {
    "encoder": Method(
        "Encoder",
        "encoder",
        Encoder,
        "encoder",
        "methods.encoder",
        leaves=("history.jsonl", "model"),
        loads="encoder",
        answered_by="methods.encoder",
        colour="#009E73",
    )
}
