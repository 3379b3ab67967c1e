"""Rewards: how good a roll-out's answers are. Here by the tasks' rules (paper 1, sections 3.3 and 3.4).

A rule judges answers to rows of one task, and reads them as the scores do: what is rewarded is what is measured. Texts are
rewarded by a judge, or by what they share with references (paper 3, section 5; its SPICE needs Java, and coverage of the
concepts stands in its place). An empty text has the least reward, 0; of a judge whose scores are no probabilities, whatever
it says of an empty text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...answering.decoder import judge_texts
from ...answering.fit import cut_rows
from ...config import Protocol
from ...models.load import load_tokenizer
from ...tasks.own_reward import Rule, load_function
from ...tasks.reading import Reading
from ...tasks.rows import Row, load_rows
from ...tasks.task import Task
from ...tasks.texts.cider import cider_d, read_corpus
from ...tasks.texts.concepts import cover_concepts
from ...tasks.texts.overlap import rouge
from .rollout import Judgement, Reward, RollOut

if TYPE_CHECKING:
    from ...runs.spec import RunSpec

REWARD_TABLES = {"released": (1.0, -1.0, -3.0), "paper": (1.0, 0.0, -1.0)}
"""Reward of a right, a wrong and an unparseable answer: in the authors' code, and in their text."""


def find_rules(spec: RunSpec, data: Path) -> dict[str, Rule]:
    """The rule of every task that a run trains on, by the task's name: one of `tasks.task.RULES`, or a function of the user's own.

    `data` is the folder of prepared rows: references of the training rows say what is rare.

    Raises:
        ConfigError: that function is missing, or has another signature.
    """
    found = {}
    for task in spec.train_tasks:
        name = spec.rules[task.name]
        if name == "label-match":
            found[task.name] = label_match(task, spec.protocol)
        elif name == "distance":
            found[task.name] = distance(task)
        elif name == "judge":
            found[task.name] = judgement(spec, task)
        elif name == "coverage-cider":
            found[task.name] = coverage_and_cider(task, load_rows(data, task.name, "train"))
        elif name == "overlap":
            found[task.name] = share_with_references
        else:
            found[task.name] = load_function(name, spec.reward_key(task))
    return found


def label_match(task: Task, protocol: Protocol) -> Rule:
    """Right, wrong or unparseable, at the prices of `protocol.reward_table`.

    MultiRC and ReCoRD are judged one candidate a row. The released ReCoRD branch takes an answer that is closed
    but names neither label for a plain wrong one; so does the released table here.
    """
    right, wrong, invalid = REWARD_TABLES[protocol.reward_table]
    unnamed = ("empty", "no label") if protocol.reward_table == "released" and task.name == "record" else ()

    def judge(row: Row, reading: Reading) -> float:
        if reading.label is None:
            return wrong if reading.fault in unnamed else invalid
        return right if reading.label == row.label else wrong

    return lambda rows, texts, readings: [judge(*pair) for pair in zip(rows, readings, strict=True)]


def distance(task: Task) -> Rule:
    """Half the scale minus the distance to the gold number; minus half the scale where no number is found.

    STS-B runs from 0 to 5: `2.5 - |predicted - gold|`, and -2.5 (both reward tables agree).
    """
    half = (task.high - task.low) / 2

    def judge(row: Row, reading: Reading) -> float:
        if row.label is None:
            raise ValueError(f"task {task.name}: row {row.id} has no label, and its answer is to be rewarded")
        return -half if reading.label is None else half - abs(float(reading.label) - float(row.label))

    return lambda rows, texts, readings: [judge(*pair) for pair in zip(rows, readings, strict=True)]


def judgement(spec: RunSpec, task: Task) -> Rule:
    """The score of the run's judge of the task: from 0 to 1, or a reward model's output.

    It reads the whole prompt before an answer, or what the policy read of it (paper 3's release on IMDB).
    """
    window = task.most_prompt_tokens if getattr(spec.settings, "reward_reads", None) == "window" else None
    tokenizer = load_tokenizer(spec.model_spec) if window is not None else None

    def judge(rows: Sequence[Row], texts: Sequence[str], readings: Sequence[Reading]) -> list[float]:
        if tokenizer is not None and window is not None:
            rows = cut_rows(tokenizer, task, rows, spec.protocol, window)
        return judge_texts(spec, task, rows, [read_text(reading) for reading in readings])

    return judge


def coverage_and_cider(task: Task, train: Sequence[Row]) -> Rule:
    """The share of the concepts that a text holds, from 0 to 1, and its CIDEr-D, from 0 to 10, added up.

    What is rare is counted in the references of `train`, rather than of the roll-out's own rows as in paper 3's release:
    a text's reward does not depend on which others are answered with it.
    """
    corpus = read_corpus(row.answers or [] for row in train)

    def judge(row: Row, text: str) -> float:
        return cover_concepts(row.fields[str(task.concepts)], text) + cider_d(text, row.answers or [], corpus)

    return lambda rows, texts, readings: [judge(row, read_text(r)) for row, r in zip(rows, readings, strict=True)]


def share_with_references(rows: Sequence[Row], texts: Sequence[str], readings: Sequence[Reading]) -> list[float]:
    """ROUGE-L's F against the nearest reference, from 0 to 1."""
    return [rouge("rouge-l", read_text(r), row.answers or []) for row, r in zip(rows, readings, strict=True)]


def read_text(reading: Reading) -> str:
    """What a reading of a text says; nothing of an empty one."""
    return "" if reading.label is None else str(reading.label)


def by_rules(rules: dict[str, Rule]) -> Reward:
    """Judges every answer by the rule of its own task, a task's answers at once."""

    def judge(answers: RollOut) -> Judgement:
        scores = [0.0] * len(answers.prompts)
        for name in dict.fromkeys(prompt.task.name for prompt in answers.prompts):
            own = [n for n, prompt in enumerate(answers.prompts) if prompt.task.name == name]
            rewards = rules[name](
                [answers.prompts[n].row for n in own],
                [answers.texts[n] for n in own],
                [answers.readings[n] for n in own],
            )
            for n, reward in zip(own, rewards, strict=True):
                scores[n] = reward
        return Judgement(scores, sum(scores) / len(scores))

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
        """See `loop.Carried`."""
        return {"count": self.count, "mean": self.mean, "squares": self.squares}

    def restore(self, state: dict[str, Any]) -> None:
        """See `loop.Carried`."""
        self.count, self.mean, self.squares = state["count"], state["mean"], state["squares"]

    def normalise(self, numbers: Sequence[float]) -> list[float]:
        """A batch less the mean, over the deviation, both of which it is part of (paper 2's release)."""
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
