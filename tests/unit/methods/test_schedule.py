"""The plan of what is seen when, and how fast: equal shares, whole passes, every row in one batch, the learning rate."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl4nlu.answering.fit import cut_in_proportion
from rl4nlu.methods.schedule import draw, draw_from, group, rate_factor

SIZES = st.lists(st.integers(1, 30), min_size=1, max_size=5)


@given(SIZES, st.integers(0, 200), st.integers(0, 5))
def test_tasks_have_equal_shares_and_rows_repeat_only_after_a_whole_pass(sizes: list[int], n: int, seed: int) -> None:
    seen = draw(sizes, n, seed)
    assert len(seen) == n
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    shares = []
    for start, size in zip(starts, sizes, strict=True):
        own = [row for row in seen if start <= row < start + size]
        shares.append(len(own))
        for begin in range(0, len(own), size):
            one_pass = own[begin : begin + size]
            assert len(set(one_pass)) == len(one_pass)
    assert max(shares) - min(shares) <= 1
    assert sum(shares) == n


def test_members_are_drawn_as_their_places_and_empty_pools_get_no_share() -> None:
    pools = [["a", "b", "c"], [], ["d", "e"]]
    assert draw_from(pools, 9, 3) == ["abcde"[place] for place in draw([3, 2], 9, 3)]


def test_a_pass_is_shuffled_anew_and_the_seed_decides() -> None:
    first = draw([50], 100, 0)
    assert first == draw([50], 100, 0)
    assert first != draw([50], 100, 1)
    assert first[:50] != first[50:]
    assert sorted(first[:50]) == list(range(50))


def test_tasks_are_mixed_rather_than_one_after_another() -> None:
    seen = draw([40, 40], 80, 0)
    assert {row < 40 for row in seen[:10]} == {True, False}


@pytest.mark.parametrize(("sizes", "n"), [([3, 0], 4), ([], 1), ([3], -1)])
def test_a_task_without_rows_is_refused(sizes: list[int], n: int) -> None:
    with pytest.raises(ValueError, match="cannot draw"):
        draw(sizes, n, 0)


@given(st.lists(st.integers(1, 500), max_size=120), st.integers(1, 9), st.integers(0, 3), st.integers(1, 5))
def test_every_position_is_in_one_batch_and_only_the_last_is_short(
    lengths: list[int], size: int, seed: int, window: int
) -> None:
    batches = group(lengths, size, seed, window)
    assert Counter(i for batch in batches for i in batch) == Counter(range(len(lengths)))
    assert all(len(batch) == size for batch in batches[:-1])
    assert len(batches) == -(-len(lengths) // size)
    for batch in batches:
        found = [lengths[i] for i in batch]
        assert found == sorted(found)


def test_batches_hold_rows_of_like_length_from_one_window() -> None:
    lengths = [(i * 7919) % 400 + 20 for i in range(640)]
    batches = group(lengths, 16, 0)
    padded = sum(16 * max(lengths[i] for i in batch) for batch in batches)
    assert padded / sum(lengths) < 1.08
    assert all(i // 256 == batch[0] // 256 for batch in batches for i in batch)
    longest = [max(lengths[i] for i in batch) for batch in batches[:16]]
    assert longest != sorted(longest), "the order of batches must not follow their length"


def test_cutting_in_proportion_by_hand():
    assert cut_in_proportion([1] * 6, [2] * 4, 10) == ([1] * 6, [2] * 4)
    assert cut_in_proportion([1] * 6, [2] * 4, 5) == ([1] * 3, [2] * 2)


@given(st.integers(1, 400))
def test_cosine_rises_over_a_tenth_and_falls_to_a_tenth(steps: int) -> None:
    factors = [rate_factor(step, steps, "cosine") for step in range(steps)]
    peak = factors.index(max(factors))
    assert factors[peak] == 1
    assert peak == max(1, round(steps / 10)) - 1
    assert factors[: peak + 1] == sorted(factors[: peak + 1])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)
    assert min(factors) > 0
    if steps > 1:
        assert factors[-1] == pytest.approx(0.1)


def test_constant_is_constant() -> None:
    assert {rate_factor(step, 30, "constant") for step in range(30)} == {1.0}


def test_linear_by_hand() -> None:
    assert [rate_factor(step, 4, "linear") for step in range(4)] == [1.0, 0.75, 0.5, 0.25]


def test_cosine_by_hand() -> None:
    found = [rate_factor(step, 20, "cosine") for step in range(20)]
    assert found[:2] == [0.5, 1.0]
    assert found[10] == pytest.approx(0.55)  # half way down from 1 to .1
    assert found[-1] == pytest.approx(0.1)
    assert rate_factor(0, 1, "cosine") == 1.0
