"""Reward-ranked fine-tuning (Dong et al. 2023, arXiv 2304.06767): supervised steps on the policy's own best answers.

Every prompt is answered several times; the best answer to each prompt is kept, if its reward is good enough, and learnt as
a gold answer would be. It is also known as rejection-sampling fine-tuning and expert iteration. Roll-outs, rewards and
everything around them are PPO's; there is neither a value head nor a KL penalty.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .experience import Experience, Objective, token_rewards
from .loop import train_policy

if TYPE_CHECKING:
    from ...config.rl import Raft
    from .policy import TokenEstimates


def select_best(scores: list[float], settings: Raft) -> list[int]:
    """The rows whose answer is the best to its prompt (the first of equals) and has a reward above `settings.reward_above`.

    The answers to a prompt stand together.
    """
    size = settings.group_size
    best = [max(range(start, start + size), key=lambda row: scores[row]) for start in range(0, len(scores), size)]
    return [row for row in best if scores[row] > settings.reward_above]


def reward_at_end(
    scores: Tensor, kl: Tensor, value: Tensor, mask: Tensor, learns: Tensor, coefficient: float, settings: Raft
) -> tuple[Tensor, Tensor, Tensor]:
    """Rewards `[rows, tokens]`, a row's score on its last token; there are neither advantages nor returns."""
    zero = torch.zeros_like(mask)
    return token_rewards(scores, kl, mask, 0.0), zero, zero


def losses(new: TokenEstimates, old: Experience, rows: list[int], settings: Raft) -> dict[str, Tensor]:
    """The cross-entropy of every response token of `rows`; `update` takes its mean over the kept answers' tokens."""
    return {"loss": -new.logp}


RAFT = Objective(reward_at_end, losses, select=select_best)

train = partial(train_policy, objective=RAFT)
