"""Seconds per step on a GPU: SFT, PPO and GRPO of a 7B model, ours beside TRL 1.16's `SFTTrainer` and `GRPOTrainer`.

    python benchmarks/gpu.py                # needs a CUDA device; ours takes 29 to 34 GB by the planner
    python benchmarks/gpu.py --tiny         # all of it with a tiny model, on a CPU if need be; nothing is kept

Not yet run on a CUDA device: only `--tiny` on a CPU. There, peak memory and share of the chip's rate stay empty.

Models are Llama-2-7B and Qwen2.5-7B by shape (`resources/planning.yaml`), with random weights in bfloat16 made on the
device; LoRA r16 on q and v. Batches are of 16 answers, as in paper 1's Table 3 (SFT 4.124, PPO 4.299, GRPO 5.155 seconds a
step on one A100, gradient checkpointing on; its answers' lengths, and GRPO's settings, are not stated). A *step* is one
batch with all that belongs to it: for SFT an update; for PPO 16 answers, their rewards and four updates (as released); for
GRPO four answers to each of four prompts, their rewards and one update (TRL's default).

Prompts are random tokens, of which as many are shared by all as in RTE's, in the lengths of RTE's; so no data is needed.
A random model ends an answer by chance only, so answers are as long as allowed, on both sides.

TRL runs twice: told what ours does (no gradient checkpointing), and as it comes; a side that runs out of memory is reported
so. TRL 1.16 has no PPO any more; `ppo.py` compares with versions that had. That both sides compute the same is shown by
`ppo.py`, `sft.py` and `grpo.py` in float32, where rounding leaves something to compare.

Columns. Tokens: of prompts and answers, padding not counted. Share of the bf16 rate: the FLOPs that a step needs
(`plan.tuning`, `plan.optimising`: instructions read once, logits at answers only, nothing recomputed), the same for both
sides, over its seconds and the chip's dense rate. Peak: of CUDA's allocator from the second step on, and the planner's
estimate of ours with its error.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import measure
from ppo import judged

if TYPE_CHECKING:
    from rl4nlu.planner.estimate import Estimate
    from rl4nlu.runs.spec import RunSpec

LENGTHS = (114, 120, 125, 128, 132, 135, 138, 141, 145, 149, 154, 164, 183, 206, 226, 258)
SHARED = 75
NEW = 8
"""Tokens of the 2,490 prompts of RTE's training file (16 evenly spaced quantiles; mean 158), of what they begin with, and of
" Yes </Judgement>"; by a 32,000-entry BPE tokenizer that was trained on the GLUE and SuperGLUE files (`measure.save_tokenizer`)."""

BATCH, GROUP, RATE = 16, 4, 1e-4
EPOCHS = {"sft": 1, "ppo": 4, "grpo": 1}
KL = {"ppo": 0.2, "grpo": 0.04}

PEAKS = {"A100": 312.0, "H100": 989.0, "H200": 989.0}
"""TFLOP/s in bfloat16, dense, of the SXM modules (NVIDIA's data sheets), by a part of the device's name."""

MODELS = {"Llama-2-7B": "daryl149/llama-2-7b-chat-hf", "Qwen2.5-7B": "Qwen/Qwen2.5-7B-Instruct"}
"""Name -> entry of `resources/planning.yaml`."""

TINY = {
    "model_type": "qwen2", "hidden_size": 64, "intermediate_size": 172, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 512, "tie_word_embeddings": False,
}  # fmt: skip

SIDES = {"ours": "ours", "told": "TRL 1.16, no checkpointing", "plain": "TRL 1.16 as it comes"}

Job = dict[str, Any]
"""method: sft, ppo or grpo; config: of the model; steps: that are timed, after one that warms up."""


# 1. What the sides share ---------------------------------------------------------------------------------------------


class Meter:
    """Wall seconds between `start` and `stop`, the device's work awaited at both, and its allocator's peak in between."""

    def __init__(self) -> None:
        import torch

        self.cuda = torch.cuda if torch.cuda.is_available() else None
        self.started = 0.0

    def start(self) -> None:
        """After the warm-up step."""
        if self.cuda:
            self.cuda.synchronize()
            self.cuda.reset_peak_memory_stats()
        self.started = time.perf_counter()

    def stop(self, job: Job) -> dict[str, Any]:
        """The side's results: seconds a step, peak bytes and device (None without CUDA)."""
        if self.cuda:
            self.cuda.synchronize()
        seconds = (time.perf_counter() - self.started) / job["steps"]
        peak, device = (self.cuda.max_memory_allocated(), self.cuda.get_device_name()) if self.cuda else (None, None)
        return {"seconds": seconds, "peak": peak, "device": device}

    def callback(self) -> Any:
        """Starts when a trainer's first step has ended."""
        from transformers import TrainerCallback

        class Start(TrainerCallback):
            def on_step_end(self, _: Any, state: Any, __: Any, **___: Any) -> None:
                if state.global_step == 1:
                    meter.start()

        meter = self
        return Start()


def backbone(job: Job) -> Any:
    """A decoder of the job's shape with random weights in bfloat16, made on the device."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from rl4nlu.models.load import device

    values = {key: value for key, value in job["config"].items() if key not in ("source", "model_type")}
    config = AutoConfig.for_model(
        job["config"]["model_type"], **values, max_position_embeddings=4096, bos_token_id=0, eos_token_id=1, pad_token_id=2
    )  # fmt: skip
    torch.manual_seed(0)
    with torch.device(device()):
        return AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).eval()


def words(job: Job) -> Any:
    """A tokenizer whose tokens are words, so that random tokens survive being written as text (TRL's GRPO takes text)."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    known = {"<s>": 0, "</s>": 1, "<pad>": 2} | {f"t{n}": n for n in range(3, job["config"]["vocab_size"])}
    core = Tokenizer(models.WordLevel(known, unk_token="<s>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", pad_token="<pad>", padding_side="left"
    )


def lengths(method: str, step: int) -> list[int]:
    """Tokens of a step's prompts: 16, or for GRPO four, which differ from step to step and are all 16 after four."""
    return list(LENGTHS[step % GROUP :: GROUP]) if method == "grpo" else list(LENGTHS)


def batches(job: Job) -> list[list[list[int]]]:
    """Prompts (token ids) of every step, the one that warms up first."""
    rng, vocabulary = random.Random(0), job["config"]["vocab_size"]

    def drawn(count: int) -> list[int]:
        return [rng.randrange(3, vocabulary) for _ in range(count)]

    shared = drawn(SHARED)
    return [[shared + drawn(n - SHARED) for n in lengths(job["method"], step)] for step in range(job["steps"] + 1)]


def rows(job: Job) -> list[tuple[list[int], int]]:
    """SFT's rows in their order: prompt and answer, and the number of the prompt's tokens."""
    rng, vocabulary = random.Random(1), job["config"]["vocab_size"]
    prompts = [prompt for batch in batches(job) for prompt in batch]
    return [(prompt + [rng.randrange(3, vocabulary) for _ in range(NEW)], len(prompt)) for prompt in prompts]


def spec_of(job: Job, steps: int) -> RunSpec:
    """The run of our workflow that the job stands for, of so many steps."""
    from rl4nlu.config import Model, load_config
    from rl4nlu.runs.resolve import resolve
    from rl4nlu.runs.spec import Address
    from rl4nlu.tasks.task import load_tasks

    method = job["method"]
    prompts = BATCH // GROUP if method == "grpo" else BATCH
    values: dict[str, Any] = {"prompts": prompts * steps, "batch_size": prompts, "learning_rates": [RATE]}
    if method != "sft":
        values |= {
            "minibatch_size": BATCH, "epochs": EPOCHS[method], "max_new_tokens": NEW, "kl_coefficient": KL[method]
        }  # fmt: skip
    if method == "grpo":
        values["group_size"] = GROUP
    model = Model(kind="decoder", path="random", dtype="bfloat16", max_length=4096)
    address = Address("random", method, "rte", "main", 0)
    return resolve(load_config({method: values}), {"random": model}, load_tasks(), address, ["rte"])


# 2. Ours -------------------------------------------------------------------------------------------------------------


def ours(job: Job, _: measure.Clock) -> dict[str, Any]:
    """The job's method as the workflow runs it."""
    return our_sft(job) if job["method"] == "sft" else our_roll_outs(job)


def our_sft(job: Job) -> dict[str, Any]:
    """`sft.AnswerTrainer`, put together as in `sft.fit`."""
    from datasets import Dataset

    from rl4nlu.methods.sft import AnswerTrainer, Collator, Example, arguments
    from rl4nlu.models.load import add_lora

    steps, meter, tokenizer = job["steps"] + 1, Meter(), words(job)
    spec, pool = spec_of(job, steps), [Example(*row) for row in rows(job)]
    with tempfile.TemporaryDirectory() as folder:
        trainer = AnswerTrainer(
            model=add_lora(backbone(job), spec.settings.lora, 0),  # type: ignore[union-attr]
            args=arguments(spec, RATE, steps, Path(folder)),
            data_collator=Collator(pool, tokenizer.pad_token_id),
            train_dataset=Dataset.from_dict({"example": list(range(len(pool)))}),
            processing_class=tokenizer,
            callbacks=[meter.callback()],
        )
        trainer.train()
        return meter.stop(job)


def our_roll_outs(job: Job) -> dict[str, Any]:
    """`ppo.optimise`, put together as in `ppo.train`, with PPO's objective or GRPO's."""
    from rl4nlu.methods.rl.grpo import GRPO
    from rl4nlu.methods.rl.loop import optimise
    from rl4nlu.methods.rl.policy import Policy, ValueHead
    from rl4nlu.methods.rl.ppo import PPO
    from rl4nlu.methods.rl.rollout import Judgement, Prompt, Sampler
    from rl4nlu.models.load import add_lora
    from rl4nlu.tasks.rows import Row

    spec, meter = spec_of(job, job["steps"]), Meter()
    settings: Any = spec.settings
    network = backbone(job)
    head = ValueHead(network.config.hidden_size).to(network.device) if job["method"] == "ppo" else None
    policy = Policy(add_lora(network, settings.lora, 0).eval(), head)
    sample = Sampler(spec, policy, words(job))

    def run(steps: list[list[list[int]]]) -> None:
        (task,) = spec.train_tasks
        asked: Any = [
            Prompt(task, Row("row", {}, None), tokens)
            for batch in steps
            for tokens in batch
            for _ in range(settings.answers)
        ]
        objective = GRPO if job["method"] == "grpo" else PPO
        optimise(
            policy,
            asked,
            sample,
            lambda answers: Judgement(judged(answers.responses), 0.0),
            settings,
            RATE,
            seed=0,
            objective=objective,
        )

    first, *others = batches(job)
    run([first])
    meter.start()
    run(others)
    return meter.stop(job)


# 3. TRL 1.16 ---------------------------------------------------------------------------------------------------------


def told(job: Job, _: measure.Clock) -> dict[str, Any]:
    """TRL's trainer without gradient checkpointing, as ours."""
    return theirs(job, {"gradient_checkpointing": False})


def plain(job: Job, _: measure.Clock) -> dict[str, Any]:
    """TRL's trainer with its defaults: gradient checkpointing."""
    return theirs(job, {})


def theirs(job: Job, more: dict[str, Any]) -> dict[str, Any]:
    """`SFTTrainer` or `GRPOTrainer`, in bfloat16 as by default, on the same rows or prompts in the same order."""
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

    from rl4nlu.models.load import device, lora_config

    meter, tokenizer, steps = Meter(), words(job), job["steps"] + 1
    lora: Any = spec_of(job, steps).settings
    with tempfile.TemporaryDirectory() as folder:
        settings: dict[str, Any] = {
            "output_dir": folder, "max_steps": steps, "per_device_train_batch_size": BATCH, "learning_rate": RATE,
            "lr_scheduler_type": "constant", "use_cpu": device().type == "cpu", "save_strategy": "no", "report_to": "none",
            "disable_tqdm": True, **more,
        }  # fmt: skip
        parts: dict[str, Any] = {
            "model": backbone(job), "processing_class": tokenizer, "peft_config": lora_config(lora.lora),
            "callbacks": [meter.callback()],
        }  # fmt: skip
        trainer: Any
        if job["method"] == "sft":
            seen = rows(job)
            masks = [[0] * start + [1] * (len(tokens) - start) for tokens, start in seen]
            trainer = SFTTrainer(
                args=SFTConfig(
                    completion_only_loss=True, max_length=None, train_sampling_strategy="sequential", **settings
                ),
                train_dataset=Dataset.from_dict(
                    {"input_ids": [tokens for tokens, _ in seen], "completion_mask": masks}
                ),
                **parts,
            )
        else:
            prompts = [prompt for batch in batches(job) for prompt in batch]
            texts = [tokenizer.decode(prompt) for prompt in prompts]
            assert tokenizer(texts[0])["input_ids"] == prompts[0]

            def reward(completion_ids: list[list[int]], **_: Any) -> list[float]:
                return judged(completion_ids)

            trainer = GRPOTrainer(
                reward_funcs=reward,
                args=GRPOConfig(
                    num_generations=GROUP, num_iterations=EPOCHS["grpo"], max_completion_length=NEW, beta=KL["grpo"],
                    temperature=1.0, top_p=1.0, top_k=0, shuffle_dataset=False, **settings,
                ),
                train_dataset=Dataset.from_dict({"prompt": texts}),
                **parts,
            )  # fmt: skip
        trainer.train()
        return meter.stop(job)


# 4. The comparison ---------------------------------------------------------------------------------------------------


def planned(job: Job) -> Estimate:
    """The planner's estimate of one step of ours on a GPU: peak memory and FLOPs, validation left out."""
    from rl4nlu.planner.costs import Machine
    from rl4nlu.planner.estimate import estimate_policy_optimisation, estimate_sft
    from rl4nlu.planner.lengths import Lengths
    from rl4nlu.planner.shapes import read_shape

    spec, shape = spec_of(job, 1), read_shape(job["config"])
    assert shape is not None
    known = Lengths(SHARED, statistics.mean(LENGTHS), max(LENGTHS), NEW, train=BATCH, validation=0, test=0)
    estimate: Any = estimate_sft if job["method"] == "sft" else estimate_policy_optimisation
    return estimate(spec, shape, spec.settings, [known], Machine(gpu=True))  # type: ignore[no-any-return]


def measured(job: Job, repeats: int) -> dict[str, dict[str, Any] | None]:
    """Median seconds a step, and largest peak, of every side; None for one that ran out of the device's memory."""
    sides = [side for side in SIDES if side == "ours" or job["method"] != "ppo"]
    found: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    lost = set()
    for repeat in range(repeats):
        for side in sides[:: 1 if repeat % 2 == 0 else -1]:
            if side in lost:
                continue
            try:
                found[side].append(measure.run(__file__, side, sys.executable, job).results)
            except RuntimeError as error:
                if "OutOfMemoryError" not in str(error):
                    raise
                lost.add(side)
                measure.note(f"  {job['method']}, {side}: out of memory")
                continue
            measure.note(
                f"  {job['method']}, {side}, repeat {repeat + 1}: {found[side][-1]['seconds']:.3f} seconds a step"
            )

    def cost(runs: list[dict[str, Any]]) -> dict[str, Any]:
        seconds = [run["seconds"] for run in runs]
        peak = max((run["peak"] for run in runs if run["peak"] is not None), default=None)
        return {
            "seconds": statistics.median(seconds), "least": min(seconds), "most": max(seconds), "peak": peak,
            "device": runs[0]["device"],
        }  # fmt: skip

    return {side: None if side in lost else cost(runs) for side, runs in found.items()}


def line(name: str, job: Job, side: str, costs: dict[str, Any], estimate: Estimate, rate: float) -> dict[str, Any]:
    """A line of the table; `rate`: FLOPs a second of the chip, 0 where it is not known."""
    cost, mine = costs[side], costs["ours"]
    steps = range(1, job["steps"] + 1)
    answers = GROUP if job["method"] == "grpo" else 1
    tokens = statistics.mean(sum((n + NEW) * answers for n in lengths(job["method"], step)) for step in steps)
    peak, plan = cost and cost["peak"], estimate.memory.total if side == "ours" else 0.0
    return {
        "model": name,
        "method": job["method"].upper(),
        "side": SIDES[side],
        "seconds a step": cost["seconds"] if cost else "out of memory",
        "ours is faster": f"{cost['seconds'] / mine['seconds']:.2f}×" if cost and mine else "",
        "tokens a second": tokens / cost["seconds"] if cost else "",
        "share of the bf16 rate": f"{estimate.work.flops / cost['seconds'] / rate:.1%}" if cost and rate else "",
        "peak, GB": peak / 1e9 if peak else "",
        "planned, GB": plan / 1e9 if plan else "",
        "error of the plan": f"{plan / peak - 1:+.0%}" if plan and peak else "",
    }


def compare(arguments: argparse.Namespace) -> None:
    """Every model, method and side in turn; then the table."""
    from rl4nlu.base.machine import claim_device
    from rl4nlu.planner.shapes import read_planning

    claim_device()  # one GPU for all sides: on several, transformers' trainer would enlarge the batch
    import torch

    if not arguments.tiny and not torch.cuda.is_available():
        raise measure.Absent("no CUDA device, and 7B models are measured on one (--tiny tries every side on a CPU)")
    models = {name: read_planning()["models"][path] for name, path in MODELS.items()}
    steps, repeats = (GROUP, arguments.repeats) if arguments.quick else (4 * GROUP, arguments.repeats)
    if arguments.tiny:
        models, steps, repeats = {"tiny": TINY}, 1, 1
    lines, record, device = [], {}, "CPU"
    for name, config in models.items():
        for method in EPOCHS:
            measure.note(f"{name}, {method}")
            job = {"method": method, "config": config, "steps": steps}
            estimate, costs = planned(job), measured(job, repeats)
            device = next((cost["device"] for cost in costs.values() if cost and cost["device"]), device)
            peak = arguments.peak or next((rate for chip, rate in PEAKS.items() if chip in device), 0.0)
            lines += [line(name, job, side, costs, estimate, peak * 1e12) for side in costs]
            record[f"{name}, {method}"] = {
                "costs": costs, "planned_bytes": estimate.memory.total, "planned_parts": vars(estimate.memory),
                "flops_a_step": estimate.work.flops, "chip_tflops": peak or None,
            }  # fmt: skip
    rate = f"{peak:g} TFLOP/s in bf16" if peak else "rate in bf16 not known: give --peak"
    title = f"{device} ({rate}): batches of 16 answers of {NEW} tokens to prompts of RTE's lengths, LoRA r16 on q and v"
    text = f"{title}\n\n{measure.table(lines)}"
    measure.save("gpu", {"device": device, "steps": steps, "models": record}, text, arguments.quick or arguments.tiny)


if __name__ == "__main__":
    peaks = ", ".join(f"{chip} {rate:g}" for chip, rate in PEAKS.items())
    options: dict[str, dict[str, Any]] = {
        "--tiny": {"action": "store_true", "help": "a tiny model, on a CPU if need be; results are not kept"},
        "--peak": {
            "type": float,
            "help": f"the chip's dense bf16 rate in TFLOP/s (default: by the device's name: {peaks})",
        },
    }
    measure.main(__doc__, compare, {"ours": ours, "told": told, "plain": plain}, options)
