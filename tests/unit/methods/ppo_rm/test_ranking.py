"""Ranked responses: every rank by hand, ties and equal texts, the two references."""

from collections import Counter

import pytest

from rl4nlu.methods.ppo_rm.ranking import (
    DROPPED_RESPONSES,
    RANKS,
    Response,
    compare,
    rank,
    rank_responses,
    write_references,
)
from rl4nlu.tasks.rows import Row
from rl4nlu.tasks.task import load_tasks

TASKS = load_tasks()
SST2 = TASKS["sst2"]
ROW = Row("r", {"sentence": "a warm film"}, "1")


def said(word, rationale=""):
    return f"{rationale} <Judgement> {word} </Judgement>".strip()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (said("Positive", "it is warm"), "right with rationale"),
        (said("Positive"), "right alone"),
        (said("Negative", "it is cold"), "wrong with rationale"),
        (said("Negative"), "wrong alone"),
        (said("Neutral", "it is warm"), "unreadable"),
        ("it is warm <Judgement> Positive", "unreadable"),
        ("it is warm and Positive", "unreadable"),
        ("", "unreadable"),
    ],
)
def test_ranks_by_hand(text, expected):
    assert RANKS[rank(SST2, text, "1")] == expected


def test_ranks_stand_in_the_papers_order():
    texts = [said("Positive", "w"), said("Positive"), said("Negative", "w"), said("Negative"), "w"]
    ranks = [rank(SST2, text, "1") for text in texts]
    assert ranks == sorted(ranks, reverse=True)
    assert len(set(ranks)) == len(RANKS)


def test_the_references_are_the_right_and_a_wrong_label_alone():
    assert write_references(SST2, ROW, 0) == [said("Positive"), said("Negative")]
    mnli, row = TASKS["mnli"], Row("m", {}, "neutral")
    wrong = {write_references(mnli, row, seed)[1] for seed in range(20)}
    assert wrong == {said(mnli.labels[label]) for label in mnli.labels if label != "neutral"}
    assert write_references(mnli, row, 3) == write_references(mnli, row, 3)


def test_pairs_ties_and_equal_texts_by_hand():
    replies = [said("Positive", "warm"), said("Positive", "kind"), said("Negative", "cold"), said("Positive", " warm")]
    dropped = Counter(dict.fromkeys(DROPPED_RESPONSES, 0))
    responses = rank_responses(SST2, ROW, replies, 0, dropped)
    expected = ["right with rationale"] * 2 + ["wrong with rationale", "right alone", "wrong alone"]
    assert [RANKS[r.rank] for r in responses] == expected
    assert [r.sampled for r in responses] == [True] * 3 + [False] * 2
    found = {(p.better, p.worse): (p.kind, p.own) for p in compare(responses, dropped)}
    assert dropped == {"equal": 1, "tie": 1}  # warm twice; warm and kind
    assert found == {
        (0, 2): ("label", True), (1, 2): ("label", True),
        (0, 3): ("rationale", False), (1, 3): ("rationale", False), (2, 4): ("rationale", False),
        (0, 4): ("label", False), (1, 4): ("label", False), (3, 2): ("label", False), (3, 4): ("label", False),
    }  # fmt: skip


def test_an_unreadable_response_loses_whichever_stands_first():
    two = [Response("what", rank(SST2, "what", "1"), True), Response(said("Negative"), 1, False)]
    for order, better in ((two, 1), (two[::-1], 0)):
        (pair,) = compare(order, Counter())
        assert (pair.better, pair.worse, pair.kind, pair.own) == (better, 1 - better, "label", False)
