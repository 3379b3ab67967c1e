"""Steps 3 and 4 of policy optimisation: from a roll-out and its scores to what the update learns from (see `ppo`).

Every token pays for moving away from the reference (KL), and a value head tells how much better than expected it was (GAE).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...config import PolicyOptimisation, Ppo
from ..batches import cut_into_pieces
from .policy import Policy, TokenEstimates, forward, values

Passes = Sequence[tuple[list[int], TokenEstimates | None]]
"""Pieces of a roll-out: row numbers, and their forward pass if it is at hand."""


def whiten(values: Tensor, mask: Tensor, shift: bool = True) -> Tensor:
    """`values` scaled to variance one (unbiased) over the masked entries, and to mean zero if `shift`; 0 elsewhere."""
    count = mask.sum().clamp(min=1)
    mean = (values * mask).sum() / count
    variance = ((values - mean) ** 2 * mask).sum() / (count - 1).clamp(min=1)
    return ((values - mean) * torch.rsqrt(variance + 1e-8) + (0 if shift else mean)) * mask


def token_rewards(scores: Tensor, kl: Tensor, mask: Tensor, coefficient: float) -> Tensor:
    """`-coefficient * kl` on every response token `[rows, tokens]`, and the row's score `[rows]` on its last one."""
    last = mask.sum(1, dtype=torch.long) - 1
    return (-coefficient * kl * mask).scatter_add(1, last[:, None], scores[:, None])


def adapt_kl_coefficient(coefficient: float, kl: float, rows: int, settings: PolicyOptimisation) -> float:
    """The KL coefficient after a roll-out of `rows` prompts whose mean summed KL was `kl` (Ziegler et al. 2019, section 2.2)."""
    if not isinstance(settings, Ppo) or settings.kl_control == "fixed":
        return coefficient
    error = min(max(kl / settings.kl_target - 1, -0.2), 0.2)
    return coefficient * (1 + error * rows / settings.kl_horizon)


@dataclass(frozen=True)
class Spans:
    """What the tokens of every response teach, as ranges of places, one a row.

    Attributes:
        own: the policy's own, which pay the KL and whose entropy is told.
        learns: that take the policy's loss.
        valued: that take the value's.
    """

    own: list[range]
    learns: list[range]
    valued: list[range]

    @classmethod
    def whole(cls, responses: list[list[int]]) -> Spans:
        """All tokens, of answers that the policy gave by itself."""
        every = [range(len(response)) for response in responses]
        return cls(every, every, every)


def mask_of(ranges: Sequence[range], width: int, device: torch.device) -> Tensor:
    """Whether a place lies in a row's range, `[rows, width]`."""
    edges = torch.tensor([[places.start, places.stop] for places in ranges]).to(device, non_blocking=True)
    at = torch.arange(width, device=device)
    return (at >= edges[:, :1]) & (at < edges[:, 1:])


@dataclass(frozen=True)
class Experience:
    """A roll-out as the update sees it; tensors are `[rows, longest response]`, constant, and 0 past a response's end.

    Attributes:
        prompts: what is read before each response.
        responses: token ids.
        groups: see `gather_experience`.
        learnt: the rows that are learnt from.
        spans: what a response's tokens teach.
        gold: question and gold answer of every row, in tokens; empty where none is learnt.
        mask: 1 on a response's tokens; `own`, `learns` and `valued`: on those in its span.
    """

    prompts: list[list[int]]
    responses: list[list[int]]
    groups: list[str]
    learnt: frozenset[int]
    spans: Spans
    gold: list[tuple[list[int], list[int]]]
    mask: Tensor
    own: Tensor
    learns: Tensor
    valued: Tensor
    logp: Tensor
    value: Tensor
    kl: Tensor
    rewards: Tensor
    advantage: Tensor
    returns: Tensor

    @property
    def lengths(self) -> list[int]:
        """Tokens a row."""
        return [len(p) + len(r) for p, r in zip(self.prompts, self.responses, strict=True)]

    def summary(self) -> dict[str, Tensor]:
        """KL to the reference and return, summed over a response; entropy a token, estimated from the sampled ones."""
        return {
            "kl": self.kl.sum(1).mean(),
            "return": self.rewards.sum(1).mean(),
            "entropy": -(self.logp * self.own).sum() / self.own.sum().clamp(min=1),
        }

    def weigh(self, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Masks `learns` and `valued`, so weighted that a mean over all tokens of `rows` is one over those in the mask.

        It is 0 where the mask holds none of them.
        """
        tokens = sum(len(self.responses[row]) for row in rows)
        counts = (sum(len(spans[row]) for row in rows) for spans in (self.spans.learns, self.spans.valued))
        learns, valued = (tokens / count if count else 0.0 for count in counts)
        return self.learns * learns, self.valued * valued


@dataclass(frozen=True)
class Objective:
    """What tells one policy optimisation from another: how scores become advantages, and the loss of a token.

    advantages: (scores `[rows]`, kl, value, mask, those that take the policy's loss `[rows, tokens]`, KL coefficient, settings) to
        rewards, advantages and returns, all `[rows, tokens]`.
    losses: (forward pass, experience, rows, settings) to numbers `[rows, tokens]` by name, among them `loss`, the policy's, and
        `value_loss`, where the policy's own network is the critic; and `ratio`, where settings have a `ratio_threshold`.
    critic_step: (policy, experience, rows, tokens, settings) to the loss of a critic of its own, its backward pass made.
    supervise: (policy, experience, rows, tokens, settings) to the loss of gold answers, its backward pass made.
    select: (rewards, settings) to the rows of a roll-out that are learnt from; None: all.
    """

    advantages: Callable[..., tuple[Tensor, Tensor, Tensor]]
    losses: Callable[..., dict[str, Tensor]]
    critic_step: Callable[..., Tensor] | None = None
    supervise: Callable[..., Tensor] | None = None
    select: Callable[..., list[int]] | None = None


def gather_experience(
    policy: Policy,
    prompts: list[list[int]],
    responses: list[list[int]],
    groups: list[str],
    scores: list[float],
    coefficient: float,
    settings: PolicyOptimisation,
    objective: Objective,
    spans: Spans | None = None,
    gold: list[tuple[list[int], list[int]]] | None = None,
) -> tuple[Experience, Passes | None]:
    """Steps 3 and 4 for one roll-out; and the policy's forward pass with its graph, if the first update can use it.

    Args:
        policy: that gave the responses.
        prompts: what is read before each response, in token ids, one list a row.
        responses: token ids.
        groups: of every row: rows of one group share many tokens, such as a task's instructions.
        scores: reward of every row.
        coefficient: of the KL penalty.
        settings: see `config.PolicyOptimisation`.
        objective: how scores become advantages, and which rows are learnt from.
        spans: what the responses' tokens teach; all of them everything when absent.
        gold: questions and gold answers, where these are learnt, too.
    """
    spans = spans or Spans.whole(responses)
    learnt = objective.select(scores, settings) if objective.select else range(len(prompts))
    lengths = [len(p) + len(r) for p, r in zip(prompts, responses, strict=True)]
    pieces = cut_into_pieces(range(len(prompts)), lengths, groups, settings)
    inputs = [(policy, [prompts[r] for r in rows], [responses[r] for r in rows], settings) for rows in pieces]
    # reference and critic first, so that no adapter is switched between the policy's forward and its backward
    with torch.no_grad(), policy.reference():
        before = [forward(*piece).logp for piece in inputs]
    with torch.no_grad(), policy.as_critic():
        expected = [values(*piece[:3]) if policy.critic else None for piece in inputs]
    # the first minibatch is this very forward pass, if it is the whole roll-out and fits into memory at once
    # (with dropout, old and new log-probabilities are draws of their own)
    one_step = settings.minibatch_size == len(learnt) == len(prompts)
    one_step = one_step and not settings.micro_batch_size and not policy.model.training
    with torch.set_grad_enabled(one_step and sum(lengths) <= settings.micro_batch_tokens):
        now = [forward(*piece) for piece in inputs]

    device, dtype = now[0].logp.device, now[0].logp.dtype
    width, whole = max(map(len, responses)), [range(len(r)) for r in responses]
    ranges = (whole, spans.own, spans.learns, spans.valued)
    mask, own, learns, valued = (mask_of(places, width, device).to(dtype) for places in ranges)
    logp, value, reference = (torch.zeros_like(mask) for _ in range(3))
    for rows, new, old, worth in zip(pieces, now, before, expected, strict=True):
        for found, part in ((logp, new.logp), (value, new.value), (value, worth), (reference, old)):
            if part is not None:
                found[rows, : part.shape[1]] = part.detach().to(dtype)
    logp, value, reference = logp * mask, value * mask, reference * mask

    kl = (logp - reference) * own
    rewarded = torch.tensor(scores, dtype=dtype).to(device, non_blocking=True)
    rewards, advantage, returns = objective.advantages(rewarded, kl, value, mask, learns, coefficient, settings)
    experience = Experience(
        prompts, responses, groups, frozenset(learnt), spans, gold or [],
        mask, own, learns, valued, logp, value, kl, rewards, advantage, returns,
    )  # fmt: skip
    return experience, list(zip(pieces, now, strict=True)) if now[0].logp.requires_grad else None
