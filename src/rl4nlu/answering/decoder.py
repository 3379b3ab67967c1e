"""Answers of a decoder to rows of a task, by generation or by scoring the label words; of texts, what a model says of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from ..base.errors import ConfigError
from ..base.files import digest_of
from ..base.journal import Journal
from ..config import Decoding
from ..tasks.prompts import BLANK_LINE, CLOSE_TAG, answer_text, turn_start, write_prompt
from ..tasks.rows import Row
from ..tasks.task import Task
from .answer import Answer, Answerer, Asked, Backbone, Shots
from .fit import Fitted, encode_reference, fit_prompts

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
    metrics: Sequence[str] | None = None,
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
        metrics: that texts are measured for; None: the task's.
    """
    import torch

    from ..models.load import encode_answer
    from . import generate as generation
    from . import score as scoring

    decoding = decoding or spec.evaluation.decoding
    journal = journal or Journal(None)
    if task.answer == "text":
        wanted = task.metrics if metrics is None else metrics
        return ask_for_texts(spec, backbone, tokenizer, task, rows, demonstrations, decoding, journal, part, wanted)
    labels = list(task.labels) if spec.protocol.response == "label" else []
    texts = [answer_text(task, label, spec.protocol, "test") for label in labels]
    choices = [encode_answer(tokenizer, text, turn_start(spec.protocol)) for text in texts]
    scored = decoding.how == "score" and bool(labels)  # numbers have no words to score and are generated
    if spec.protocol.response == "rationale" and (decoding.how == "score" or task.layout == "record"):
        what = f"task {task.name}" if task.layout == "record" else "evaluation.decoding.how: score"
        raise ConfigError(f"{what} scores label words, which protocol.response: rationale does not; set it to label")
    room = max([decoding.max_new_tokens, *map(len, choices)])
    fitted = fit_prompts(tokenizer, task, rows, spec.protocol, spec.model_spec.max_length - room, demonstrations)
    sampling = settle_sampling(spec, tokenizer, task, decoding)
    stop = CLOSE_TAG if spec.protocol.stop_at_tag else None
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
                max_new_tokens=decoding.max_new_tokens,
                stop=stop,
                done=journal.known(name),
                keep=partial(journal.add, name),
                **sampling,
            )
            found = generation.decode_completions(backbone, tokenizer, completions, stop)
            spent = [len(completion) for completion in completions]
        for n, text, confidence, tokens in zip(numbered, found, confidences, spent, strict=True):
            dropped = len(demonstrations) - shots
            answers[n] = Answer(text, None, confidence, tokens, dropped, fitted[n].shortened)
    return [answers[n] for n in range(len(rows))]


def settle_sampling(
    spec: RunSpec, tokenizer: PreTrainedTokenizerBase, task: Task, decoding: Decoding
) -> dict[str, Any]:
    """What all of a run's answers to a task are generated by: the decoding, the draws, the size of batches."""
    import torch

    return {
        "tokenizer": tokenizer,
        "sample": decoding.how == "sample",
        "temperature": decoding.temperature,
        "top_k": decoding.top_k,
        "generator": torch.Generator().manual_seed(int(digest_of([spec.seed, task.name])[:12], 16)),
        "batch_tokens": spec.evaluation.batch_tokens,
    }


def ask_for_texts(
    spec: RunSpec,
    backbone: Any,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    rows: Sequence[Row],
    demonstrations: Sequence[Row],
    decoding: Decoding,
    journal: Journal,
    part: str,
    metrics: Sequence[str],
) -> list[Answer]:
    """`ask` where texts are answered: they end at the end token or at the task's greatest length, and are measured.

    Behind demonstrations, which a blank line parts, they end at a blank line, too.
    """
    from . import generate as generation

    fitted = fit_prompts(
        tokenizer, task, rows, spec.protocol, spec.model_spec.max_length - task.most_tokens, demonstrations
    )
    sampling = settle_sampling(spec, tokenizer, task, decoding)
    completions: list[list[int]] = [[] for _ in rows]
    texts = [""] * len(rows)
    for shots in sorted({prompt.shots for prompt in fitted}):  # prompts with the same demonstrations share a prefix
        numbered = [n for n, prompt in enumerate(fitted) if prompt.shots == shots]
        name, stop = f"{part}/{shots}/completions", BLANK_LINE if shots else None
        found = generation.generate_tokens(
            backbone,
            [fitted[n].tokens for n in numbered],
            max_new_tokens=task.most_tokens,
            min_new_tokens=task.least_tokens,
            stop=stop,
            done=journal.known(name),
            keep=partial(journal.add, name),
            **sampling,
        )
        written = generation.decode_completions(backbone, tokenizer, found, stop)
        for n, completion, text in zip(numbered, found, written, strict=True):
            completions[n], texts[n] = completion, text.strip()
    measured = measure_texts(spec, backbone, tokenizer, task, rows, fitted, completions, texts, metrics)
    return [
        Answer(text, None, None, len(tokens), len(demonstrations) - prompt.shots, prompt.shortened, more)
        for text, tokens, prompt, more in zip(texts, completions, fitted, measured, strict=True)
    ]


def measure_texts(
    spec: RunSpec,
    backbone: Any,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    rows: Sequence[Row],
    prompts: Sequence[Fitted],
    completions: Sequence[list[int]],
    texts: Sequence[str],
    metrics: Sequence[str],
) -> list[dict[str, float]]:
    """What `metrics` need that takes a model, of every answer.

    Returns:
        judge: the judge's score in points, where one is named. nll, tokens: of the row's first reference (`fit.encode_reference`,
        without an end token) behind the prompt, by the decoder. output_nll, output_tokens: of the answer, without an
        end token, by the foundation model, adapters off; 0 and 0 where it is empty.
    """
    from ..models.load import end_tokens
    from .generate import plain

    measured: list[dict[str, float]] = [{} for _ in rows]
    asked = [prompt.tokens for prompt in prompts]
    if "judge" in metrics and task.name in spec.judges:
        for more, score in zip(measured, judge_texts(spec, task, rows, texts), strict=True):
            more["judge"] = score * points_of(spec.judges[task.name])
    if "perplexity" in metrics:
        references = []
        for row in rows:
            prompt = write_prompt(task, row.fields, (), spec.protocol)
            references.append(encode_reference(tokenizer, task, prompt, (row.answers or [""])[0], spec.protocol)[0])
        for more, nll, tokens in zip(measured, *sum_losses(spec, backbone, tokenizer, asked, references), strict=True):
            more |= {"nll": nll, "tokens": tokens}
    if "output-perplexity" in metrics:
        silent = end_tokens(plain(backbone), tokenizer) | {tokenizer.pad_token_id}
        written = [[token for token in completion if token not in silent] for completion in completions]
        with backbone.disable_adapter() if hasattr(backbone, "disable_adapter") else nullcontext():
            losses = sum_losses(spec, backbone, tokenizer, asked, written)
        for more, nll, tokens in zip(measured, *losses, strict=True):
            more |= {"output_nll": nll, "output_tokens": tokens}
    return measured


def sum_losses(
    spec: RunSpec,
    backbone: Any,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[list[int]],
    answers: Sequence[list[int]],
) -> tuple[list[float], list[int]]:
    """Of each answer behind its prompt, the negative log-probability in nats, and how many tokens that is of."""
    from .score import answer_logprobs

    some = [n for n, answer in enumerate(answers) if answer]
    found = answer_logprobs(
        backbone,
        [prompts[n] for n in some],
        [answers[n] for n in some],
        pad=int(tokenizer.pad_token_id),  # type: ignore[arg-type]
        batch_tokens=spec.evaluation.batch_tokens,
    )
    losses = [0.0] * len(answers)
    for n, tokens in zip(some, found, strict=True):
        losses[n] = -sum(tokens)
    return losses, [len(answer) for answer in answers]


def judge_texts(spec: RunSpec, task: Task, rows: Sequence[Row], texts: Sequence[str]) -> list[float]:
    """The score of every answer by the run's judge of its task; 0 for an empty answer where scores are probabilities."""
    from ..models.judge import load_judge

    model = spec.judges[task.name]
    prompts = [write_prompt(task, row.fields, (), spec.protocol).text for row in rows]
    scores = load_judge(model).scores(task, rows, prompts, texts)
    return [score if text or model.score == "logit" else 0.0 for score, text in zip(scores, texts, strict=True)]


def points_of(judge: Model) -> float:
    """What a judge's score is worth in tables: probabilities are printed in percent, and outputs as they are."""
    return 1.0 if judge.score == "logit" else 100.0
