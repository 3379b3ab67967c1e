"""Answers of a decoder to rows of a task, and the score that decides what is chosen while training.

Steps: 1. prompts that fit the model, 2. answers by generation or by scoring the label words, 3. one parser. What only
reporting needs (intervals, files) is in `evaluate`, so that an edit there trains nothing again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.errors import ConfigError
from ..base.files import digest_of
from ..base.journal import Journal
from ..config import Decoding
from ..tasks.metrics import score
from ..tasks.prompts import answer_text, turn_start
from ..tasks.reading import CLOSE_TAG, read_response
from ..tasks.rows import Row, load_rows
from ..tasks.task import Task
from .fit import fit_prompts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from ..runs.spec import RunSpec

    Label = str | float


@dataclass(frozen=True)
class Answer:
    """What came of one row: the text, the label that the parser read, and what the prompt lost to fit the model.

    `confidence` is the probability of the positive label among the labels; ReCoRD chooses a query's candidate by it.
    """

    text: str
    prediction: Label | None
    confidence: float | None = None
    tokens: int = 0
    dropped_demonstrations: int = 0
    shortened: bool = False


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
            reading = read_response(task, text, spec.protocol.parser == "strict", spec.protocol.response)
            dropped = len(demonstrations) - shots
            answers[n] = Answer(text, reading.label, confidence, tokens, dropped, fitted[n].shortened)
    return [answers[n] for n in range(len(rows))]


def main_score(task: Task, rows: Sequence[Row], answers: Sequence[Answer]) -> float:
    """The metric that decides choices (the task's first), in percent."""
    return score(task, rows, [a.prediction for a in answers], confidences_of(answers))[task.metrics[0]]


def confidences_of(answers: Sequence[Answer]) -> list[float] | None:
    """Every answer's confidence, or None where one has none."""
    found = [answer.confidence for answer in answers if answer.confidence is not None]
    return found if len(found) == len(answers) else None


def validation_score(spec: RunSpec, model: Any, tokenizer: PreTrainedTokenizerBase, data: Path) -> float:
    """Mean over the run's training tasks of their main metric on the validation carve; greedy, strictly parsed.

    The model is scored in evaluation mode, and put back in the mode that it was in.
    """
    greedy = spec.evaluation.decoding.model_copy(update={"how": "greedy"})
    strict = spec.model_copy(update={"protocol": spec.protocol.model_copy(update={"parser": "strict"})})
    training = model.training
    model.eval()
    try:
        scores = []
        for task in spec.train_tasks:
            rows = rows_of(data, task.name, "validation")
            scores.append(main_score(task, rows, ask(strict, model, tokenizer, task, rows, decoding=greedy)))
    finally:
        model.train(training)
    return sum(scores) / len(scores)


def rows_of(data: Path, name: str, split: str) -> list[Row]:
    """Rows of a task's split.

    Raises:
        ConfigError: there are none.
    """
    rows = load_rows(data, name, split)
    if not rows:
        raise ConfigError(f"{data / name / split}.jsonl: holds no rows of task {name}")
    return rows
