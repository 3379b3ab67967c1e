"""Which example is seen when: a seeded plan over the tasks of a mixture, with rows of like length in one batch.

Padding a batch to its longest row wastes 27-28 % of the work on NLU prompts when batches are drawn blindly
(measured); sorting inside a window of batches removes nearly all of it and keeps the order random on
any scale longer than the window.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

WINDOW = 16
"""Batches that are sorted together: enough to leave about 2 % of padding, few enough to keep an epoch mixed."""


def _epochs(rows: Sequence[int], rng: random.Random) -> Iterator[int]:
    """Endless passes over `rows`, each in an order of its own."""
    while True:
        yield from rng.sample(rows, len(rows))


def draw(sizes: Sequence[int], n: int, seed: int) -> list[int]:
    """The `n` rows to be seen, in order, as indices into the concatenated tasks of `sizes` rows each.

    Every task gets the same share of `n` (the first ones one more where `n` does not divide), whatever its size,
    and is passed through whole, reshuffled, before a row is repeated. Paper 1's release repeats a task of fewer than
    30 000 rows up to that number and keeps the larger ones whole, so that MNLI and QQP outweigh the rest; the paper
    does not state its multi-task mixing. Equal shares are the release's rule for all
    tasks of up to 30 000 rows, and keep a short run from skipping the small tasks.

    Raises:
        ValueError: a task has no rows, or `n` is negative.
    """
    if n < 0 or not sizes or min(sizes) < 1:
        raise ValueError(f"cannot draw {n} rows from tasks of {list(sizes)} rows: every task needs training rows")
    rng = random.Random(f"draw {seed}")
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    streams = [_epochs(range(start, start + size), rng) for start, size in zip(starts, sizes, strict=True)]
    turns = [i % len(sizes) for i in range(n)]
    rng.shuffle(turns)
    return [next(streams[turn]) for turn in turns]


def draw_from(pools: Sequence[Sequence[T]], n: int, seed: int) -> list[T]:
    """The `n` members of some tasks' pools to be seen, in order; see `draw`. A task whose pool is empty gets no share."""
    together = [member for pool in pools for member in pool]
    return [together[i] for i in draw([len(pool) for pool in pools if pool], n, seed)]


def group(lengths: Sequence[int], batch_size: int, seed: int, window: int = WINDOW) -> list[list[int]]:
    """Batches of positions into `lengths`, each of rows of like length; only the last may be short.

    Args:
        lengths: length of every row, in the order of the plan (tokens).
        batch_size: rows a batch.
        seed: of the order of batches inside a window.
        window: batches that are sorted by length together.

    Returns:
        Batches that hold every position exactly once. Inside a batch rows run from short to long, so that
        micro-batches are of like length too.
    """
    rng = random.Random(f"group {seed}")
    batches: list[list[int]] = []
    full = len(lengths) - len(lengths) % batch_size
    for start in range(0, full, batch_size * window):
        rows = sorted(range(start, min(start + batch_size * window, full)), key=lambda i: lengths[i])
        cut = [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
        rng.shuffle(cut)
        batches += cut
    if full < len(lengths):
        batches.append(sorted(range(full, len(lengths)), key=lambda i: lengths[i]))
    return batches


def rate_factor(step: int, steps: int, how: str) -> float:
    """Factor of the learning rate in update `step` (from 0) of `steps`.

    `constant` as released; `cosine` as in paper 1, Appendix C: linear warm-up over the first tenth, which ends at the
    full rate, then half a cosine down to a tenth of it in the last update; `linear` as in paper 3's release: in equal steps
    from the full rate, which would reach zero after the last update.
    """
    if how == "constant":
        return 1.0
    if how == "linear":
        return 1 - step / steps
    warm = max(1, round(steps / 10))
    if step < warm:
        return (step + 1) / warm
    progress = (step + 1 - warm) / (steps - warm)
    return 0.1 + 0.45 * (1 + math.cos(math.pi * progress))
