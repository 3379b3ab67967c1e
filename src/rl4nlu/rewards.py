"""Rewards of the tasks: how good a sampled answer is, by a rule (paper 1, sections 3.3 and 3.4).

A reward is a plain function `(prompts, texts, rows) -> numbers`, one number an answer. It reads answers with
`parsing.parse`, the parser that also decides the scores, so what is rewarded is what is measured.
Only `ppo.py` and its relatives import this file: editing a reward reruns reinforcement learning and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from .config import Protocol
from .data import Row
from .parsing import Response, parse, split_response
from .tasks import Task

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
