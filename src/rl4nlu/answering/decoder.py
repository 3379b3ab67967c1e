"""Answers of a decoder to rows of a task, by generation or by scoring the label words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from ..base.errors import ConfigError
from ..base.files import digest_of
from ..base.journal import Journal
from ..config import Decoding
from ..tasks.prompts import CLOSE_TAG, answer_text, turn_start
from ..tasks.rows import Row
from ..tasks.task import Task
from .answer import Answer, Answerer, Asked, Backbone, Shots
from .fit import fit_prompts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from ..config import Model
    from ..runs.spec import RunSpec


def load_backbone_of(model: Model) -> Backbone:
    """The tokenizer and decoder of a model, to be shared by runs."""
    from ..models.load import load_backbone, load_tokenizer

    return Backbone(load_tokenizer(model), load_backbone(model))


@contextmanager
def open_decoder(asked: Asked) -> Iterator[Backbone]:
    """The run's decoder, with its adapter where one was trained, for as long as the context lasts.

    Raises:
        ConfigError: the model or the adapter does not load.
    """
    from ..models.load import with_adapter

    tokenizer, decoder = asked.backbone or load_backbone_of(asked.spec.model_spec)
    with with_adapter(decoder, asked.trained and asked.trained / "adapter") as policy:
        yield Backbone(tokenizer, policy)


@contextmanager
def open_answerer(asked: Asked) -> Iterator[Answerer]:
    """A decoder that is shown no demonstrations: a trained one, or the foundation model as it is."""
    with open_decoder(asked) as (tokenizer, policy):
        yield lambda task, rows: (
            ask(asked.spec, policy, tokenizer, task, rows, journal=asked.journal, part=f"{task.name}/test"),
            Shots(),
        )


def ask(
    spec: RunSpec,
    backbone: Any,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    rows: Sequence[Row],
    demonstrations: Sequence[Row] = (),
    decoding: Decoding | None = None,
    journal: Journal | None = None,
    part: str = "",
) -> list[Answer]:
    """The decoder's answers to `rows`, in their order.

    Args:
        spec: protocol, decoding, token budget, seed of sampling.
        backbone: the decoder, with or without an adapter.
        tokenizer: the decoder's.
        task: prompt, label words and parser.
        rows: to be answered.
        demonstrations: shown in every prompt that has room for them.
        decoding: in place of the run's own.
        journal: of rows already answered; it grows batch by batch.
        part: names these rows, asked in this way, in the journal.
    """
    import torch

    from ..models.load import encode_answer
    from . import generate as generation
    from . import score as scoring

    decoding = decoding or spec.evaluation.decoding
    labels = list(task.labels) if spec.protocol.response == "label" else []
    texts = [answer_text(task, label, spec.protocol, "test") for label in labels]
    choices = [encode_answer(tokenizer, text, turn_start(spec.protocol)) for text in texts]
    scored = decoding.how == "score" and bool(labels)  # numbers have no words to score and are generated
    if spec.protocol.response == "rationale" and (decoding.how == "score" or task.layout == "record"):
        what = f"task {task.name}" if task.layout == "record" else "evaluation.decoding.how: score"
        raise ConfigError(f"{what} scores label words, which protocol.response: rationale does not; set it to label")
    room = max([decoding.max_new_tokens, *map(len, choices)])
    fitted = fit_prompts(tokenizer, task, rows, spec.protocol, spec.model_spec.max_length - room, demonstrations)
    chance = torch.Generator().manual_seed(int(digest_of([spec.seed, task.name])[:12], 16))
    stop = CLOSE_TAG if spec.protocol.stop_at_tag else None
    journal = journal or Journal(None)
    answers: dict[int, Answer] = {}
    for shots in sorted({prompt.shots for prompt in fitted}):  # prompts with the same demonstrations share a prefix
        numbered = [n for n, prompt in enumerate(fitted) if prompt.shots == shots]
        prompts = [fitted[n].tokens for n in numbered]
        confidences: list[float | None] = [None] * len(prompts)
        if scored or task.layout == "record":
            name = f"{part}/{shots}/scores"
            scores = scoring.score_choices(
                backbone,
                prompts,
                [choices] * len(prompts),
                pad=int(tokenizer.pad_token_id),  # type: ignore[arg-type]
                batch_tokens=spec.evaluation.batch_tokens,
                done=journal.known(name),
                keep=partial(journal.add, name),
            )
            confidences = torch.tensor(scores, dtype=torch.float64).softmax(dim=1)[:, 0].tolist()
        if scored:
            found = [texts[max(range(len(labels)), key=row.__getitem__)] for row in scores]
            spent = [0] * len(found)
        else:
            name = f"{part}/{shots}/completions"
            completions = generation.generate_tokens(
                backbone,
                prompts,
                tokenizer=tokenizer,
                max_new_tokens=decoding.max_new_tokens,
                sample=decoding.how == "sample",
                temperature=decoding.temperature,
                top_k=decoding.top_k,
                generator=chance,
                stop=stop,
                batch_tokens=spec.evaluation.batch_tokens,
                done=journal.known(name),
                keep=partial(journal.add, name),
            )
            found = generation.decode_completions(backbone, tokenizer, completions, stop)
            spent = [len(completion) for completion in completions]
        for n, text, confidence, tokens in zip(numbered, found, confidences, spent, strict=True):
            dropped = len(demonstrations) - shots
            answers[n] = Answer(text, None, confidence, tokens, dropped, fitted[n].shortened)
    return [answers[n] for n in range(len(rows))]
