"""Rows of one forward pass: pieces of like length, a shared prefix read once, logits where they are wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..config import PolicyOptimisation, RewardModel

if TYPE_CHECKING:
    from torch import Tensor


PIECE_COST = 256
"""What one more forward call costs, in tokens (measured on small models; next to nothing on large ones)."""


def cost_apart(rows: int, longest: int | float) -> float:
    """What reading `rows` rows of one group by themselves costs, in tokens.

    With what they share read once, about half of their tokens are left; a row alone shares nothing.
    """
    return rows * longest / (2 if rows > 1 else 1) + PIECE_COST


def cut_into_pieces(
    rows: Sequence[int], lengths: Sequence[int], groups: Sequence[str], settings: PolicyOptimisation | RewardModel
) -> list[list[int]]:
    """`rows` in pieces of similar length for one forward pass each: at most `micro_batch_size` rows, `micro_batch_tokens` tokens.

    Rows of one group share many tokens (a task's instructions, or a whole prompt); groups are kept apart where that spares
    more than it costs.
    How rows are cut never changes the result beyond rounding: losses are normalised over the whole minibatch.
    """
    ordered = sorted(rows, key=lambda row: (lengths[row], row))
    apart = [
        [row for row in ordered if groups[row] == group] for group in dict.fromkeys(groups[row] for row in ordered)
    ]
    costs = sum(cost_apart(len(group), lengths[group[-1]]) for group in apart)
    if len(apart) > 1 and costs > len(rows) * lengths[ordered[-1]]:
        apart = [ordered]
    return [piece for group in apart for piece in cut_cheaply(group, lengths, settings)]


def cut_cheaply(
    rows: Sequence[int], lengths: Sequence[int], settings: PolicyOptimisation | RewardModel
) -> list[list[int]]:
    """`rows`, which run from short to long, in the consecutive pieces that cost least: padded tokens, and `PIECE_COST` each."""
    cheapest = [(0, 0)]  # of the first n rows: their cost, and where their last piece starts
    for end in range(1, len(rows) + 1):
        longest = lengths[rows[end - 1]]
        most = min(settings.micro_batch_size or end, max(1, settings.micro_batch_tokens // longest), end)
        starts = range(end - most, end)
        cheapest.append(min((cheapest[n][0] + (end - n) * longest + PIECE_COST, n) for n in starts))
    pieces: list[list[int]] = []
    end = len(rows)
    while end:
        start = cheapest[end][1]
        pieces.insert(0, list(rows[start:end]))
        end = start
    return pieces


def read_prefix(trunk: Any, prefix: Tensor, rows: int) -> Any:
    """The cache of a prefix `(1, tokens)` that `rows` rows share: computed once, gradients included, and seen by each of them."""
    past = trunk(input_ids=prefix, use_cache=True).past_key_values
    for layer in past.layers:
        layer.keys = layer.keys.expand(rows, -1, -1, -1)
        layer.values = layer.values.expand(rows, -1, -1, -1)
    return past


@contextmanager
def pick_states(decoder: Any, pick: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Inside, the head of `decoder` (without PEFT's wrapper) gets only what `pick` takes from the last hidden states.

    `pick` is given states `[rows, tokens, size]`. It stands between trunk and head, so that logits exist where they are
    wanted, and whatever a model does to them (Gemma's soft cap, Granite's and Cohere's scale) is done by the model itself.
    """

    def keep_picked(_module: Any, _args: Any, output: Any) -> Any:
        output.last_hidden_state = pick(output.last_hidden_state)
        return output

    hook = decoder.base_model.register_forward_hook(keep_picked)
    try:
        yield
    finally:
        hook.remove()
