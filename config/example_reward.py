"""A reward of one's own: `reward: config.example_reward:length_penalised`.

In a task's file it judges that task's answers; in a config's section `ppo` or `grpo` (or in a variant's) those of every task
that the section trains on:

    variants:
      short: {ppo: {reward: "config.example_reward:length_penalised"}}

Copy this file to one of your own, such as `config/my_rewards.py`, and name it `config.my_rewards:<function>`. The parameters are
always these three, one entry an answer, all of one task. Editing the file trains again what the function judges.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rl4nlu.tasks.reading import Reading
    from rl4nlu.tasks.rows import Row

A_WORD = 0.05


def length_penalised(rows: Sequence[Row], texts: Sequence[str], readings: Sequence[Reading]) -> list[float]:
    """Label match (right 1, wrong 0, unreadable -1), less a twentieth for every word that the model wrote.

    Args:
        rows: `row.fields` holds the task's texts, `row.label` the right label.
        texts: what the model wrote behind the prompt.
        readings: what the one parser read: `reading.label`, `reading.rationale`, and `reading.fault` where it read no label.
    """
    rewards = []
    for row, text, reading in zip(rows, texts, readings, strict=True):
        match = -1.0 if reading.label is None else float(reading.label == row.label)
        rewards.append(match - A_WORD * len(text.split()))
    return rewards
