"""Pairs of responses whose better side is known: the loss that learns from them, and how well they are told apart.

Both papers' reward models use it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional

from ..base.errors import Diverged

BINS = 10
"""Bins of the calibration error."""

QUANTILES = 20
"""The scores of right responses are recorded at so many equal steps between the least and the greatest."""


def last_loss(chosen: Tensor, rejected: Tensor, temperature: float = 1.0) -> Tensor:
    """Bradley-Terry losses `[pairs]` of the scores `[pairs]` of the responses' last tokens."""
    return -functional.logsigmoid((chosen - rejected) / temperature)


def told_apart(margins: Sequence[float]) -> dict[str, float | int | None]:
    """How well pairs are told apart, from chosen minus rejected score.

    accuracy: share of margins above zero; margin: their mean; calibration: expected calibration error of the confidence
    `sigmoid(|margin|)` over `BINS` bins of equal width between one half and one; loss: mean `-log sigmoid(margin)`.

    Raises:
        Diverged: a margin is no number.
    """
    n = len(margins)
    if not all(map(math.isfinite, margins)):
        raise Diverged("the scores of held-out pairs are no longer finite")
    if not n:
        return {"n": 0, "accuracy": None, "margin": None, "calibration": None, "loss": None}
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
    for margin in margins:
        confidence = 1 / (1 + math.exp(-min(abs(margin), 500.0)))
        bins[min(int((confidence - 0.5) * 2 * BINS), BINS - 1)].append((confidence, margin > 0))
    error = sum(abs(sum(c for c, _ in one) - sum(right for _, right in one)) for one in bins) / n
    loss = sum(max(-m, 0.0) + math.log1p(math.exp(-abs(m))) for m in margins) / n
    return {
        "n": n, "accuracy": sum(m > 0 for m in margins) / n, "margin": sum(margins) / n, "calibration": error, "loss": loss,
    }  # fmt: skip
