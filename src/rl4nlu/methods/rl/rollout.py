"""Step 1 of policy optimisation, the roll-out: prompts in their planned order, the policy's answers, what is said of them.

Also the event files of a run.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ...answering.fit import encode_gold, fit_prompts
from ...answering.generate import decode_completions, generate_tokens
from ...base.errors import ConfigError
from ...config import PolicyOptimisation
from ...models.load import encode_answer
from ...tasks.prompts import CLOSE_TAG, answer_start, answer_text
from ...tasks.reading import Reading, read_response
from ...tasks.rows import Row, load_rows, with_rationales
from ...tasks.task import Task
from ..schedule import draw
from .experience import Spans
from .policy import Policy

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from ...runs.spec import RunSpec


@dataclass(frozen=True)
class Prompt:
    """A prompt to be answered: its task and row (for the reward), its tokens and, where they are learnt, the gold answer's."""

    task: Task
    row: Row
    tokens: list[int]
    gold: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class RollOut:
    """Prompts and answers, one a prompt: token ids that are learnt from, what answers say, and what the parser reads in it.

    Attributes:
        prompts: that are answered.
        responses: token ids: the policy's answers, or what of them is learnt from where a guide has a share in them.
        texts: of the whole answers.
        readings: of the texts.
        inputs: what was read before each response; None: the prompt's tokens.
        spans: what the responses' tokens teach; None: all of them everything.
        sampled: tokens that the policy sampled; None: the responses'.
        more: what the history says of it.
    """

    prompts: Sequence[Prompt]
    responses: list[list[int]]
    texts: list[str]
    readings: list[Reading]
    inputs: list[list[int]] | None = None
    spans: Spans | None = None
    sampled: int | None = None
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def right(self) -> list[bool]:
        """Whether each answer is its row's label."""
        return [is_right(p.task, reading.label, p.row) for p, reading in zip(self.prompts, self.readings, strict=True)]

    @property
    def accuracy(self) -> float | None:
        """Share of right answers; None where all are texts, which are neither right nor wrong."""
        labelled = sum(prompt.task.answer != "text" for prompt in self.prompts)
        return sum(self.right) / labelled if labelled else None

    @property
    def unreadable(self) -> float:
        """Share of answers without a readable label."""
        return sum(reading.label is None for reading in self.readings) / len(self.readings)


@dataclass(frozen=True)
class Judgement:
    """What is said of a roll-out's answers.

    Attributes:
        scores: a reward each, which the policy learns from.
        reward: their mean before normalisation, which is logged.
        more: what else to log.
    """

    scores: list[float]
    reward: float
    more: dict[str, float | None] = field(default_factory=dict)


Reward = Callable[[RollOut], Judgement]
"""Judges a roll-out's answers: by rules (`rewards`), by reward models (`rllr`) or by an encoder (`ppo_rm`)."""


def is_right(task: Task, answer: str | float | None, row: Row) -> bool:
    """Whether a label names the row's; numbers may be off by half a point (for learning curves only)."""
    if answer is None or row.label is None:
        return False
    return abs(float(answer) - float(row.label)) <= 0.5 if task.answer == "number" else answer == row.label


def plan_prompts(spec: RunSpec, data: Path, tokenizer: PreTrainedTokenizerBase) -> tuple[list[Prompt], int]:
    """The prompts that a run answers, in order (one entry an answer), and how many had to be shortened to fit the model.

    The rows are those that SFT of the same seed and length sees: equal shares of every task (`schedule.draw`).

    Raises:
        ConfigError: a task has no training rows, or a row that does not fit.
    """
    settings = spec.settings
    assert isinstance(settings, PolicyOptimisation)
    pools = {task.name: load_rows(data, task.name, "train") for task in spec.train_tasks}
    if spec.reads_rationales:
        pools = {name: with_rationales(data, name, "train", rows) for name, rows in pools.items()}
    for name, rows in pools.items():
        if not rows:
            raise ConfigError(f"{data / name}/train.jsonl: task {name} has no training rows")
    owners = [(task, row) for task in spec.train_tasks for row in pools[task.name]]
    drawn = draw([len(rows) for rows in pools.values()], settings.prompts, spec.seed)
    made: dict[int, Prompt] = {}
    shortened = 0
    for task in spec.train_tasks:
        numbers = [i for i in dict.fromkeys(drawn) if owners[i][0].name == task.name]
        rows = [owners[i][1] for i in numbers]
        longest = spec.model_spec.max_length - room_for(task, settings)
        for i, row, fitted in zip(
            numbers, rows, fit_prompts(tokenizer, task, rows, spec.protocol, longest), strict=True
        ):
            gold = gold_answer(spec, tokenizer, task, row) if spec.reads_gold else []
            made[i] = Prompt(task, row, fitted.tokens, gold)
            shortened += fitted.shortened
    return [made[i] for i in drawn for _ in range(settings.answers)], shortened


def room_for(task: Task, settings: PolicyOptimisation) -> int:
    """Tokens of the longest sampled answer to a task."""
    return task.most_tokens if task.answer == "text" else settings.max_new_tokens


def gold_answer(spec: RunSpec, tokenizer: PreTrainedTokenizerBase, task: Task, row: Row) -> list[int]:
    """A row's gold answer in tokens, as SFT learns it; of several references one, drawn by the run's seed and the row's id."""
    if task.answer == "text":
        reference = random.Random(f"gold|{spec.seed}|{row.id}").choice(row.answers or [""])
        if (
            task.layout == "continuation" and getattr(spec.settings, "target", None) == "review-start"
        ):  # paper 3's release
            reference = f"{row.fields[task.fields[0]]} {reference}"
        return encode_gold(tokenizer, task, row, reference, spec.protocol)
    answer = answer_text(task, row.label, spec.protocol, rationale=row.rationale)
    return encode_answer(tokenizer, answer, answer_start(spec.protocol))


class Sampler:
    """Samples a run's answers from its policy as it is at the time, reproducibly.

    An answer ends with the closing tag (or only at the end token and at its greatest length, as released, and as texts do).
    """

    def __init__(self, spec: RunSpec, policy: Policy, tokenizer: PreTrainedTokenizerBase) -> None:
        assert isinstance(spec.settings, PolicyOptimisation)
        self.settings, self.policy, self.tokenizer = spec.settings, policy, tokenizer
        self.device = policy.model.get_base_model().device
        self.chance = torch.Generator(self.device).manual_seed(spec.seed)
        labels = any(task.answer != "text" for task in spec.train_tasks)
        self.stop = CLOSE_TAG if spec.protocol.stop_at_tag and labels else None
        self.response = spec.protocol.response

    def __call__(self, prompts: Sequence[Prompt]) -> RollOut:
        """One answer a prompt, the stop included; without dropout."""
        responses = self.complete(prompts)
        return RollOut(prompts, responses, *self.read(prompts, responses))

    def complete(self, prompts: Sequence[Prompt], begun: Sequence[list[int]] | None = None) -> list[list[int]]:
        """The policy's answers in tokens, each from how it has `begun`, which it then begins with."""
        settings = self.settings
        how: dict[str, Any] = {
            "temperature": settings.temperature,
            "top_k": settings.top_k,
            "top_p": settings.top_p,
        }
        return self.write(self.policy.model, prompts, begun, generator=self.chance, **how)

    def write(
        self,
        model: Any,
        prompts: Sequence[Prompt],
        begun: Sequence[list[int]] | None = None,
        rooms: list[int] | None = None,
        **how: Any,
    ) -> list[list[int]]:
        """Answers of `model`, which has the policy's tokenizer, sampled as `how` says; see `complete`.

        They have the prompts' own `rooms` when none are given.
        """
        model.eval()
        return generate_tokens(
            model,
            [prompt.tokens for prompt in prompts],
            tokenizer=self.tokenizer,
            max_new_tokens=rooms or self.rooms(prompts),
            min_new_tokens=[prompt.task.least_tokens for prompt in prompts],
            begun=begun,
            sample=True,
            stop=self.stop,
            batch_tokens=self.settings.micro_batch_tokens,
            **how,
        )

    def rooms(self, prompts: Sequence[Prompt]) -> list[int]:
        """The longest answer to each prompt, in tokens."""
        return [room_for(prompt.task, self.settings) for prompt in prompts]

    def decode(self, answers: list[list[int]]) -> list[str]:
        """What answers say; what a token adds behind the stop is cut off."""
        return decode_completions(self.policy.model, self.tokenizer, answers, self.stop)

    def read(self, prompts: Sequence[Prompt], answers: list[list[int]]) -> tuple[list[str], list[Reading]]:
        """What whole answers say, and what the parser reads in it."""
        texts = self.decode(answers)
        return texts, [
            read_response(prompt.task, text, response=self.response)
            for prompt, text in zip(prompts, texts, strict=True)
        ]

    def state(self) -> dict[str, Any]:
        """See `loop.Carried`."""
        return {"chance": self.chance.get_state()}

    def restore(self, state: dict[str, Any]) -> None:
        """See `loop.Carried`."""
        self.chance.set_state(state["chance"])


def event_writer(folder: Path | None) -> Callable[[dict[str, Any]], None]:
    """Writes history rows as TensorBoard events; without a folder it does nothing.

    Raises:
        ConfigError: events are wanted, and TensorBoard is not installed.
    """
    if folder is None:
        return lambda row: None
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ConfigError("--tensorboard needs the package tensorboard: pip install 'rl4nlu[tensorboard]'") from None
    writer = SummaryWriter(str(folder))

    def watch(row: dict[str, Any]) -> None:
        for name, value in row.items():
            if isinstance(value, int | float):
                writer.add_scalar(name, value, row["prompts"])
        writer.flush()

    return watch
