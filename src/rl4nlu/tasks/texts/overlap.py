"""BLEU-4 and ROUGE by the libraries that define them, and what has to be kept of a text to compute them of many."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from typing import Any

ORDERS = 4
"""Words of BLEU's longest n-gram."""

ROUGE_TYPES = {"rouge-1": "rouge1", "rouge-2": "rouge2", "rouge-l": "rougeL"}
"""Metric -> rouge-score's name of it."""


@cache
def _bleu() -> Any:
    """sacrebleu's BLEU-4 of words between white space, unsmoothed: one text's score is never used, only its counts."""
    from sacrebleu.metrics import BLEU

    logging.getLogger("sacrebleu").setLevel(logging.ERROR)  # it warns of scores of single texts
    return BLEU(tokenize="none", smooth_method="none")


@cache
def _rouge(kind: str) -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer([kind], use_stemmer=True)


def count_bleu(answer: str, references: Sequence[str]) -> list[float]:
    """What BLEU adds up over texts: n-grams found, n-grams in all (four numbers each), and both lengths in words."""
    found = _bleu().sentence_score(answer, list(references))
    return [*map(float, (*found.counts, *found.totals, found.sys_len, found.ref_len))]


def corpus_bleu(sums: Sequence[float]) -> float:
    """BLEU-4 in percent of texts whose counts add up to `sums` (`count_bleu`)."""
    counts = [round(number) for number in sums]
    found, in_all, (answers, references) = counts[:ORDERS], counts[ORDERS : 2 * ORDERS], counts[2 * ORDERS :]
    return float(_bleu().compute_bleu(found, in_all, answers, references, smooth_method="none").score)


def rouge(metric: str, answer: str, references: Sequence[str]) -> float:
    """F of `rouge-1`, `rouge-2` or `rouge-l` against the nearest reference, from 0 to 1, words stemmed."""
    kind = ROUGE_TYPES[metric]
    return float(_rouge(kind).score_multi(list(references), answer)[kind].fmeasure)
