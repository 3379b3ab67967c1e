"""Pieces of a batch for one forward pass each: every row once, within bounds, at the least cost."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from rl4nlu.config import Ppo
from rl4nlu.methods.batches import PIECE_COST, cut_cheaply, cut_into_pieces

lengths_and_groups = st.lists(st.tuples(st.integers(1, 90), st.sampled_from("abc")), min_size=1, max_size=40)


@given(lengths_and_groups, st.sampled_from([None, 1, 4]), st.integers(64, 400))
def test_pieces_hold_every_row_once_within_its_bounds(rows, most, tokens):
    lengths, groups = [length for length, _ in rows], [group for _, group in rows]
    settings = Ppo(minibatch_size=64, micro_batch_size=most, micro_batch_tokens=tokens)
    pieces = cut_into_pieces(range(len(rows)), lengths, groups, settings)
    assert sorted(row for piece in pieces for row in piece) == list(range(len(rows)))
    for piece in pieces:
        assert len(piece) <= (most or len(piece))
        assert len(piece) == 1 or len(piece) * max(lengths[row] for row in piece) <= tokens


@given(st.lists(st.integers(1, 900), min_size=1, max_size=8), st.sampled_from([None, 1, 4]), st.integers(64, 4000))
def test_no_other_cut_costs_less(lengths, most, tokens):
    settings = Ppo(minibatch_size=64, micro_batch_size=most, micro_batch_tokens=tokens)
    rows = sorted(range(len(lengths)), key=lambda row: lengths[row])

    def cost(pieces):
        return sum(len(piece) * lengths[piece[-1]] + PIECE_COST for piece in pieces)

    def allowed(piece):
        return len(piece) <= (most or 8) and (len(piece) == 1 or len(piece) * lengths[piece[-1]] <= tokens)

    costs = []
    for marks in itertools.product([False, True], repeat=len(rows) - 1):
        edges = [0, *(n for n, mark in enumerate(marks, 1) if mark), len(rows)]
        pieces = [rows[a:b] for a, b in itertools.pairwise(edges)]
        if all(map(allowed, pieces)):
            costs.append(cost(pieces))
    assert cost(cut_cheaply(rows, lengths, settings)) == min(costs)


def test_tasks_are_kept_apart_where_that_pays():
    settings = Ppo(minibatch_size=64)
    groups = ["a", "b"] * 32
    assert len(cut_into_pieces(range(64), [200, 210] * 32, groups, settings)) == 2
    assert len(cut_into_pieces(range(4), [10, 12] * 2, groups, settings)) == 1
    assert len(cut_into_pieces(range(4), [600] * 4, [*"abcd"], settings)) == 1  # nothing to share
