"""Proximal policy optimisation of a LoRA adapter with rule rewards (paper 1, section 2; Schulman et al. 2017).

A roll-out is one batch of prompts, and runs through these steps:

1. *roll-out*: the policy samples an answer to every prompt;
2. *reward*: a rule gives every answer one number, on its last token;
3. *KL*: every answer token pays for moving away from the reference, the policy that the run started from;
4. *GAE*: a value head tells how much better than expected every token was (steps 3 and 4: `experience`);
5. *clipped update*: some passes over the roll-out move the adapter and the value head.

Where the paper is silent, numbers and estimators are those of TRL 0.11.4, which its code runs on, without dropout:
there the training forward is in evaluation mode, too, so that probability ratios start at exactly one.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ...config import Ppo
from .experience import Experience, Objective, token_rewards, whiten
from .loop import train_policy
from .policy import Policy, TokenEstimates, predictions, values
from .update import clip_losses


def gae(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> Tensor:
    """Generalised advantage estimates (Schulman et al. 2016, eq. 16), all `[rows, tokens]` and 0 past a response's end.

    `A_t = R_t + gamma V_{t+1} - V_t + gamma lam A_{t+1}`, with V = A = 0 after the last token (paper 1, section 2).
    """
    advantage = following = torch.zeros_like(values[:, 0])
    columns = []
    for t in reversed(range(values.shape[1])):
        delta = rewards[:, t] + gamma * following - values[:, t]
        advantage = (delta + gamma * lam * advantage) * mask[:, t]
        following = values[:, t]
        columns.append(advantage)
    return torch.stack(columns[::-1], dim=1)


def estimate_advantages(
    scores: Tensor, kl: Tensor, value: Tensor, mask: Tensor, learns: Tensor, coefficient: float, settings: Ppo
) -> tuple[Tensor, Tensor, Tensor]:
    """PPO's rewards, advantages and returns: the KL is paid token by token, advantages come from the value head."""
    rewards = token_rewards(scores, kl, mask, coefficient)
    if settings.whiten_rewards:
        rewards = whiten(rewards, mask, shift=False)
    advantage = gae(rewards, value, mask, settings.gamma, settings.gae_lambda)
    returns = advantage + value
    if settings.whiten_advantages:
        advantage = whiten(advantage, learns)
    return rewards, advantage, returns


def losses(new: TokenEstimates, old: Experience, rows: list[int], settings: Ppo) -> dict[str, Tensor]:
    """PPO's losses of every response token of `rows`: the clipped policy loss and, where the policy has a value head, the value's."""
    parts = clip_losses(new, old, rows, settings)
    parts["loss"] = parts["policy_loss"]
    if new.value is not None:  # else a critic of its own learns it
        parts["value_loss"] = value_losses(new.value, old, rows, settings)
    return parts


def value_losses(new: Tensor, old: Experience, rows: list[int], settings: Ppo) -> Tensor:
    """Half the larger of the squared errors of the value and of the value clipped to its old neighbourhood, every token's.

    Schulman et al. 2017, eq. 9, as TRL 0.11.4 computes it.
    """
    value, returns = (t[rows, : new.shape[1]] for t in (old.value, old.returns))
    near = value + (new - value).clamp(-settings.clip_range_value, settings.clip_range_value)
    return 0.5 * torch.maximum((new - returns) ** 2, (near - returns) ** 2)


def critic_step(policy: Policy, old: Experience, rows: list[int], tokens: int, settings: Ppo) -> Tensor:
    """Forward and backward pass of a critic of its own over `rows`; returns its loss, a share of the mean over `tokens`."""
    with policy.as_critic():
        loss = critic_loss(policy, old, rows, tokens, settings)
        (settings.value_coefficient * loss).backward()
    return loss.detach()


def released_critic_step(policy: Policy, old: Experience, rows: list[int], tokens: int, settings: Ppo) -> Tensor:
    """`critic_step` as paper 2's release has it: the policy's adapter is switched on between forward and backward.

    The recomputation that gradient checkpointing makes then runs through the wrong adapter.
    """
    with policy.as_critic():
        loss = critic_loss(policy, old, rows, tokens, settings, checkpointed=True)
    (settings.value_coefficient * loss).backward()
    return loss.detach()


def critic_loss(
    policy: Policy, old: Experience, rows: list[int], tokens: int, settings: Ppo, checkpointed: bool = False
) -> Tensor:
    """The critic's loss over `rows`, with its adapter switched on by the caller; a share of the mean over `tokens`."""
    new = values(policy, [old.prompts[r] for r in rows], [old.responses[r] for r in rows], checkpointed=checkpointed)
    return (value_losses(new, old, rows, settings) * old.valued[rows, : new.shape[1]]).sum() / tokens


def supervise(policy: Policy, old: Experience, rows: list[int], tokens: int, settings: Ppo) -> Tensor:
    """Forward and backward pass of the gold answers to `rows`; returns their cross-entropy, a share of the mean over `tokens`.

    A question is read without what a guide wrote behind it (paper 3's release has the term in all of its algorithms, PPO's too).
    """
    asked, gold = zip(*(old.gold[row] for row in rows), strict=True)
    _, logits = predictions(policy.model, list(asked), list(gold))
    loss = torch.zeros((), device=logits.device)
    for row, answer in zip(logits.float(), gold, strict=True):
        loss = (
            loss + cross_entropy(row[: len(answer)], torch.tensor(answer, device=row.device), reduction="sum") / tokens
        )
    (settings.supervised_coefficient * loss).backward()
    return loss.detach()


PPO = Objective(estimate_advantages, losses, critic_step, supervise)

train = partial(train_policy, objective=PPO)
