"""Rewards of the tasks: how good a sampled answer is, by a rule (paper 1, sections 3.3 and 3.4).

A reward is a plain function `(prompts, texts, rows) -> numbers`, one number an answer. It reads answers with
`parsing.parse`, the parser that also decides the scores, so what is rewarded is what is measured.
Only `ppo.py` and its relatives import this file: editing a reward reruns reinforcement learning and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...config import Protocol
from ...tasks.reading import Response, parse, split_response
from ...tasks.rows import Row
from ...tasks.task import Task

if TYPE_CHECKING:
    pass


Reward = Callable[[list[str], list[str], list[Row]], list[float]]
"""`(prompts, texts, rows) -> rewards`, all of one length; a text is what the model wrote."""

TABLES = {"released": (1.0, -1.0, -3.0), "paper": (1.0, 0.0, -1.0)}
"""Reward of a right, a wrong and an unparseable answer: in the authors' code, and in their text."""


def task_reward(task: Task, protocol: Protocol) -> Reward:
    """The reward that the task's file names: label match, or distance for tasks whose answer is a number."""
    return distance(task, protocol.response) if task.reward == "distance" else label_match(task, protocol)


def label_match(task: Task, protocol: Protocol) -> Reward:
    """Right, wrong or unparseable, at the prices of `protocol.reward_table`.

    MultiRC and ReCoRD are judged one candidate a row. The released ReCoRD branch takes an answer that is closed
    but names neither label for a plain wrong one; so does the released table here.
    """
    right, wrong, invalid = TABLES[protocol.reward_table]
    closed_is_wrong = protocol.reward_table == "released" and task.name == "record"
    words = [word.lower() for word in task.labels.values()]

    def reward(prompts: list[str], texts: list[str], rows: list[Row]) -> list[float]:
        values = []
        for text, row in zip(texts, rows, strict=True):
            answer = parse(task, text, response=protocol.response)
            _, judgement, closed = split_response(text, protocol.response)
            if answer is not None:
                values.append(right if answer == row.label else wrong)
            elif (
                closed_is_wrong
                and judgement is not None
                and closed
                and not any(word in judgement.lower() for word in words)
            ):
                values.append(wrong)
            else:
                values.append(invalid)
        return values

    return reward


def distance(task: Task, response: Response = "label") -> Reward:
    """Half the scale minus the distance to the gold number; minus half the scale where no number is found.

    STS-B runs from 0 to 5: `2.5 - |predicted - gold|`, and -2.5 (both reward tables agree).
    """
    half = (task.high - task.low) / 2

    def reward(prompts: list[str], texts: list[str], rows: list[Row]) -> list[float]:
        answers = [parse(task, text, response=response) for text in texts]
        golds = [float(row.label) for row in rows if row.label is not None]
        return [-half if a is None else half - abs(float(a) - gold) for a, gold in zip(answers, golds, strict=True)]

    return reward


def is_right(task: Task, answer: str | float | None, row: Row) -> bool:
    """Whether a parsed answer names the row's label; numbers may be off by half a point (for learning curves only)."""
    if answer is None or row.label is None:
        return False
    return abs(float(answer) - float(row.label)) <= 0.5 if task.reward == "distance" else answer == row.label


@dataclass(frozen=True)
class Prompt:
    """A prompt to be answered: its task and row (for the reward), its text and its tokens."""

    task: Task
    row: Row
    text: str
    tokens: list[int]


@dataclass(frozen=True)
class Judgement:
    """What is said of a batch of answers: a reward each, the share of right and of unparseable ones, and what else to log."""

    scores: list[float]
    right: float
    invalid: float
    more: dict[str, float | None] = field(default_factory=dict)


def labels_read(batch: Sequence[Prompt], texts: Sequence[str], response: Response) -> tuple[list[bool], float]:
    """Of a batch's answers: whether each one's label is right, and the share of those without a readable label."""
    answers = [parse(p.task, text, response=response) for p, text in zip(batch, texts, strict=True)]
    right = [is_right(p.task, answer, p.row) for p, answer in zip(batch, answers, strict=True)]
    return right, answers.count(None) / len(answers)


def by_rules(
    tasks: Sequence[Task], protocol: Protocol, decode: Callable[[list[list[int]]], list[str]]
) -> Callable[[Sequence[Prompt], list[list[int]]], Judgement]:
    """Judges a batch of answers (token ids, made text by `decode`), each by its own task's reward."""
    rules = {task.name: task_reward(task, protocol) for task in tasks}

    def judge(batch: Sequence[Prompt], responses: list[list[int]]) -> Judgement:
        texts = decode(responses)
        scores = [rules[p.task.name]([p.text], [text], [p.row])[0] for p, text in zip(batch, texts, strict=True)]
        right, unreadable = labels_read(batch, texts, protocol.response)
        return Judgement(scores, sum(right) / len(batch), unreadable)

    return judge


@dataclass
class RunningMoments:
    """Mean and unbiased deviation of all numbers so far, joined batch by batch (Chan et al.; TRL 0.7.2)."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def update(self, numbers: Sequence[float]) -> None:
        """Take a batch in."""
        n, total = len(numbers), self.count + len(numbers)
        mean = sum(numbers) / n
        away = mean - self.mean
        self.squares += sum((x - mean) ** 2 for x in numbers) + away**2 * self.count * n / total
        self.mean += away * n / total
        self.count = total

    @property
    def deviation(self) -> float:
        """Zero while there is only one number."""
        return math.sqrt(self.squares / (self.count - 1)) if self.count > 1 else 0.0

    def state(self) -> dict[str, float]:
        """See `ppo.Carried`."""
        return {"count": self.count, "mean": self.mean, "squares": self.squares}

    def restore(self, state: dict[str, Any]) -> None:
        """See `ppo.Carried`."""
        self.count, self.mean, self.squares = state["count"], state["mean"], state["squares"]

    def normalised(self, numbers: Sequence[float]) -> list[float]:
        """A batch less the mean, over the deviation, both of which it is part of (papers/2, section 7.2)."""
        self.update(numbers)
        return [(x - self.mean) / (self.deviation + 1e-8) for x in numbers]


def mean(numbers: Sequence[float]) -> float | None:
    """None of no numbers."""
    return sum(numbers) / len(numbers) if numbers else None


def by_correctness(name: str, rewards: Sequence[float], right: Sequence[bool]) -> dict[str, float | None]:
    """A model's mean reward apart for right and wrong labels, as it is logged."""
    return {
        f"{name}_reward_{side}": mean([v for v, r in zip(rewards, right, strict=True) if r == wanted])
        for side, wanted in (("right", True), ("wrong", False))
    }
