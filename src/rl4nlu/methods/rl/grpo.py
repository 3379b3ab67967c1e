"""Group-relative policy optimisation (Shao et al. 2024, section 4): PPO without a value head.

Every prompt is answered several times; an answer is as good as it is better than the others of its prompt, and all of
its tokens share that advantage. The KL to the reference is a term of the loss rather than of the reward. Roll-outs,
rewards, clipping and everything around them are PPO's. Paper 1 compares with GRPO in Table 3 and states no settings.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .experience import Experience, Objective, token_rewards
from .loop import train_policy
from .update import clip_losses

if TYPE_CHECKING:
    from ...config import Grpo
    from .policy import TokenEstimates


def compare_in_groups(
    scores: Tensor, kl: Tensor, value: Tensor, mask: Tensor, learns: Tensor, coefficient: float, settings: Grpo
) -> tuple[Tensor, Tensor, Tensor]:
    """Rewards, advantages and returns `[rows, tokens]` from scores `[rows]`, whose groups stand together.

    `A = (score - mean of the group) / (standard deviation + 1e-4)`, unbiased, the same on every token (eq. 4's A_i, with
    the numbers of TRL 1.16); a group of equal scores teaches nothing.
    """
    groups = scores.view(-1, settings.group_size)
    advantage = groups - groups.mean(1, keepdim=True)
    if settings.scale_advantages:
        advantage = advantage / (groups.std(1, keepdim=True) + 1e-4)
    advantage = advantage.view(-1, 1) * mask
    return token_rewards(scores, kl, mask, 0.0), advantage, torch.zeros_like(mask)


def losses(new: TokenEstimates, old: Experience, rows: list[int], settings: Grpo) -> dict[str, Tensor]:
    """The clipped policy loss and the KL term of every response token of `rows`.

    KL to the reference, always positive and unbiased: `exp(d) - d - 1`, with d = log reference - log policy (eq. 4).
    Tokens weigh alike whatever their answer's length (the mean over a minibatch's tokens, TRL's default; the paper takes
    the mean over answers of their means).
    """
    parts = clip_losses(new, old, rows, settings)
    reference = (old.logp - old.kl)[rows, : new.logp.shape[1]]
    difference = (reference - new.logp) * old.mask[rows, : new.logp.shape[1]]
    parts["kl_loss"] = difference.exp() - difference - 1
    parts["loss"] = parts["policy_loss"] + settings.kl_coefficient * parts["kl_loss"]
    return parts


GRPO = Objective(compare_in_groups, losses)

train = partial(train_policy, objective=GRPO)
