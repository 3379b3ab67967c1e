"""What a config costs before anything is submitted: memory, FLOPs, hours and disk of every run, and a job's resources.

`python -m rl4nlu plan --configfile config/paper.yaml` prints it; the rules' `mem_mb`, `runtime` and `gpu` come from here.
An estimate is made of the model's shape (`shapes`), of lengths (prepared rows where they exist, else typical rows of
`resources/planning.yaml`) and of the settings (`costs`). No torch. What is unknown stays unknown.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any, Literal

from ..base.files import REPOSITORY, read_json
from ..config import (
    Encoder,
    Lora,
    Model,
    Pairs,
    PolicyOptimisation,
    Prompting,
    Protocol,
    RewardEncoder,
    RewardModel,
    Sft,
)
from ..methods.batches import cost_apart
from ..runs.spec import RunSpec
from ..tasks.prepare import MOST_CARVED
from ..tasks.prompts import answer_text, write_prompt
from ..tasks.rows import Row
from ..tasks.task import Task
from .costs import (
    LOSS_LOGITS,
    POLICY_LOGITS,
    Machine,
    Memory,
    Piece,
    Work,
    asking_memory,
    asking_work,
    encoding_memory,
    encoding_work,
    reading_work,
    tuning_memory,
    tuning_work,
)
from .shapes import BYTES, Shape, lora_parameters, parameters, planning, shape_of

CHARACTERS_PER_TOKEN = 3.5
"""Of English prompts, where the model's tokenizer is not on disk: assumed, a little below what 32,000-token vocabularies
reach on prose, so that memory is over- rather than underestimated."""

SAMPLE = 100
"""Rows of a task that are counted evenly, and a tenth as many of its longest ones."""

EMBEDDED = 60e6
"""Parameters up to which a float32 model is meant for the CPU; larger ones take a GPU."""


@dataclass(frozen=True)
class Device:
    """The machine that hours and limits are stated for; defaults: one NVIDIA A100 80 GB (its data sheet), shares assumed.

    memory: of one GPU, GB of 1e9 bytes. flops, float32: its rates in bfloat16 and float32 (TF32 off). bandwidth: bytes
    a second. share: of the rate that matrix products reach; decoding reaches the same share of the bandwidth.
    """

    memory: float = 80e9
    flops: float = 312e12
    float32: float = 19.5e12
    bandwidth: float = 2.039e12
    share: float = 0.35


# Measured on one core (x86_64, torch 2.13, one thread; the host was shared with other work):
CPU_FLOPS = 30e9
"""FLOPs a second of the embedded models; fitted to cpu_seconds in run.json of twelve embedded runs, as the two below."""
CPU_LAYER = 0.3e-3
"""Seconds that a layer costs whatever its size: calls, small operators."""
CPU_START = {"plain": 1.0, "ask": 5.0, "ppo": 6.0, "sft": 6.0, "encoder": 6.0}
"""CPU seconds of imports, loading and writing of one job."""
CPU_BASE = {"plain": 120e6, "ask": 430e6, "ppo": 470e6, "sft": 540e6, "encoder": 500e6}
"""Resident bytes of a job's process before its model: Python, torch, transformers, scikit-learn, and for SFT TRL;
benchmarks/plan_memory.py, smallest model."""
CPU_HEAP = {"plain": 1.0, "ask": 1.3, "ppo": 1.9, "sft": 1.6, "encoder": 1.6}
"""Resident bytes a byte of activations, logits and cache: glibc keeps the freed ones in pieces. Fitted to
benchmarks/plan_memory.py, `encoder` taken from `sft`; the tensors alone are within 16 % of what torch allocates."""

CPU_MACHINE = "one core of x86_64 with 2 cores, torch 2.13, one thread; rates measured by benchmarks/plan_memory.py"

GPU_START = 120.0
"""Seconds of imports, loading and writing of a job with a GPU (assumed)."""
GPU_OVERHEAD = 1.0e9
"""Bytes of the CUDA context, its libraries' workspaces and the allocator's fragments (assumed)."""
HOST_BASE = 4e9
"""Resident bytes on the host of a process with CUDA (assumed); a model passes through host memory when it is loaded."""


# 1. Lengths ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lengths:
    """Tokens of a task's prompts: those that all share, on average, and of the longest; of its answers; and rows a split."""

    shared: int
    mean: float
    long: int
    answer: int
    train: int
    validation: int
    test: int


@cache
def counter(model: Model) -> Callable[[str], int]:
    """Counts a text's tokens: by the model's tokenizer where its folder is on disk, else by its characters."""
    file = REPOSITORY / model.path / "tokenizer.json"
    if file.is_file():
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(file))
        return lambda text: len(tokenizer.encode(text).ids)
    return lambda text: ceil(len(text) / CHARACTERS_PER_TOKEN)


def rows_on_disk(folder: Path) -> tuple[list[Row], list[Row], dict[str, int]] | None:
    """Rows of a prepared task drawn evenly, its longest ones, and the number of rows of every split; None: not prepared."""
    if not (folder / "record.json").is_file():
        return None
    counts: dict[str, int] = read_json(folder / "record.json")["rows"]
    split = "train" if counts["train"] else "test"
    with (folder / f"{split}.jsonl").open(encoding="utf-8") as handle:
        lines = handle.readlines()

    def parsed(chosen: Sequence[str]) -> list[Row]:
        return [Row(**json.loads(line)) for line in chosen]

    longest = sorted(lines, key=len)[-SAMPLE // 10 :]
    return parsed(lines[:: max(1, len(lines) // SAMPLE)]), parsed(longest), counts


def lengths_of(
    task: Task, model: Model, protocol: Protocol, data: Path, caps: tuple[int | None, int, int | None]
) -> Lengths:
    """Lengths of a task as a model reads it; `caps`: train, validation and test rows that the config allows.

    An encoder reads the row's fields, everything else the prompt.
    """
    count = counter(model)
    encoder = model.kind == "encoder"
    reason = "because" if protocol.response == "rationale" else None
    words = [answer_text(task, label, protocol, "test", reason) for label in task.labels] or [
        f" {task.high:.1f} </Judgement>"
    ]
    answer = max(map(count, words))

    def written(row: Row) -> str:
        return " ".join(row.fields.values()) if encoder else write_prompt(task, row.fields, (), protocol).text

    shared = 0
    if not encoder:  # instructions, and the question up to its first field
        one, other = (written(Row("", dict.fromkeys(task.fields, letter), None)) for letter in "ab")
        shared = count(one[: next(n for n, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)])
    found = rows_on_disk(data / task.name)
    if found:
        evenly, longest, counts = found
        mean = sum(count(written(row)) for row in evenly) / len(evenly)
        long = max(count(written(row)) for row in longest)
    else:
        typical = planning()["tasks"].get(task.name, planning()["tasks"]["default"])
        frame = written(Row("", dict.fromkeys(task.fields, ""), None))
        mean = count(frame) + typical["mean"] / CHARACTERS_PER_TOKEN
        long = ceil(count(frame) + typical["long"] / CHARACTERS_PER_TOKEN)
        train, most, test = caps
        carved = min(most, typical["train"] // MOST_CARVED)
        counts = {
            "train": min(typical["train"] - carved, train or typical["train"]),
            "validation": carved,
            "test": min(typical["test"], test or typical["test"]),
        }
    room = model.max_length - (0 if encoder else answer)
    return Lengths(shared, min(mean, room), min(long, room), answer, **counts)


# 2. A run --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Estimate:
    """What one job costs. `memory` is its tensors' peak on the device that it runs on."""

    gpu: bool
    memory: Memory
    work: Work
    disk: float
    base: str

    @property
    def device_bytes(self) -> float:
        """Peak of GPU memory, or of resident memory on a CPU."""
        if self.gpu:
            return self.memory.total + GPU_OVERHEAD
        fixed = self.memory.weights + self.memory.trained
        return CPU_BASE[self.base] + fixed + CPU_HEAP[self.base] * (self.memory.total - fixed)

    @property
    def host_bytes(self) -> float:
        """Peak of resident memory on the host."""
        return HOST_BASE + self.memory.weights if self.gpu else self.device_bytes

    def seconds(self, device: Device, dtype: str = "bfloat16") -> float:
        """Expected duration of the job: on a GPU of `device`, or at one thread of the measured CPU."""
        if not self.gpu:
            return CPU_START[self.base] + self.work.layers * CPU_LAYER + self.work.flops / CPU_FLOPS
        rate = device.flops if BYTES[dtype] == 2 else device.float32
        decoding = self.work.steps * self.memory.weights / device.bandwidth
        return GPU_START + (self.work.flops / rate + decoding) / device.share


def _caps(spec: RunSpec) -> tuple[int | None, int, int | None]:
    return spec.data.train_rows, spec.data.validation_rows, spec.data.test_rows


_KNOWN: dict[Any, Lengths] = {}
"""Lengths by task, model, protocol, folder and caps: all runs of a config share them."""


def _lengths(spec: RunSpec, tasks: Sequence[Task], data: Path) -> list[Lengths]:
    found = []
    for task in tasks:
        key = (task.name, spec.model_spec, spec.protocol, data, _caps(spec))
        if key not in _KNOWN:
            _KNOWN[key] = lengths_of(task, spec.model_spec, spec.protocol, data, _caps(spec))
        known = _KNOWN[key]
        if spec.protocol.response == "rationale":  # how long rationales are is not known before they are written
            known = replace(known, answer=spec.evaluation.decoding.max_new_tokens)
        found.append(known)
    return found


def needs_gpu(model: Model) -> bool:
    """Whether jobs of a model take a GPU: those in half precision, and those too large for a CPU."""
    shape = shape_of(model)
    return model.dtype != "float32" or (shape is not None and parameters(shape) > EMBEDDED)


def evaluating(spec: RunSpec, data: Path, machine: Machine | None = None) -> Estimate | None:
    """Cost of scoring a run on its tasks, the choice of demonstrations included; None: the model's shape is unknown."""
    if spec.method in ("majority", "random"):
        return Estimate(False, Memory(), Work(), _prediction_bytes(_lengths(spec, spec.eval_tasks, data)), "plain")
    shape = shape_of(spec.model_spec)
    if shape is None:
        return None
    machine = machine or Machine(gpu=needs_gpu(spec.model_spec))
    tasks = _lengths(spec, spec.eval_tasks, data)
    if spec.method == "encoder":
        work = Work()
        for task, known in zip(spec.eval_tasks, tasks, strict=True):
            choices = max(1, len(task.choices))
            work += encoding_work(shape, known.test * choices, known.mean, 8192)
        long = max(known.long for known in tasks)
        memory = encoding_memory(shape, max(1, 8192 // long), long, machine, trains=False)
        return Estimate(machine.gpu, memory, work, _prediction_bytes(tasks), "ask")
    lora = None if isinstance(spec.settings, Prompting) else spec.settings.lora  # type: ignore[attr-defined]
    shots = spec.settings.shots if spec.method == "few-shot" and isinstance(spec.settings, Prompting) else [0]
    new, budget = spec.evaluation.decoding.max_new_tokens, spec.evaluation.batch_tokens
    work, peak = Work(), Memory()
    for known in tasks:
        for k in [*shots, max(shots)] if len(shots) > 1 else shots:
            rows = known.test if k == max(shots) else known.validation
            # demonstrations are shared by all prompts, as the instructions are; those that do not fit are dropped
            shown = min(k * (known.mean - known.shared + known.answer), spec.model_spec.max_length - known.long - new)
            shown = max(0, int(shown))
            shared, mean, long = known.shared + shown, known.mean + shown, known.long + shown
            work += asking_work(shape, rows, mean, shared, min(new, known.answer), budget, lora)
            memory = asking_memory(
                shape, spec.model_spec.dtype, rows, long + new, shared, budget, machine,
                sample=spec.evaluation.decoding.how == "sample",
                trained=4 * lora_parameters(shape, lora) if lora else 0,
            )  # fmt: skip
            peak = max(peak, memory, key=lambda m: m.total)
    return Estimate(machine.gpu, peak, work, _prediction_bytes(tasks), "ask")


def training(spec: RunSpec, data: Path, machine: Machine | None = None) -> Estimate | None:
    """Cost of training a run, validation and all candidate learning rates included; None: the model's shape is unknown."""
    shape = shape_of(spec.model_spec)
    if shape is None:
        return None
    machine = machine or Machine(gpu=needs_gpu(spec.model_spec))
    tasks = _lengths(spec, spec.train_tasks, data)
    settings = spec.settings
    if isinstance(settings, Sft):
        return tuning(spec, shape, settings, tasks, machine)
    if isinstance(settings, PolicyOptimisation):
        return optimising(spec, shape, settings, tasks, machine)
    if isinstance(settings, RewardModel):  # like SFT on both sides of its pairs
        both = Sft(
            prompts=2 * settings.pairs,
            batch_size=2 * settings.batch_size,
            learning_rates=settings.learning_rates,
            lora=settings.lora,
        )
        return tuning(spec, shape, both, tasks, machine)
    if isinstance(settings, Pairs):
        work, memory = validating(spec, shape, tasks, Lora(), machine, 0)
        replies = (settings.prompts + settings.validation_prompts) * settings.replies
        return Estimate(machine.gpu, memory, work.times(replies / max(1, sum(t.validation for t in tasks))), 0, "ask")
    if isinstance(settings, RewardEncoder):
        return ranking(spec, shape, settings, tasks, machine)
    assert isinstance(settings, Encoder)
    return encoding(spec, shape, settings, tasks, machine)


def validating(
    spec: RunSpec, shape: Shape, tasks: Sequence[Lengths], lora: Lora, machine: Machine, trained: float
) -> tuple[Work, Memory]:
    """One validation of a run in training: greedy answers to the carves of its tasks."""
    new, budget = spec.evaluation.decoding.max_new_tokens, spec.evaluation.batch_tokens
    work, peak = Work(), Memory()
    for known in tasks:
        work += asking_work(shape, known.validation, known.mean, known.shared, min(new, known.answer), budget, lora)
        memory = asking_memory(
            shape,
            spec.model_spec.dtype,
            known.validation,
            known.long + new,
            known.shared,
            budget,
            machine,
            trained=trained,
        )
        peak = max(peak, memory, key=lambda m: m.total)
    return work, peak


def tuning(spec: RunSpec, shape: Shape, settings: Sft, tasks: Sequence[Lengths], machine: Machine) -> Estimate:
    """SFT: micro-batches of like length; the instructions are read once where no dropout acts."""
    model, rows = spec.model_spec, settings.micro_batch_size or settings.batch_size
    longest, dropout = max(tasks, key=lambda known: known.long), settings.lora.dropout > 0
    answer = max(known.answer for known in tasks)
    steps, rates = ceil(settings.prompts / settings.batch_size), len(settings.learning_rates)

    def piece(length: float, shared: int) -> Piece:
        return Piece(rows, ceil(length + answer), 0 if dropout else shared, rows * answer)

    memory = tuning_memory(
        shape, model.dtype, [piece(longest.long, longest.shared)], settings.lora, machine, copies=LOSS_LOGITS, dropout=dropout
    )  # fmt: skip
    validation, asked = validating(spec, shape, tasks, settings.lora, machine, memory.trained)
    work = validation.times(_validations(steps, settings.evaluate_every))
    for known in tasks:
        passes = steps * settings.batch_size / rows / len(tasks)
        work += tuning_work(shape, piece(known.mean, known.shared), settings.lora).times(passes)
    peak = max(memory, asked, key=lambda m: m.total)
    return Estimate(machine.gpu, peak, work.times(rates), _adapter_bytes(shape, settings.lora), "sft")


def optimising(
    spec: RunSpec, shape: Shape, settings: PolicyOptimisation, tasks: Sequence[Lengths], machine: Machine
) -> Estimate | None:
    """PPO and its kin: answers are sampled, scored under the reference, and learnt from for some epochs.

    GRPO samples several answers a prompt, which is read once for all of them unless it is short (`policy.plan`); in memory they are
    counted one by one. The graph of a whole roll-out lives at once where the first update reuses it
    (`experience.experienced`).
    """
    model, new, lora = spec.model_spec, settings.max_new_tokens, settings.lora
    longest = max(tasks, key=lambda known: known.long)
    length, shared, budget = longest.long + new, longest.shared, settings.micro_batch_tokens
    answers = settings.batch_size * settings.answers  # of a roll-out
    rows = max(1, min(settings.micro_batch_size or settings.minibatch_size, budget // length))
    whole = (
        settings.minibatch_size == answers
        and settings.micro_batch_size is None
        and answers * min(known.mean + new for known in tasks) <= budget
    )
    pieces = [
        Piece(min(rows, answers - done), length, shared, min(rows, answers - done) * new)
        for done in range(0, answers, rows)
    ]
    memory = tuning_memory(
        shape, model.dtype, pieces, lora, machine, copies=POLICY_LOGITS, dropout=False,
        autocast=machine.gpu, kept=len(pieces) if whole else 1,
    )  # fmt: skip
    rollout = asking_memory(
        shape, model.dtype, answers, length, shared, budget, machine, sample=True, trained=memory.trained
    )
    steps, rates = settings.prompts // settings.batch_size, len(settings.learning_rates)
    validation, asked = validating(spec, shape, tasks, lora, machine, memory.trained)
    work = validation.times(_validations(steps, settings.evaluate_every))
    for known in tasks:
        answer = min(new, known.answer)
        few = max(1, min(rows, int(budget // (known.mean + answer))))
        alike, tokens = known.shared, known.mean + answer
        if cost_apart(settings.answers, tokens) < settings.answers * tokens:  # the answers to one prompt are a piece
            few, alike = min(few, settings.answers), int(known.mean)
        part = Piece(few, ceil(known.mean + answer), alike, few * answer)
        passes = answers / few
        one = asking_work(shape, answers, known.mean, known.shared, answer, budget, lora, each=settings.answers)
        one += reading_work(shape, part, None).times(passes)
        one += reading_work(shape, part, lora).times(0 if whole else passes)
        one += tuning_work(shape, part, lora).times(passes * settings.epochs)
        work += one.times(steps / len(tasks))
    peak = max(memory, rollout, asked, key=lambda m: m.total)
    if spec.encoder_spec is not None:  # ppo-rm: it scores every answer, and stays in memory
        encoder = shape_of(spec.encoder_spec)
        if encoder is None:
            return None
        peak = replace(peak, weights=peak.weights + 4 * parameters(encoder))
        for known in tasks:
            work += encoding_work(encoder, answers, known.mean - known.shared + new, budget).times(steps / len(tasks))
    return Estimate(machine.gpu, peak, work.times(rates), _adapter_bytes(shape, lora), "ppo")


def ranking(
    spec: RunSpec, shape: Shape, settings: RewardEncoder, tasks: Sequence[Lengths], machine: Machine
) -> Estimate | None:
    """A reward encoder: responses of the merged model, then fine-tuning on these (behind their questions) and two references."""
    assert spec.encoder_spec is not None
    encoder = shape_of(spec.encoder_spec)
    if encoder is None:
        return None
    rows, new = settings.prompts + settings.validation_prompts, spec.evaluation.decoding.max_new_tokens
    replies, asked = validating(spec, shape, tasks, Lora(), machine, 0)
    work = replies.times(rows * settings.replies / max(1, sum(known.validation for known in tasks)))
    texts = settings.replies + 2  # a row
    sides, steps = texts * settings.batch_size, ceil(settings.rankings / settings.batch_size)
    long = max(known.long - known.shared for known in tasks) + new
    mean = sum(known.mean - known.shared for known in tasks) / len(tasks) + new
    fitted = encoding_memory(encoder, sides, min(long, spec.encoder_spec.max_length), machine)
    train = tuning_work(encoder, Piece(sides, ceil(mean), 0, 0), None).times(steps)
    train += encoding_work(encoder, settings.validation_prompts * texts, mean, spec.evaluation.batch_tokens)
    # the merged model is let go before the encoder is trained
    peak = max(asked, fitted, key=lambda m: m.total)
    disk = 4 * parameters(encoder) + 250 * rows * texts
    return Estimate(machine.gpu, peak, work + train.times(len(settings.learning_rates)), disk, "encoder")


def encoding(spec: RunSpec, shape: Shape, settings: Encoder, tasks: Sequence[Lengths], machine: Machine) -> Estimate:
    """Fine-tuning of a whole encoder."""
    (task,), (known,) = spec.train_tasks, tasks
    choices = max(1, len(task.choices))
    rows, steps = settings.batch_size * choices, ceil(settings.prompts / settings.batch_size)
    memory = encoding_memory(shape, rows, known.long, machine)
    work = tuning_work(shape, Piece(rows, ceil(known.mean), 0, 0), None).times(steps)
    work += encoding_work(shape, known.validation * choices, known.mean, spec.evaluation.batch_tokens)
    disk = 4 * parameters(shape)
    return Estimate(machine.gpu, memory, work.times(len(settings.learning_rates)), disk, "encoder")


def _validations(steps: int, every: int) -> int:
    return ceil(steps / every) if every else 1


def _adapter_bytes(shape: Shape, lora: Lora) -> float:
    return 4 * lora_parameters(shape, lora)


def _prediction_bytes(tasks: Sequence[Lengths]) -> float:
    """About 250 bytes a row of predictions.jsonl (measured on the embedded runs)."""
    return 250 * sum(known.test for known in tasks)


# 3. A job's resources ------------------------------------------------------------------------------------------------

UNKNOWN = {"mem_mb": 24_000, "runtime": 1440}
"""Of a job whose model's shape is unknown: those of a 7B model, for a day."""


def resources(estimate: Estimate | None, model: Model) -> dict[str, int]:
    """`gpu`, `mem_mb` and `runtime` (minutes) of a job, with room for what the estimate cannot see.

    Memory: a quarter more and 500 MB, for the scheduler's own processes. Time: three times the estimate and ten
    minutes; on a GPU the estimate is that of the default `Device`. Growth after a failure belongs to profiles.
    """
    if estimate is None:
        return {"gpu": int(needs_gpu(model)), **UNKNOWN}
    memory = ceil((1.25 * estimate.host_bytes / 1e6 + 500) / 100) * 100
    minutes = ceil(3 * estimate.seconds(Device(), model.dtype) / 60 + 10)
    return {"gpu": int(estimate.gpu), "mem_mb": memory, "runtime": minutes}


class Plan:
    """Resources of the jobs of one config; seeds of a run share them."""

    def __init__(self, data: Path) -> None:
        """`data` is the folder of prepared rows."""
        self.data = data
        self.known: dict[tuple[str, ...], dict[str, int]] = {}

    def resources(self, stage: Literal["training", "evaluating"], spec: RunSpec) -> dict[str, int]:
        """Of a run's job."""
        key = (stage, spec.model, spec.method, spec.mixture, spec.variant)
        if key not in self.known:
            estimate = {"training": training, "evaluating": evaluating}[stage](spec, self.data)
            self.known[key] = resources(estimate, spec.model_spec)
        return self.known[key]
