"""Rationales: texts that argue for a label, gold or wrong, of a task's rows (paper 2).

They are written by `rationales.writing`, from the source that config names, into `data/<task>/rationales.jsonl`, and read
with the rows (`tasks.rows`).
"""

from __future__ import annotations

from collections import Counter


def overlap(rationale: str, reference: str) -> float:
    """F1 of the words of two texts, counted with repeats."""
    ours, theirs = Counter(rationale.lower().split()), Counter(reference.lower().split())
    both = sum((ours & theirs).values())
    return 2 * both / (sum(ours.values()) + sum(theirs.values())) if both else 0.0
