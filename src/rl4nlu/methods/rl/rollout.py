"""Step 1 of policy optimisation, the roll-out: prompts in their planned order, the policy's answers, what is said of them.

Also the event files of a run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ...answering.fit import fit_prompts
from ...answering.generate import decode_completions, generate_tokens
from ...base.errors import ConfigError
from ...config import PolicyOptimisation
from ...tasks.prompts import CLOSE_TAG
from ...tasks.reading import Reading, read_response
from ...tasks.rows import Row, load_rows
from ...tasks.task import Task
from ..schedule import draw
from .policy import Policy

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from ...runs.spec import RunSpec


@dataclass(frozen=True)
class Prompt:
    """A prompt to be answered: its task and row (for the reward) and its tokens."""

    task: Task
    row: Row
    tokens: list[int]


@dataclass(frozen=True)
class RollOut:
    """Prompts and the policy's answers, one a prompt: token ids, what they say, and what the parser reads in it."""

    prompts: Sequence[Prompt]
    responses: list[list[int]]
    texts: list[str]
    readings: list[Reading]

    @property
    def right(self) -> list[bool]:
        """Whether each answer is its row's label."""
        return [is_right(p.task, reading.label, p.row) for p, reading in zip(self.prompts, self.readings, strict=True)]

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
    for name, rows in pools.items():
        if not rows:
            raise ConfigError(f"{data / name}/train.jsonl: task {name} has no training rows")
    owners = [(task, row) for task in spec.train_tasks for row in pools[task.name]]
    drawn = draw([len(rows) for rows in pools.values()], settings.prompts, spec.seed)
    longest = spec.model_spec.max_length - settings.max_new_tokens
    made: dict[int, Prompt] = {}
    shortened = 0
    for task in spec.train_tasks:
        numbers = [i for i in dict.fromkeys(drawn) if owners[i][0].name == task.name]
        rows = [owners[i][1] for i in numbers]
        for i, row, fitted in zip(
            numbers, rows, fit_prompts(tokenizer, task, rows, spec.protocol, longest), strict=True
        ):
            made[i] = Prompt(task, row, fitted.tokens)
            shortened += fitted.shortened
    return [made[i] for i in drawn for _ in range(settings.answers)], shortened


class Sampler:
    """Samples a run's answers from its policy as it is at the time, reproducibly.

    An answer ends with the closing tag (or only at the end token and at its greatest length, as released).
    """

    def __init__(self, spec: RunSpec, policy: Policy, tokenizer: PreTrainedTokenizerBase) -> None:
        assert isinstance(spec.settings, PolicyOptimisation)
        self.settings, self.policy, self.tokenizer = spec.settings, policy, tokenizer
        self.device = policy.model.get_base_model().device
        self.chance = torch.Generator(self.device).manual_seed(spec.seed)
        self.stop = CLOSE_TAG if spec.protocol.stop_at_tag else None
        self.response = spec.protocol.response

    def __call__(self, prompts: Sequence[Prompt]) -> RollOut:
        """One answer a prompt, the stop included; without dropout."""
        self.policy.model.eval()
        responses = generate_tokens(
            self.policy.model,
            [prompt.tokens for prompt in prompts],
            tokenizer=self.tokenizer,
            max_new_tokens=self.settings.max_new_tokens,
            sample=True,
            temperature=self.settings.temperature,
            top_k=self.settings.top_k,
            generator=self.chance,
            stop=self.stop,
            batch_tokens=self.settings.micro_batch_tokens,
        )
        texts = decode_completions(self.policy.model, self.tokenizer, responses, self.stop)
        readings = [
            read_response(prompt.task, text, response=self.response)
            for prompt, text in zip(prompts, texts, strict=True)
        ]
        return RollOut(prompts, responses, texts, readings)

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
