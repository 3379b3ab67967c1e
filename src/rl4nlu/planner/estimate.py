"""What one job of a run costs: memory, FLOPs, hours and disk of its training, and of scoring it.

An estimate is made of the model's shape (`shapes`), of lengths (`lengths`) and of the settings (`costs`). No torch.
What is unknown stays unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path

from ..config import (
    METHODS,
    VADER,
    Encoder,
    Lora,
    Model,
    Pairs,
    PolicyOptimisation,
    Ppo,
    Prompting,
    RewardEncoder,
    RewardModel,
    Rlgf,
    Sft,
)
from ..methods.batches import cost_apart
from ..models.judge import BATCH
from ..runs.spec import RunSpec
from .costs import (
    LOSS_LOGITS,
    POLICY_LOGITS,
    ForwardPass,
    Machine,
    Memory,
    Work,
    asking_memory,
    asking_work,
    encoding_memory,
    encoding_work,
    reading_work,
    tuning_memory,
    tuning_work,
)
from .device import (
    CPU_BASE,
    CPU_FLOPS,
    CPU_HEAP,
    CPU_LAYER,
    CPU_START,
    EMBEDDED,
    GPU_OVERHEAD,
    GPU_START,
    HOST_BASE,
    Device,
)
from .lengths import Lengths, lengths_of_tasks
from .shapes import BYTES, Shape, lora_parameters, parameters, shape_of


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


def needs_gpu(model: Model) -> bool:
    """Whether jobs of a model take a GPU: those in half precision, and those too large for a CPU."""
    shape = shape_of(model)
    return model.dtype != "float32" or (shape is not None and parameters(shape) > EMBEDDED)


def estimate_evaluation(spec: RunSpec, data: Path, machine: Machine | None = None) -> Estimate | None:
    """Cost of scoring a run on its tasks, the choice of demonstrations included; None: the model's shape is unknown."""
    if METHODS[spec.method].loads is None:
        return Estimate(
            False, Memory(), Work(), _prediction_bytes(lengths_of_tasks(spec, spec.eval_tasks, data)), "plain"
        )
    shape = shape_of(spec.model_spec)
    if shape is None:
        return None
    machine = machine or Machine(gpu=needs_gpu(spec.model_spec))
    tasks = lengths_of_tasks(spec, spec.eval_tasks, data)
    if METHODS[spec.method].loads == "encoder":
        work = Work()
        for task, known in zip(spec.eval_tasks, tasks, strict=True):
            choices = max(1, len(task.choices))
            work += encoding_work(shape, known.test * choices, known.mean, 8192)
        long = max(known.long for known in tasks)
        memory = encoding_memory(shape, max(1, 8192 // long), long, machine, trains=False)
        return Estimate(machine.gpu, memory, work, _prediction_bytes(tasks), "ask")
    judges = spec.answering_judges
    if any(shape_of(judge) is None for judge in judges.values() if judge.path != VADER):
        return None
    lora = None if isinstance(spec.settings, Prompting) else spec.settings.lora  # type: ignore[attr-defined]
    shots = spec.settings.shots if spec.method == "few-shot" and isinstance(spec.settings, Prompting) else [0]
    budget = spec.evaluation.batch_tokens
    work, peak = Work(), Memory()
    for task, known in zip(spec.eval_tasks, tasks, strict=True):
        new = known.room or spec.evaluation.decoding.max_new_tokens
        for k in [*shots, max(shots)] if len(shots) > 1 else shots:
            rows = known.test if k == max(shots) else known.validation
            # demonstrations are shared by all prompts, as the instructions are; those that do not fit are dropped
            shown = min(k * (known.mean - known.shared + known.answer), spec.model_spec.max_length - known.long - new)
            shown = max(0, int(shown))
            shared, mean, long = known.shared + shown, known.mean + shown, known.long + shown
            answer = min(new, known.answer)
            work += asking_work(shape, rows, mean, shared, answer, budget, lora)
            work += judging_work(judges.get(task.name), rows, known.mean + answer)
            if known.room is not None:  # perplexity: of the reference, and of the answer without the adapter
                batch = max(1, min(rows, int(budget // (mean + answer))))
                piece = ForwardPass(batch, ceil(mean + answer), int(shared), batch * answer)
                work += reading_work(shape, piece, lora).times(2 * rows / batch)
            memory = asking_memory(
                shape, spec.model_spec.dtype, rows, long + new, shared, budget, machine,
                sample=spec.evaluation.decoding.how == "sample",
                trained=4 * lora_parameters(shape, lora) if lora else 0,
            )  # fmt: skip
            peak = max(peak, memory, key=lambda m: m.total)
    peak = replace(peak, weights=peak.weights + judge_bytes(judges.values()))
    return Estimate(machine.gpu, peak, work, _prediction_bytes(tasks), "ask")


def estimate_training(spec: RunSpec, data: Path, machine: Machine | None = None) -> Estimate | None:
    """Cost of training a run, validation and the candidate learning rates that it tries included; None: the model's shape is unknown."""
    shape = shape_of(spec.model_spec)
    asked = [*spec.training_judges.values(), *([spec.guide_spec] if spec.guide_spec else [])]
    if shape is None or any(shape_of(model) is None for model in asked if model.path != VADER):
        return None
    machine = machine or Machine(gpu=needs_gpu(spec.model_spec))
    tasks = lengths_of_tasks(spec, spec.train_tasks, data)
    settings = spec.settings
    if isinstance(settings, Sft):
        return estimate_sft(spec, shape, settings, tasks, machine)
    if isinstance(settings, PolicyOptimisation):
        return estimate_policy_optimisation(spec, shape, settings, tasks, machine)
    if isinstance(settings, RewardModel):  # like SFT on both sides of its pairs
        both = Sft(
            prompts=2 * settings.pairs,
            batch_size=2 * settings.batch_size,
            lora=settings.lora,
        )
        return estimate_sft(spec, shape, both, tasks, machine)
    if isinstance(settings, Pairs):
        work, memory = cost_of_validation(spec, shape, tasks, Lora(), machine, 0)
        replies = (settings.prompts + settings.validation_prompts) * settings.replies
        return Estimate(machine.gpu, memory, work.times(replies / max(1, sum(t.validation for t in tasks))), 0, "ask")
    if isinstance(settings, RewardEncoder):
        return estimate_reward_encoder(spec, shape, settings, tasks, machine)
    assert isinstance(settings, Encoder)
    return estimate_encoder(spec, shape, settings, tasks, machine)


def cost_of_validation(
    spec: RunSpec, shape: Shape, tasks: Sequence[Lengths], lora: Lora, machine: Machine, trained: float
) -> tuple[Work, Memory]:
    """One validation of a run in training: greedy answers to the carves of its tasks."""
    budget = spec.evaluation.batch_tokens
    work, peak = Work(), Memory()
    for task, known in zip(spec.train_tasks, tasks, strict=True):
        new = known.room or spec.evaluation.decoding.max_new_tokens
        answer = min(new, known.answer)
        work += asking_work(shape, known.validation, known.mean, known.shared, answer, budget, lora)
        work += judging_work(spec.training_judges.get(task.name), known.validation, known.mean + answer)
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


def estimate_sft(spec: RunSpec, shape: Shape, settings: Sft, tasks: Sequence[Lengths], machine: Machine) -> Estimate:
    """SFT: micro-batches of like length; the instructions are read once where no dropout acts."""
    model, rows = spec.model_spec, settings.micro_batch_size or settings.batch_size
    longest, dropout = max(tasks, key=lambda known: known.long), settings.lora.dropout > 0
    answer = max(known.answer for known in tasks)
    steps = ceil(settings.prompts / settings.batch_size)

    def piece(length: float, shared: int) -> ForwardPass:
        return ForwardPass(rows, ceil(length + answer), 0 if dropout else shared, rows * answer)

    memory = tuning_memory(
        shape, model.dtype, [piece(longest.long, longest.shared)], settings.lora, machine, copies=LOSS_LOGITS, dropout=dropout
    )  # fmt: skip
    validation, asked = cost_of_validation(spec, shape, tasks, settings.lora, machine, memory.trained)
    work = validation.times(_validations(steps, settings.evaluate_every))
    for known in tasks:
        passes = steps * settings.batch_size / rows / len(tasks)
        work += tuning_work(shape, piece(known.mean, known.shared), settings.lora).times(passes)
    peak = max(memory, asked, key=lambda m: m.total)
    peak = replace(peak, weights=peak.weights + judge_bytes(spec.training_judges.values()))
    return Estimate(machine.gpu, peak, work.times(spec.trainings), _adapter_bytes(shape, settings.lora), "sft")


def estimate_policy_optimisation(
    spec: RunSpec, shape: Shape, settings: PolicyOptimisation, tasks: Sequence[Lengths], machine: Machine
) -> Estimate | None:
    """PPO and its kin: answers are sampled, scored under the reference, and learnt from for some epochs.

    GRPO samples several answers a prompt, which is read once for all of them unless it is short (`batches.cut_into_pieces`); in memory they are
    counted one by one. The graph of a whole roll-out lives at once where the first update reuses it
    (`experience.experienced`).
    """
    model, lora = spec.model_spec, settings.lora
    rooms = [known.room or settings.max_new_tokens for known in tasks]
    longest, most = max(zip(tasks, rooms, strict=True), key=lambda pair: pair[0].long + pair[1])
    length, shared, budget = longest.long + most, longest.shared, settings.micro_batch_tokens
    answers = settings.batch_size * settings.answers  # of a roll-out
    rows = max(1, min(settings.micro_batch_size or settings.minibatch_size, budget // length))
    whole = (
        settings.minibatch_size == answers
        and settings.micro_batch_size is None
        and answers * min(known.mean + room for known, room in zip(tasks, rooms, strict=True)) <= budget
    )
    pieces = [
        ForwardPass(min(rows, answers - done), length, shared, min(rows, answers - done) * most)
        for done in range(0, answers, rows)
    ]
    memory = tuning_memory(
        shape, model.dtype, pieces, lora, machine, copies=POLICY_LOGITS, dropout=False,
        kept=len(pieces) if whole else 1,
    )  # fmt: skip
    rollout = asking_memory(
        shape, model.dtype, answers, length, shared, budget, machine, sample=True, trained=memory.trained
    )
    steps = settings.prompts // settings.batch_size
    validation, asked = cost_of_validation(spec, shape, tasks, lora, machine, memory.trained)
    work = validation.times(_validations(steps, settings.evaluate_every))
    guide, guided = None, 0
    if isinstance(settings, Rlgf) and settings.guide in ("start", "model"):
        guide = shape_of(spec.guide_spec or model)
        guided = ceil(answers * settings.roll_in) if spec.method == "ppo++" else answers
    gold = 1 if isinstance(settings, Ppo) and settings.supervised_coefficient else 0  # more passes, of gold answers
    for task, known, room in zip(spec.train_tasks, tasks, rooms, strict=True):
        answer = min(room, known.answer)
        few = max(1, min(rows, int(budget // (known.mean + answer))))
        alike, tokens = known.shared, known.mean + answer
        if cost_apart(settings.answers, tokens) < settings.answers * tokens:  # the answers to one prompt are a piece
            few, alike = min(few, settings.answers), int(known.mean)
        part = ForwardPass(few, ceil(known.mean + answer), alike, few * answer)
        passes = answers / few
        one = asking_work(shape, answers, known.mean, known.shared, answer, budget, lora, each=settings.answers)
        if guide is not None:  # it writes whole answers, as the policy does, at most
            one += asking_work(guide, guided, known.mean, known.shared, answer, budget)
        one += reading_work(shape, part, None).times(passes)
        one += reading_work(shape, part, lora).times(0 if whole else passes)
        one += tuning_work(shape, part, lora).times(passes * settings.epochs * (1 + gold))
        one += judging_work(spec.training_judges.get(task.name), answers, known.mean + answer)
        work += one.times(steps / len(tasks))
    peak = max(memory, rollout, asked, key=lambda m: m.total)
    if guide is not None and spec.guide_spec is not None:  # another model is in memory, and writes there
        writing = asking_memory(
            guide, spec.guide_spec.dtype, guided, length, shared, budget, machine, sample=True, trained=memory.trained
        )
        held = (peak.weights, writing.weights)
        peak = replace(max(peak, writing, key=lambda m: m.total - m.weights), weights=sum(held))
    peak = replace(peak, weights=peak.weights + judge_bytes(spec.training_judges.values()))
    if spec.encoder_spec is not None:  # ppo-rm: it scores every answer, and stays in memory
        encoder = shape_of(spec.encoder_spec)
        if encoder is None:
            return None
        peak = replace(peak, weights=peak.weights + 4 * parameters(encoder))
        for known, room in zip(tasks, rooms, strict=True):
            work += encoding_work(encoder, answers, known.mean - known.shared + room, budget).times(steps / len(tasks))
    return Estimate(machine.gpu, peak, work.times(spec.trainings), _adapter_bytes(shape, lora), "ppo")


def judging_work(judge: Model | None, texts: float, length: float) -> Work:
    """A judge's scores of `texts` answers, which it reads with their prompts, `length` tokens; a lexicon costs nothing."""
    if judge is None or judge.path == VADER or not texts:
        return Work()
    shape, read = shape_of(judge), min(length, judge.max_length)
    assert shape is not None
    return encoding_work(shape, ceil(texts), read, ceil(BATCH * read))


def judge_bytes(judges: Iterable[Model]) -> float:
    """Bytes of judges' weights, which stay in memory as long as the job lasts."""
    shapes = {judge.path: (shape_of(judge), judge.dtype) for judge in judges if judge.path != VADER}
    return sum(BYTES[dtype] * parameters(shape) for shape, dtype in shapes.values() if shape)


def estimate_reward_encoder(
    spec: RunSpec, shape: Shape, settings: RewardEncoder, tasks: Sequence[Lengths], machine: Machine
) -> Estimate | None:
    """A reward encoder: responses of the merged model, then fine-tuning on these (behind their questions) and two references."""
    assert spec.encoder_spec is not None
    encoder = shape_of(spec.encoder_spec)
    if encoder is None:
        return None
    rows, new = settings.prompts + settings.validation_prompts, spec.evaluation.decoding.max_new_tokens
    replies, asked = cost_of_validation(spec, shape, tasks, Lora(), machine, 0)
    work = replies.times(rows * settings.replies / max(1, sum(known.validation for known in tasks)))
    texts = settings.replies + 2  # a row
    sides, steps = texts * settings.batch_size, ceil(settings.rankings / settings.batch_size)
    long = max(known.long - known.shared for known in tasks) + new
    mean = sum(known.mean - known.shared for known in tasks) / len(tasks) + new
    fitted = encoding_memory(encoder, sides, min(long, spec.encoder_spec.max_length), machine)
    train = tuning_work(encoder, ForwardPass(sides, ceil(mean), 0, 0), None).times(steps)
    train += encoding_work(encoder, settings.validation_prompts * texts, mean, spec.evaluation.batch_tokens)
    # the merged model is let go before the encoder is trained
    peak = max(asked, fitted, key=lambda m: m.total)
    disk = 4 * parameters(encoder) + 250 * rows * texts
    return Estimate(machine.gpu, peak, work + train.times(spec.trainings), disk, "encoder")


def estimate_encoder(
    spec: RunSpec, shape: Shape, settings: Encoder, tasks: Sequence[Lengths], machine: Machine
) -> Estimate:
    """Fine-tuning of a whole encoder."""
    (task,), (known,) = spec.train_tasks, tasks
    choices = max(1, len(task.choices))
    rows, steps = settings.batch_size * choices, ceil(settings.prompts / settings.batch_size)
    memory = encoding_memory(shape, rows, known.long, machine)
    work = tuning_work(shape, ForwardPass(rows, ceil(known.mean), 0, 0), None).times(steps)
    work += encoding_work(shape, known.validation * choices, known.mean, spec.evaluation.batch_tokens)
    disk = 4 * parameters(shape)
    return Estimate(machine.gpu, memory, work.times(spec.trainings), disk, "encoder")


def _validations(steps: int, every: int) -> int:
    return ceil(steps / every) if every else 1


def _adapter_bytes(shape: Shape, lora: Lora) -> float:
    return 4 * lora_parameters(shape, lora)


def _prediction_bytes(tasks: Sequence[Lengths]) -> float:
    """About 250 bytes a row of predictions.jsonl (measured on the embedded runs)."""
    return 250 * sum(known.test for known in tasks)
