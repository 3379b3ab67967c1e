"""Supervised fine-tuning: our trainer beside TRL's `SFTTrainer`, whose subclass it is, in the same environment.

The same RTE rows, LoRA and optimiser; the loss is on the answers only. Equality comes first: plain SGD over the same
batches in the same order leads both to the same weights. Then real tokens (prompt and answer, no padding) a CPU-second,
of ours, of TRL's over our batches (rows of like length), and of TRL's as it comes (batches drawn blindly).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import measure
from ppo import LORA, begin, difference, flat, trained

BATCH = 16
SGD_RATE = 0.1

Job = dict[str, Any]
"""model: folder; rows: [tokens, tokens of its prompt]; order: rows as they are seen; optim: of transformers."""


def settings(job: Job) -> dict[str, Any]:
    """What both trainers are told; TRL's defaults would checkpoint (slower) and take bf16 (other numbers)."""
    return {
        "max_steps": len(job["order"]) // BATCH, "per_device_train_batch_size": BATCH, "optim": job["optim"],
        "learning_rate": SGD_RATE if job["optim"] == "sgd" else 1e-4, "lr_scheduler_type": "constant",
        "weight_decay": 0.0, "max_grad_norm": 1.0, "bf16": False, "gradient_checkpointing": False, "use_cpu": True,
        "dataloader_pin_memory": False, "save_strategy": "no", "report_to": "none", "disable_tqdm": True,
        "remove_unused_columns": False, "max_length": None, "logging_steps": 10,
    }  # fmt: skip


def adapted(job: Job) -> Any:
    """The backbone with the adapter that all sides begin with."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    backbone = AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32)
    model = get_peft_model(backbone, LoraConfig(**LORA, task_type="CAUSAL_LM"))
    begin(trained(model))
    return model


def train(trainer: Any, clock: measure.Clock, job: Job) -> dict[str, Any]:
    """Trains; the first batch warms up and is not timed."""
    from transformers import TrainerCallback

    class Start(TrainerCallback):
        def on_step_begin(self, _: Any, state: Any, __: Any, **___: Any) -> None:
            if state.global_step == 1:
                clock.__enter__()

    trainer.add_callback(Start())
    before = flat(trained(trainer.model)) if job["optim"] == "sgd" else []
    trainer.train()
    clock.__exit__()
    after = flat(trained(trainer.model)) if job["optim"] == "sgd" else []
    return {"tokens": sum(len(job["rows"][n][0]) for n in job["order"][BATCH:]), "before": before, "after": after}


def ours(job: Job, clock: measure.Clock) -> dict[str, Any]:
    """`sft.AnswerTrainer` over `sft.Collator`, as `sft.fit` puts them together."""
    from datasets import Dataset
    from transformers import PreTrainedTokenizerFast
    from trl import SFTConfig

    from rl4nlu.methods.sft import AnswerTrainer, Collator, Example

    tokenizer = PreTrainedTokenizerFast.from_pretrained(job["model"])
    with tempfile.TemporaryDirectory() as folder:
        trainer = AnswerTrainer(
            model=adapted(job),
            args=SFTConfig(
                output_dir=folder,
                train_sampling_strategy="sequential",
                dataset_kwargs={"skip_prepare_dataset": True},
                **settings(job),
            ),
            data_collator=Collator([Example(tokens, start) for tokens, start in job["rows"]], tokenizer.pad_token_id),
            train_dataset=Dataset.from_dict({"example": job["order"]}),
            processing_class=tokenizer,
        )
        return train(trainer, clock, job)


def peer(job: Job, clock: measure.Clock, sampling: str = "sequential") -> dict[str, Any]:
    """`SFTTrainer` on rows that are tokenised already, over the batches of our plan."""
    from datasets import Dataset
    from transformers import PreTrainedTokenizerFast
    from trl import SFTConfig, SFTTrainer

    rows = [job["rows"][n] for n in job["order"]]
    masks = [[0] * start + [1] * (len(tokens) - start) for tokens, start in rows]
    with tempfile.TemporaryDirectory() as folder:
        trainer = SFTTrainer(
            model=adapted(job),
            args=SFTConfig(
                output_dir=folder,
                train_sampling_strategy=sampling,
                completion_only_loss=True,
                **settings(job),
            ),
            train_dataset=Dataset.from_dict({"input_ids": [tokens for tokens, _ in rows], "completion_mask": masks}),
            processing_class=PreTrainedTokenizerFast.from_pretrained(job["model"]),
        )
        return train(trainer, clock, job)


def blind(job: Job, clock: measure.Clock) -> dict[str, Any]:
    """`SFTTrainer` as it comes: it draws batches at random."""
    return peer(job, clock, "random")


SIDES = {"ours": ours, "peer": peer, "blind": blind}
NAMES = {"ours": "ours", "peer": "TRL 1.16, our batches", "blind": "TRL 1.16, its own batches"}


def sequences(model: Path, data: Path, count: int) -> list[tuple[list[int], int]]:
    """RTE's first training rows as (tokens of prompt and answer, tokens of the prompt)."""
    from rl4nlu.config import Model, Protocol
    from rl4nlu.models.load import encode_answer, encode_prompts, load_tokenizer
    from rl4nlu.tasks.prompts import answer_text, write_prompt
    from rl4nlu.tasks.reading import OPEN_TAG

    protocol = Protocol.model_validate({})
    task, rows = measure.rows("rte", data, "train")
    tokenizer = load_tokenizer(Model(kind="decoder", path=str(model)))
    found = encode_prompts(
        tokenizer, [write_prompt(task, row.fields, (), protocol, wording="sft").text for row in rows[:count]]
    )
    answers = [encode_answer(tokenizer, answer_text(task, row.label, protocol), OPEN_TAG) for row in rows[:count]]
    return [(prompt + answer, len(prompt)) for prompt, answer in zip(found, answers, strict=True)]


def job_of(name: measure.Shape | str, data: Path, batches: int) -> Job:
    """Rows of `batches` batches, in the order that our workflow would see them."""
    from rl4nlu.methods.schedule import group

    model = measure.model(name, data)
    rows = sequences(model, data, batches * BATCH)
    order = [n for batch in group([len(tokens) for tokens, _ in rows], BATCH, 0) for n in batch]
    return {"model": str(model), "rows": rows, "order": order, "optim": "adamw_torch"}


def timed(job: Job, repeats: int) -> dict[str, dict[str, float]]:
    """What each side costs: real tokens a CPU-second, and peak memory.

    The batch that `blind` warms up with is a random one, so what it trains on afterwards counts as average rows.
    """
    costs = {}
    mean = sum(len(tokens) for tokens, _ in job["rows"]) / len(job["rows"])
    for side, runs in measure.alternate(__file__, dict.fromkeys(SIDES, sys.executable), job, repeats).items():
        cost = measure.cost(runs)
        tokens = runs[0].results["tokens"] if side != "blind" else mean * (len(job["order"]) - BATCH)
        costs[side] = {"tokens": tokens / cost["work"], **{key: cost[key] for key in ("peak", "work", "least", "most")}}
    return costs


def compare(arguments: argparse.Namespace) -> None:
    """Equality on both models, then what each side costs."""
    jobs = {name: job_of(name, arguments.data, 3 if arguments.quick else 5) for name in ("rand_32k", "rand_small")}
    differences, record, lines = {}, {}, []
    for name, job in jobs.items():
        step = {**job, "order": job["order"][: 3 * BATCH], "optim": "sgd"}
        mine, theirs = (measure.run(__file__, side, sys.executable, step).results for side in ("ours", "peer"))
        moved = difference(mine["after"], mine["before"])
        measure.note(f"  {name}: three SGD steps move weights by up to {moved:.3g}")
        differences[f"{name}: weights after three SGD steps"] = (difference(mine["after"], theirs["after"]), 1e-6)
    equalities = measure.equal(differences)
    for name, job in jobs.items():
        record[name] = costs = timed(job, arguments.repeats)
        for side, cost in costs.items():
            ratio = f"{costs['ours']['tokens'] / cost['tokens']:.2f}×"
            lines.append({
                "model": name, "vocabulary": measure.SHAPES[name].vocabulary, "side": NAMES[side],
                "real tokens per CPU-second": cost["tokens"],
                "ours is faster": ratio + (" (goal 3×)" if name == "rand_32k" and side != "ours" else ""),
                "peak memory, MB": cost["peak"], "ours uses": f"{costs['ours']['peak'] / cost['peak']:.2f}",
            })  # fmt: skip
    text = "SFT: batches of 16 RTE rows, LoRA r16 on q and v, AdamW, loss on the answers\n\n" + measure.table(lines)
    measure.save("sft", {"equality": equalities, "models": record}, text, arguments.quick)


if __name__ == "__main__":
    measure.main(__doc__, compare, SIDES)
