"""Fine-tuning of BERT-like encoders, one model a task: the comparison that paper 1 takes from Devlin et al. (2019).

All weights are trained, under a head that the task's file names: classification of a text or a pair of texts,
regression (STS-B), or one score a choice (COPA). Optimisation is that of Devlin et al., section A.3: AdamW with
weight decay, linear warm-up over a tenth of the steps, then linear decay to zero.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import (
    AutoModelForMultipleChoice,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PrinterCallback,
    Trainer,
    TrainingArguments,
)
from transformers.utils import logging as transformers_logging

from ..answering.answer import Answer, Answerer, Asked, Shots
from ..answering.generate import NONE, Keep, length_batches, unfinished
from ..answering.labels import main_score
from ..base.checkpoint import NOT_SAVED, Checkpoint
from ..base.errors import ConfigError, Diverged
from ..config import Encoder, Model, RewardEncoder
from ..models.load import device, load_failure, load_tokenizer, locate
from ..tasks.rows import Row, load_rows
from .candidates import Candidate, best_of
from .schedule import draw, group
from .trainer import LINES, Recorder, Resume

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ..runs.spec import RunSpec
    from ..tasks.task import Task


Encoding = dict[str, list[int]]
"""One text (or pair) as the tokenizer returns it: input_ids and, where the architecture has them, token_type_ids."""


@dataclass(frozen=True)
class Item:
    """A row as the encoder reads it: one encoding, or one a choice; `target` is a class number or a value."""

    parts: list[Encoding]
    target: float | int | None = None

    @property
    def length(self) -> int:
        """Tokens of the longest part."""
        return max(len(part["input_ids"]) for part in self.parts)


def text_pairs(task: Task, row: Row) -> list[tuple[str, str | None]]:
    """The texts that the encoder reads for a row: one pair, or for multiple choice one pair a choice."""
    assert task.pair is not None
    first = task.pair.text_a.format_map(row.fields)
    if task.head == "multiple-choice":
        return [(first, choice.format_map(row.fields)) for choice in task.choices]
    return [(first, task.pair.text_b.format_map(row.fields) if task.pair.text_b else None)]


def encode(
    tokenizer: PreTrainedTokenizerBase, pairs: list[tuple[str, str | None]], max_length: int
) -> tuple[list[Encoding], int]:
    """Encodings of at most `max_length` tokens, and how many had to be cut.

    The longer text loses its end, the shorter is kept whole: of a passage and a question, the passage. Only where the
    shorter, too, takes more than half of the room (`max_length` less the special tokens) do both lose their ends, and
    share the room equally.
    """
    encodings, cut = [], 0
    for first, second in pairs:
        whole = tokenizer(first, second, return_attention_mask=False, verbose=False)
        if len(whole["input_ids"]) > max_length:
            cut += 1
            whole = tokenizer(
                first, second, truncation="longest_first", max_length=max_length, return_attention_mask=False
            )
        encodings.append({key: list(values) for key, values in whole.items()})
    return encodings, cut


def items(task: Task, rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase) -> tuple[list[Item], int]:
    """Rows as the encoder reads them, with their targets where they are labelled; and how many were cut.

    The longest input is the tokenizer's `model_max_length`.

    Raises:
        ConfigError: a row's label is none of the task's.
    """
    classes = {label: number for number, label in enumerate(task.labels)}
    found, shortened = [], 0
    for row in rows:
        parts, cut = encode(tokenizer, text_pairs(task, row), tokenizer.model_max_length)
        shortened += cut > 0
        target: float | int | None = None
        if row.label is not None:
            if task.head == "regression":
                target = float(row.label)
            elif row.label not in classes:
                raise ConfigError(
                    f"task {task.name}: row {row.id} has label {row.label!r}; labels: {', '.join(classes)}"
                )
            else:
                target = classes[str(row.label)]
        found.append(Item(parts, target))
    return found, shortened


def collate(chosen: list[Item], pad: int) -> dict[str, torch.Tensor]:
    """Tensors padded on the right: (rows, tokens), or (rows, choices, tokens) for several parts a row."""
    parts = [part for item in chosen for part in item.parts]
    longest = max(len(part["input_ids"]) for part in parts)
    batch = {"attention_mask": [[1] * len(p["input_ids"]) + [0] * (longest - len(p["input_ids"])) for p in parts]}
    for key in parts[0]:
        filler = pad if key == "input_ids" else 0
        batch[key] = [part[key] + [filler] * (longest - len(part[key])) for part in parts]
    choices = len(chosen[0].parts)
    shape = (len(chosen), choices, longest) if choices > 1 else (len(chosen), longest)
    tensors = {key: torch.tensor(values).view(shape) for key, values in batch.items()}
    targets = [item.target for item in chosen if item.target is not None]
    if targets:
        tensors["labels"] = torch.tensor(targets)
    return tensors


def with_head(model: Model, seed: int, auto: Any = AutoModelForSequenceClassification, **head: Any) -> PreTrainedModel:
    """A pretrained encoder under a new head, whose initial weights depend on `seed` alone.

    `auto` is transformers' class for the kind of head, and `head` what it is told of it.

    Raises:
        ConfigError: the weights cannot be loaded.
    """
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # that the head is new need not be told
    torch.manual_seed(seed)
    try:
        where = locate(model.path)
        found: PreTrainedModel = auto.from_pretrained(
            where, revision=model.revision, dtype=getattr(torch, model.dtype), **head
        )
        return found
    except (OSError, ValueError, ImportError) as error:
        if isinstance(error, ConfigError):
            raise
        raise load_failure(model, "weights", error) from error
    finally:
        transformers_logging.set_verbosity(verbosity)


def load_encoder(spec: RunSpec, task: Task) -> PreTrainedModel:
    """The pretrained encoder under a new head for `task`."""
    if task.head == "multiple-choice":
        return with_head(spec.model_spec, spec.seed, AutoModelForMultipleChoice)
    if task.head == "regression":
        return with_head(spec.model_spec, spec.seed, num_labels=1, problem_type="regression")
    names = dict(enumerate(task.labels))
    numbers = {name: number for number, name in names.items()}
    return with_head(spec.model_spec, spec.seed, num_labels=len(names), id2label=names, label2id=numbers)


class EncoderTrainer(Trainer):
    """transformers' trainer without its FLOP estimate, which walks over all parameters in every step."""

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Not estimated."""
        return 0


def fit(
    spec: RunSpec,
    model: PreTrainedModel,
    ordered: list[Any],
    learning_rate: float,
    collator: Callable[[list[Any]], dict[str, torch.Tensor]],
    validate: Callable[[PreTrainedModel], float],
    folder: Path,
    checkpoint: Checkpoint,
    trainer_of: type[EncoderTrainer] = EncoderTrainer,
) -> Candidate:
    """Fine-tune one encoder at one learning rate, go on from its checkpoint, write it to `folder`.

    Args:
        spec: batch size, weight decay, seed.
        model: is changed.
        ordered: what it learns from, in order.
        learning_rate: at the top of its schedule.
        collator: makes a batch's tensors.
        validate: scores the model at the end.
        folder: to write.
        checkpoint: state of the run, from which it is resumed.
        trainer_of: knows the loss.
    """
    settings = spec.settings
    assert isinstance(settings, Encoder | RewardEncoder)
    steps = math.ceil(len(ordered) / settings.batch_size)
    recorder = Recorder(spec.method, len(ordered), settings.batch_size, lambda: validate(model))
    resume = Resume(checkpoint, recorder)
    trainer = trainer_of(
        model=model,
        args=TrainingArguments(
            output_dir=str(folder),
            max_steps=steps,
            per_device_train_batch_size=settings.batch_size,
            learning_rate=learning_rate,
            weight_decay=settings.weight_decay,
            optim="adamw_torch_fused",  # takes no square roots from MKL (`base.machine.KERNELS`)
            lr_scheduler_type="linear",
            warmup_steps=0.1,
            seed=spec.seed,
            train_sampling_strategy="sequential",
            remove_unused_columns=False,
            use_cpu=device().type == "cpu",
            dataloader_pin_memory=False,
            logging_steps=max(1, steps // LINES),
            logging_nan_inf_filter=False,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
        data_collator=collator,
        train_dataset=resume.rest(ordered, settings.batch_size),  # type: ignore[arg-type]
        callbacks=[recorder],
    )
    trainer.remove_callback(PrinterCallback)
    resume.train(trainer)
    model.save_pretrained(folder)
    return recorder.trained()


@torch.inference_mode()
def outputs(
    model: PreTrainedModel,
    read: list[Item],
    pad: int,
    batch_tokens: int,
    done: Mapping[int, list[float]] = NONE,
    keep: Keep | None = None,
) -> torch.Tensor:
    """The head's outputs, float32 on the CPU, in the order of `read`: (rows, classes), (rows, choices) or (rows, 1).

    `batch_tokens` bounds a batch's padded tokens; `done` and `keep` are those of `generate.generate_tokens`.

    Raises:
        Diverged: an output is no number.
    """
    width = max((len(item.parts) for item in read), default=1)
    found = dict(done)
    for batch in unfinished(length_batches([width * item.length for item in read], batch_tokens), done):
        tensors = collate([Item(read[i].parts) for i in batch], pad)
        logits = model(**{key: values.to(model.device) for key, values in tensors.items()}).logits.float().cpu()
        if not logits.isfinite().all():
            raise Diverged("the encoder's outputs are no longer finite")
        if keep:
            keep(batch, logits.tolist())
        found.update(zip(batch, logits.tolist(), strict=True))
    return torch.tensor([found[i] for i in range(len(read))]) if read else torch.empty(0, 1)


def answers(model: PreTrainedModel, task: Task, logits: torch.Tensor) -> list[Answer]:
    """Canonical labels (or numbers within the task's bounds) from the head's outputs.

    For ReCoRD each comes with the probability of its positive class, by which one candidate a query is chosen.
    """
    if task.head == "regression":
        low = -math.inf if task.low is None else task.low
        high = math.inf if task.high is None else task.high
        return [Answer(label=min(max(value, low), high)) for value in logits[:, 0].tolist()]
    if task.head == "multiple-choice":
        return [Answer(label=list(task.labels)[i]) for i in logits.argmax(dim=1).tolist()]
    names = [model.config.id2label[i] for i in range(logits.shape[1])]  # type: ignore[index]
    labels = [names[i] for i in logits.argmax(dim=1).tolist()]
    if task.layout != "record":
        return [Answer(label=label) for label in labels]
    positive = logits.softmax(dim=1)[:, names.index(next(iter(task.labels)))].tolist()
    return [Answer(label=label, confidence=share) for label, share in zip(labels, positive, strict=True)]


def predict(
    folder: Path,
    task: Task,
    rows: Sequence[Row],
    batch_tokens: int = 8192,
    done: Mapping[int, list[float]] = NONE,
    keep: Keep | None = None,
) -> list[Answer]:
    """What a fine-tuned encoder says of `rows`.

    Args:
        folder: the model that `train` wrote.
        task: the task that it was trained on, or one that is trained with it.
        rows: to be answered.
        batch_tokens, done, keep: see `outputs`.

    Raises:
        ConfigError: the folder holds no model, or one whose labels are not the task's.
    """
    if not (folder / "config.json").is_file():
        raise ConfigError(f"{folder}: holds no fine-tuned encoder (no config.json); was the run trained?")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    auto = AutoModelForMultipleChoice if task.head == "multiple-choice" else AutoModelForSequenceClassification
    model = auto.from_pretrained(folder).to(device()).eval()
    if task.head == "classification" and set(model.config.id2label.values()) != set(task.labels):
        known = ", ".join(model.config.id2label.values())
        raise ConfigError(f"{folder}: was trained on the labels {known}; task {task.name} has {', '.join(task.labels)}")
    read, shortened = items(task, rows, tokenizer)
    if shortened:
        warnings.warn(f"{task.name}: {shortened} of {len(rows)} rows were shortened to fit the encoder", stacklevel=2)
    return answers(model, task, outputs(model, read, tokenizer.pad_token_id, batch_tokens, done, keep))


@contextmanager
def open_answerer(asked: Asked) -> Iterator[Answerer]:
    """The run's fine-tuned encoder."""
    assert asked.trained is not None
    folder, journal = asked.trained / "model", asked.journal

    def answer(task: Task, rows: list[Row]) -> tuple[list[Answer], Shots]:
        part = f"{task.name}/test/outputs"
        return predict(folder, task, rows, done=journal.known(part), keep=partial(journal.add, part)), Shots()

    yield answer


def train(spec: RunSpec, data: Path, out: Path, checkpoint: Checkpoint = NOT_SAVED) -> dict[str, Any]:
    """Fine-tune a run's encoder: `out/model` and `out/history.jsonl`; returns the facts of its record.

    Exactly `settings.prompts` examples are seen in ceil(prompts / batch_size) optimiser steps. Every candidate
    learning rate starts from the same weights and sees the same plan; the best on validation is kept (the first of
    equals), and all are recorded under `candidates`. Training goes on from `checkpoint`, and is saved there.

    Raises:
        ConfigError: the mixture is more than one task, or rows are missing.
        Diverged: the loss stops being a number at every learning rate.
        Stopped: the process was asked to stop, and the state is saved.
    """
    settings = spec.settings
    assert isinstance(settings, Encoder)
    if len(spec.train_tasks) != 1:
        raise ConfigError(f"run {spec.address.path}: an encoder is fine-tuned on one task, not on {spec.mixture!r}")
    (task,) = spec.train_tasks
    torch.set_num_threads(spec.threads)
    transformers_logging.disable_progress_bar()
    tokenizer = load_tokenizer(spec.model_spec)
    tokenizer.padding_side = "right"
    tokenizer.model_max_length = spec.model_spec.max_length
    rows = {split: load_rows(data, task.name, split) for split in ("train", "validation")}
    for split, found in rows.items():
        if not found:
            raise ConfigError(f"{data / task.name / split}.jsonl: task {task.name} has no {split} rows")
    pool, shortened = items(task, rows["train"], tokenizer)
    held_out, _ = items(task, rows["validation"], tokenizer)
    pad = int(tokenizer.pad_token_id)  # type: ignore[arg-type]
    seen = draw([len(pool)], settings.prompts, spec.seed)
    batches = group([pool[i].length for i in seen], settings.batch_size, spec.seed)
    ordered = [pool[seen[i]] for batch in batches for i in batch]

    def validate(model: PreTrainedModel) -> float:
        found = answers(model, task, outputs(model.eval(), held_out, pad, spec.evaluation.batch_tokens))
        return main_score(task, rows["validation"], found, spec.protocol, data)

    def train_at(rate: float, folder: Path, state: Checkpoint) -> Candidate:
        model = load_encoder(spec, task)
        found = fit(spec, model, ordered, rate, lambda rows: collate(rows, pad), validate, folder, state)
        return found.at_the_cost_of(sum(len(part["input_ids"]) for item in ordered for part in item.parts))

    best = best_of(spec, train_at, out, "model", checkpoint)
    tokenizer.save_pretrained(out / "model")
    return {
        "optimiser_steps": len(batches),
        "prompts_seen": len(ordered),
        "rows_available": {task.name: len(pool)},
        "rows_shortened": shortened,
        **best.facts,
    }
