"""Supervised fine-tuning of a LoRA adapter on the answers: the baseline that PPO is compared with.

Prompt and gold answer are one sequence; the loss is the cross-entropy of the answer's tokens given all before them
(paper 1, section 2). Steps: 1. rows to token sequences, 2. a seeded plan of what is seen when, 3. TRL's SFTTrainer
over that plan, once for every candidate learning rate, 4. the best candidate on validation is kept.

Under `protocol.response: rationale` (method `sft-rationale`) the answer is the rationale and then the label (paper 2).
An answer ends with the closing tag and nothing is trained after it: generation stops there, and the release masks
the end-of-sequence token as well. A text has no tag: it is trained to end with the end token. A row's references are
learnt in turn, one whenever the plan comes to the row.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from datasets import Dataset, disable_progress_bars
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR
from transformers import PrinterCallback
from transformers.utils import logging as transformers_logging
from trl import SFTConfig, SFTTrainer

from ..answering.fit import cut_in_proportion, encode_gold, fit_prompts
from ..answering.generate import shared_prefix
from ..answering.validation import validation_score
from ..base.checkpoint import NOT_SAVED, Checkpoint
from ..base.errors import ConfigError
from ..config import Sft
from ..models.load import add_lora, device, encode_answer, load_backbone, load_tokenizer
from ..models.precision import compute_in_dtype
from ..tasks.prompts import Wording, answer_start, answer_text
from ..tasks.rows import load_rows, supervised_rows, with_rationales
from .batches import pick_states, read_prefix
from .candidates import Candidate, best_of
from .schedule import draw, group, rate_factor
from .trainer import LINES, Recorder, Resume

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from ..runs.spec import RunSpec
    from ..tasks.rows import Row
    from ..tasks.task import Task


@dataclass(frozen=True)
class Example:
    """A training sequence: `tokens` are prompt and answer, the first `prompt` of them are not trained."""

    tokens: list[int]
    prompt: int


def examples(spec: RunSpec, data: Path, tokenizer: PreTrainedTokenizerBase) -> tuple[list[list[list[Example]]], int]:
    """Training sequences of every task of the mixture and every row, and how many rows were shortened to fit the model.

    A row has one sequence, or one a reference where texts are answered.

    Raises:
        ConfigError: a task has no training rows, or one without a label.
    """
    pools, shortened = [], 0
    for task in spec.train_tasks:
        rows = load_rows(data, task.name, "train")
        if not rows:
            raise ConfigError(f"{data / task.name}/train.jsonl: task {task.name} has no training rows")
        if spec.protocol.response == "rationale":
            rows = with_rationales(data, task.name, "train", rows)
        if task.answer == "text":
            rows = supervised_rows(task, rows)
            gold = [[encode_gold(tokenizer, task, r, text, spec.protocol) for text in r.answers or []] for r in rows]
        else:
            answers = [answer_text(task, row.label, spec.protocol, rationale=row.rationale) for row in rows]
            start = answer_start(spec.protocol)
            tokens = {answer: encode_answer(tokenizer, answer, start) for answer in set(answers)}
            gold = [[tokens[answer]] for answer in answers]
        owners = [row for row, some in zip(rows, gold, strict=True) for _ in some]
        fit = fitting(tokenizer, task, owners, spec, [answer for some in gold for answer in some], "sft")
        made = iter(fit)
        pool = [[next(made) for _ in some] for some in gold]
        pools.append([[Example(prompt + answer, len(prompt)) for prompt, answer, _ in some] for some in pool])
        shortened += sum(any(cut for *_, cut in some) for some in pool)
    return pools, shortened


def take_in_turn(seen: Sequence[int], alternatives: Sequence[int]) -> list[int]:
    """Numbers of the sequences that a plan comes to, counted over all rows' alternatives: a row's in turn, whenever it is seen.

    Args:
        seen: numbers of rows, in the order of the plan.
        alternatives: how many sequences each row has.
    """
    first = [0, *accumulate(alternatives)]
    times: Counter[int] = Counter()
    order = []
    for row in seen:
        order.append(first[row] + times[row] % alternatives[row])
        times[row] += 1
    return order


def fitting(
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    rows: Sequence[Row],
    spec: RunSpec,
    answers: Sequence[list[int]],
    wording: Wording = "test",
) -> list[tuple[list[int], list[int], bool]]:
    """Prompt and answer of every row, in tokens that fit the model together, and whether something was cut off.

    The passage is shortened or, under `protocol.truncation: proportional`, prompt and answer are cut at the right.
    """
    longest = spec.model_spec.max_length
    if spec.protocol.truncation == "proportional":
        whole = fit_prompts(tokenizer, task, rows, spec.protocol, sys.maxsize, wording=wording)
        cut = [cut_in_proportion(p.tokens, a, longest) for p, a in zip(whole, answers, strict=True)]
        return [(*c, c[0] != p.tokens) for c, p in zip(cut, whole, strict=True)]
    prompts = fit_prompts(tokenizer, task, rows, spec.protocol, longest - max(map(len, answers)), wording=wording)
    return [(p.tokens, a, p.shortened) for p, a in zip(prompts, answers, strict=True)]


@dataclass(frozen=True)
class Collator:
    """Looks up planned examples and pads them on the right, where causal attention never looks.

    Tokens that all rows begin with (the task's instructions) are taken out as `prefix` where that spares enough
    work and nothing random (dropout) happens to them.
    """

    pool: list[Example]
    pad: int
    share: bool = True

    def __call__(self, rows: list[dict[str, int]]) -> dict[str, torch.Tensor]:
        """A micro-batch of R rows, T tokens and A answer tokens in all.

        input_ids (R, T): what is read; the last answer token, which predicts nothing, is left out.
        at (A,): the positions, counted through the flattened R x T, that predict an answer token; targets (A,): these tokens.
        prefix (1, P): tokens that come before all rows, or absent.
        """
        chosen = [self.pool[row["example"]] for row in rows]
        shared = len(shared_prefix([example.tokens[: example.prompt] for example in chosen])) if self.share else 0
        read = [example.tokens[shared:-1] for example in chosen]
        width = max(map(len, read))
        at = [
            row * width + position - shared - 1
            for row, example in enumerate(chosen)
            for position in range(example.prompt, len(example.tokens))
        ]
        batch = {
            "input_ids": torch.tensor([tokens + [self.pad] * (width - len(tokens)) for tokens in read]),
            "at": torch.tensor(at),
            "targets": torch.tensor([token for example in chosen for token in example.tokens[example.prompt :]]),
        }
        if shared:
            batch["prefix"] = torch.tensor([chosen[0].tokens[:shared]])
        return batch


class AnswerTrainer(SFTTrainer):
    """TRL's trainer with the head applied to labelled positions only, on any device, and shared instructions read once.

    On CPU, TRL 1.16 scores every position, which costs eightfold at a vocabulary of 32 000 (measured);
    it also computes entropy and accuracy, and counts parameters for a FLOP estimate, in each step.
    """

    loss_is_scaled_for_ga: bool | None = True  # type: ignore[assignment] # compute_loss divides by the tokens of the whole accumulated batch
    how = "constant"
    """Schedule of the learning rate."""

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        """Cross-entropy summed over a micro-batch's answer tokens, over the answer tokens of the whole batch.

        `inputs` are those of `Collator`.
        """
        decoder: Any = model.get_base_model()  # type: ignore[operator]
        prefix = inputs.get("prefix")
        with compute_in_dtype(decoder):
            past = None if prefix is None else read_prefix(decoder.base_model, prefix, len(inputs["input_ids"]))
            with pick_states(decoder, lambda states: states.flatten(0, 1)[None, inputs["at"]]):
                logits = model(input_ids=inputs["input_ids"], past_key_values=past, use_cache=past is not None).logits[
                    0
                ]
        count = len(inputs["targets"]) if num_items_in_batch is None else num_items_in_batch
        return functional.cross_entropy(logits.float(), inputs["targets"], reduction="sum") / count

    def _get_num_items_in_batch(self, batch_samples: list[dict[str, torch.Tensor]], device: torch.device) -> int:
        return sum(len(batch["targets"]) for batch in batch_samples)

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> LambdaLR:
        """The schedule of the protocol; transformers' own cosine spends its first step at a rate of zero."""
        optimiser: Any = optimizer or self.optimizer
        self._created_lr_scheduler = True
        # One more step is asked for, after the last update.
        self.lr_scheduler = LambdaLR(
            optimiser, lambda step: rate_factor(min(step, num_training_steps - 1), num_training_steps, self.how)
        )
        return self.lr_scheduler

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Not estimated: it walks over all parameters in every step."""
        return 0

    def _send_telemetry(self) -> None:
        return None


def arguments(spec: RunSpec, learning_rate: float, steps: int, out: Path) -> SFTConfig:
    """The trainer's settings: one pass over a plan that is already in order, nothing reported, nothing stored."""
    settings = spec.settings
    assert isinstance(settings, Sft)
    micro = settings.micro_batch_size or settings.batch_size
    return SFTConfig(
        output_dir=str(out),
        max_steps=steps,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=settings.batch_size // micro,
        learning_rate=learning_rate,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        optim="adamw_torch_fused",  # takes no square roots from MKL (`base.machine.KERNELS`)
        seed=spec.seed,
        train_sampling_strategy="sequential",
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,
        max_length=None,
        bf16=False,  # see `models.precision`
        gradient_checkpointing=False,
        use_cpu=device().type == "cpu",
        dataloader_pin_memory=False,
        logging_steps=max(1, steps // LINES),
        logging_nan_inf_filter=False,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )


def fit(
    spec: RunSpec,
    pool: list[Example],
    order: list[int],
    learning_rate: float,
    tokenizer: Any,
    data: Path,
    folder: Path,
    checkpoint: Checkpoint,
) -> Candidate:
    """Train one adapter at one learning rate, from scratch or from its checkpoint, and write it to `folder`."""
    settings = spec.settings
    assert isinstance(settings, Sft)
    policy = add_lora(load_backbone(spec.model_spec), settings.lora, spec.seed)
    recorder = Recorder(
        spec.method,
        len(order),
        settings.batch_size,
        lambda: validation_score(spec, policy, tokenizer, data),
        settings.evaluate_every,
    )
    resume = Resume(checkpoint, recorder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # TRL 1.16 uses names that transformers 5.23 has renamed
        trainer = AnswerTrainer(
            model=policy,
            args=arguments(spec, learning_rate, math.ceil(len(order) / settings.batch_size), folder),
            data_collator=Collator(pool, tokenizer.pad_token_id, share=settings.lora.dropout == 0),
            train_dataset=Dataset.from_dict({"example": resume.rest(order, settings.batch_size)}),
            processing_class=tokenizer,
            callbacks=[recorder],
        )
    trainer.how = spec.protocol.schedule
    trainer.remove_callback(PrinterCallback)
    resume.train(trainer)
    policy.save_pretrained(str(folder), save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)  # PEFT's empty model card
    return recorder.trained()


def train(spec: RunSpec, data: Path, out: Path, checkpoint: Checkpoint = NOT_SAVED) -> dict[str, Any]:
    """Train a run's adapter: `out/adapter` and `out/history.jsonl`; returns the facts of its record.

    Exactly `settings.prompts` examples are seen in ceil(prompts / batch_size) optimiser steps. Every candidate
    learning rate is trained from the same initial adapter on the same plan; the best on validation is kept (the
    first of equals), and all are recorded under `candidates`. Training goes on from `checkpoint`, and is saved there.

    Raises:
        ConfigError: rows are missing.
        Diverged: the loss stops being a number at every learning rate.
        Stopped: the process was asked to stop, and the state is saved.
    """
    settings = spec.settings
    assert isinstance(settings, Sft)
    torch.set_num_threads(spec.threads)
    disable_progress_bars()
    transformers_logging.disable_progress_bar()
    tokenizer = load_tokenizer(spec.model_spec)
    pools, shortened = examples(spec, data, tokenizer)
    rows = [row for one in pools for row in one]
    pool = [example for row in rows for example in row]
    seen = take_in_turn(draw([len(one) for one in pools], settings.prompts, spec.seed), [len(row) for row in rows])
    batches = group([len(pool[i].tokens) for i in seen], settings.batch_size, spec.seed)
    order = [seen[i] for batch in batches for i in batch]

    def train_at(rate: float, folder: Path, state: Checkpoint) -> Candidate:
        found = fit(spec, pool, order, rate, tokenizer, data, folder, state)
        return found.at_the_cost_of(sum(len(pool[i].tokens) for i in order))

    best = best_of(spec, train_at, out, "adapter", checkpoint)
    return {
        "optimiser_steps": len(batches),
        "prompts_seen": len(order),
        "tokens_answered": sum(len(pool[i].tokens) - pool[i].prompt for i in order),
        "rows_available": {task.name: len(one) for task, one in zip(spec.train_tasks, pools, strict=True)},
        "rows_shortened": shortened,
        **best.facts,
    }
