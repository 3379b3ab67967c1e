"""Judges of texts: classifiers that are only asked how much an answer is what it should be (models of kind classifier).

What a judge reads of an answer is said by its task (`judge: text_a, text_b`). It is frozen, in evaluation mode, and asked in
batches; its score is a probability, or the output itself (`score: logit`, as reward models have it). VADER (Hutto and
Gilbert 2014) is a judge that reads a lexicon: its compound score, brought from -1..1 to 0..1.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

from ..base.errors import ConfigError
from ..config import VADER

if TYPE_CHECKING:
    from ..config import Model
    from ..tasks.rows import Row
    from ..tasks.task import Task

BATCH = 32
"""Texts that a judge reads at once."""


class Judge(Protocol):
    """Scores texts."""

    def scores(self, task: Task, rows: Sequence[Row], prompts: Sequence[str], texts: Sequence[str]) -> list[float]:
        """How much each text is what it should be: a probability, or a reward model's output.

        Args:
            task: says what the judge reads.
            rows: that were answered.
            prompts: what the answers go on with, as plain text.
            texts: the answers.
        """


def write_judged(task: Task, row: Row, prompt: str, text: str) -> tuple[str, str | None]:
    """What a judge reads of one answer: one text, or two."""
    assert task.judge is not None
    named = {**row.fields, "prompt": prompt, "answer": text}
    second = task.judge.text_b
    return task.judge.text_a.format_map(named), None if second is None else second.format_map(named)


class Classifier:
    """A sequence classifier as a judge; a text that it has no room for loses its start, as the release's rewards do."""

    def __init__(self, model: Model) -> None:
        import torch
        from transformers import AutoModelForSequenceClassification
        from transformers.utils.logging import disable_progress_bar

        from .load import device, load_failure, load_tokenizer, locate

        disable_progress_bar()
        self.model, self.tokenizer = model, load_tokenizer(model)
        self.tokenizer.padding_side, self.tokenizer.truncation_side = "right", "left"
        try:
            network = AutoModelForSequenceClassification.from_pretrained(
                locate(model.path), revision=model.revision, dtype=getattr(torch, model.dtype)
            )
        except (OSError, ValueError, ImportError) as error:
            if isinstance(error, ConfigError):
                raise
            raise load_failure(model, "weights", error) from error
        outputs = network.config.num_labels
        if model.positive >= outputs:
            raise ConfigError(
                f"model {model.path!r}: positive is {model.positive}, and it has {outputs} outputs, from 0"
            )
        if outputs == 1 and model.score == "probability":
            raise ConfigError(f"model {model.path!r}: score is probability, and it has one output; set it to logit")
        if network.config.pad_token_id is None:  # GPT-2's kind, which looks for the last token that is none
            network.config.pad_token_id = self.tokenizer.pad_token_id
        self.network: Any = network.to(device()).eval().requires_grad_(False)

    def scores(self, task: Task, rows: Sequence[Row], prompts: Sequence[str], texts: Sequence[str]) -> list[float]:
        """See `Judge`; batches are of texts of about one length."""
        import torch

        read = [write_judged(task, *answer) for answer in zip(rows, prompts, texts, strict=True)]
        order = sorted(range(len(read)), key=lambda n: (sum(len(text or "") for text in read[n]), n))
        found = [0.0] * len(read)
        for start in range(0, len(order), BATCH):
            numbers = order[start : start + BATCH]
            firsts, seconds = [read[n][0] for n in numbers], [read[n][1] for n in numbers]
            tokens = self.tokenizer(
                firsts,
                None if seconds[0] is None else seconds,
                truncation=True,
                max_length=self.model.max_length,
                padding=True,
                return_tensors="pt",
            ).to(self.network.device)
            with torch.no_grad():
                logits = self.network(**tokens).logits.float()
            outputs = logits.softmax(-1) if self.model.score == "probability" else logits
            for n, score in zip(numbers, outputs[:, self.model.positive].tolist(), strict=True):
                found[n] = score
        return found


class Lexicon:
    """VADER as a judge: it reads one text."""

    def __init__(self) -> None:
        try:
            from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer
        except ImportError:
            raise ConfigError("judge vader needs the package vaderSentiment: pip install 'rl4nlu[vader]'") from None
        self.analyser = SentimentIntensityAnalyzer()

    def scores(self, task: Task, rows: Sequence[Row], prompts: Sequence[str], texts: Sequence[str]) -> list[float]:
        """See `Judge`."""
        read = [write_judged(task, *answer)[0] for answer in zip(rows, prompts, texts, strict=True)]
        return [(self.analyser.polarity_scores(text)["compound"] + 1) / 2 for text in read]


@cache
def load_judge(model: Model) -> Judge:
    """The judge that a model of kind classifier is, loaded once in a process.

    Raises:
        ConfigError: it cannot be loaded, or has no such output.
    """
    return Lexicon() if model.path == VADER else Classifier(model)
