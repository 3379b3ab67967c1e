"""Step 5 of policy optimisation: the update of adapter and value head, and the clipped loss (Schulman et al. 2017)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ...config import ClippedOptimisation, PolicyOptimisation, Ppo
from ..batches import cut_into_pieces
from .experience import Experience, Objective, Passes
from .policy import Policy, TokenEstimates, forward


def clip_losses(
    new: TokenEstimates, old: Experience, rows: list[int], settings: ClippedOptimisation
) -> dict[str, Tensor]:
    """The clipped policy loss of every response token of `rows`, and what is worth watching.

    `-min(ratio A, clip(ratio) A)` (Schulman et al. 2017, eq. 7).
    """
    learns, logp, advantage = (t[rows, : new.logp.shape[1]] for t in (old.learns, old.logp, old.advantage))
    log_ratio = (new.logp - logp) * learns
    ratio = log_ratio.exp()
    near = ratio.clamp(1 - settings.clip_range, 1 + settings.clip_range)
    return {
        "policy_loss": -torch.minimum(ratio * advantage, near * advantage),
        "ratio": ratio,
        "clip_fraction": (near * advantage < ratio * advantage).to(ratio.dtype),
        "approximate_kl": 0.5 * log_ratio**2,
    }


def update(
    policy: Policy,
    optimiser: torch.optim.Optimizer,
    experience: Experience,
    settings: PolicyOptimisation,
    chance: torch.Generator,
    objective: Objective,
    first: Passes | None = None,
) -> dict[str, Tensor]:
    """`epochs` passes over a roll-out, one optimiser step a minibatch; means over tokens, averaged over the steps.

    The policy's losses are means over the tokens that take them, the value's over those that take its. A minibatch without a row that is learnt from makes no step; without any step there is nothing to average.

    Args:
        policy: is changed.
        optimiser: over `policy.parameters()`.
        experience: the roll-out.
        settings: see `config.PolicyOptimisation`.
        chance: shuffles rows into minibatches.
        first: pieces (rows and forward pass, graph included) of the whole roll-out by the unchanged policy, if at hand:
            they are the first epoch's forward pass, which is then not repeated.
        objective: its losses and the step of its critic.
    """
    parameters = policy.parameters()
    steps: list[dict[str, Tensor]] = []
    for _ in range(settings.epochs):
        order = torch.randperm(len(experience.prompts), generator=chance).tolist()
        for start in range(0, len(order), settings.minibatch_size):
            minibatch = [row for row in order[start : start + settings.minibatch_size] if row in experience.learnt]
            if not minibatch:
                continue
            tokens = sum(len(experience.responses[row]) for row in minibatch)
            learns, valued = experience.weigh(minibatch)
            means: dict[str, Tensor] = {}
            pieces = cut_into_pieces(minibatch, experience.lengths, experience.groups, settings)
            for rows, ready in first or [(rows, None) for rows in pieces]:
                new = ready or forward(
                    policy, [experience.prompts[r] for r in rows], [experience.responses[r] for r in rows], settings
                )
                parts = objective.losses(new, experience, rows, settings)
                own, worth = (weights[rows, : new.logp.shape[1]] for weights in (learns, valued))
                weighted = {name: part * (worth if name == "value_loss" else own) for name, part in parts.items()}
                if isinstance(settings, Ppo) and "value_loss" in weighted:
                    weighted["loss"] = weighted["loss"] + settings.value_coefficient * weighted["value_loss"]
                if new.entropy is not None:
                    weighted["loss"] = weighted["loss"] - settings.entropy_coefficient * (new.entropy * own)
                sums = {name: part.sum() / tokens for name, part in weighted.items()}
                sums["loss"].backward()
                if policy.critic and objective.critic_step:
                    judged = max(1, sum(len(experience.spans.valued[row]) for row in minibatch))
                    sums["value_loss"] = objective.critic_step(policy, experience, rows, judged, settings)
                if experience.gold and objective.supervise:
                    taught = sum(len(experience.gold[row][1]) for row in minibatch)
                    sums["supervised_loss"] = objective.supervise(policy, experience, rows, taught, settings)
                for name, part in sums.items():
                    means[name] = means.get(name, 0) + part.detach()
            first = None
            if isinstance(settings, ClippedOptimisation) and settings.ratio_threshold is not None:
                # decided on the device: a skipped minibatch has no gradient (the optimiser's momentum, if any, still acts)
                skip = means["ratio"] > settings.ratio_threshold
                for gradient in (p.grad for p in parameters if p.grad is not None):
                    gradient.masked_fill_(skip, 0.0)
                means = {name: mean.masked_fill(skip, 0.0) for name, mean in means.items()} | {"skipped": skip.float()}
            if settings.max_grad_norm is not None and (settings.clipping == "every-step" or not optimiser.state):
                nn.utils.clip_grad_norm_(parameters, settings.max_grad_norm)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            steps.append(means)
    return {name: torch.stack([means[name] for means in steps]).mean() for name in (steps[0] if steps else ())}


def make_optimiser(policy: Policy, settings: PolicyOptimisation, learning_rate: float) -> torch.optim.Optimizer:
    """AdamW without decay, or Adafactor with a fixed step as released; the value head may have its own learning rate."""
    groups: list[dict[str, Any]] = [{"params": policy.adapter_parameters(), "lr": learning_rate}]
    if isinstance(settings, Ppo):
        groups.append({"params": policy.value_parameters(), "lr": settings.value_learning_rate or learning_rate})
    if settings.optimiser == "adafactor":
        from transformers.optimization import Adafactor

        return Adafactor(groups, lr=learning_rate, scale_parameter=False, relative_step=False, warmup_init=False)
    return torch.optim.AdamW(groups, weight_decay=0.0, fused=True)  # no square roots of MKL (`base.machine.KERNELS`)
