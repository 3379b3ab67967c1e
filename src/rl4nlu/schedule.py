"""The learning rate over a run, the same for supervised fine-tuning and reinforcement learning."""

from __future__ import annotations

import math


def rate_factor(step: int, steps: int, how: str) -> float:
    """Factor of the learning rate in update `step` (from 0) of `steps`.

    `constant` as released; `cosine` as in paper 1, Appendix C: linear warm-up over the first tenth, which ends at the
    full rate, then half a cosine down to a tenth of it in the last update.
    """
    if how == "constant":
        return 1.0
    warm = max(1, round(steps / 10))
    if step < warm:
        return (step + 1) / warm
    progress = (step + 1 - warm) / (steps - warm)
    return 0.1 + 0.45 * (1 + math.cos(math.pi * progress))
