"""`rows`: rows of any task, their labels balanced, no row in two splits, with the official field names and label forms.

What a row says as a whole decides its split, and pretraining reads rows of train alone. Some tasks ask several things of
one text (of a sentence with a pronoun, which of two names it means): whoever wants such texts in one split alone says
which rows `rows` must leave out, as `tasks.sources.microworld` does.
"""

from __future__ import annotations

import copy
import hashlib
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

from . import fact_tasks as ft
from . import opinion_tasks as ot
from . import text_tasks as tt
from . import word_tasks as wt
from .claims import NLI, GeneratedRow, Knobs
from .world import unmark

Maker = Callable[[random.Random, Knobs, int], GeneratedRow]
# task -> (maker, number of classes)
MAKERS: dict[str, tuple[Maker, int]] = {
    "cola": (wt.cola, 2),
    "sst2": (wt.sst2, 2),
    "mrpc": (ft.mrpc, 2),
    "stsb": (ft.stsb, 6),
    "qqp": (ft.qqp, 2),
    "mnli": (ft.nli, 3),
    "mnli-mm": (ft.mnli_mm, 3),
    "ax": (ft.ax, 3),
    "qnli": (ft.qnli, 2),
    "rte": (ft.rte, 2),
    "wnli": (wt.wnli, 2),
    "boolq": (ft.boolq, 2),
    "cb": (ft.cb, 3),
    "copa": (wt.copa, 2),
    "multirc": (ft.multirc, 1),
    "record": (ft.record, 1),
    "superglue-rte": (ft.superglue_rte, 2),
    "wic": (wt.wic, 2),
    "wsc": (wt.wsc, 2),
    "axb": (ft.axb, 2),
    "axg": (wt.axg, 2),
    "movie-reviews": (ot.movie_reviews, 2),
    "ag-news": (ot.ag_news, 4),
    "app-reviews": (ot.app_reviews, 5),
    "imdb": (tt.imdb, 2),
    "commongen": (tt.commongen, 1),
    "tldr": (tt.tldr, 1),
}
TASKS = tuple(MAKERS)
TEXT_TASKS = ("imdb", "commongen", "tldr")
"""Tasks whose answers are texts: what stands under `label` is one or several of these, or says what the row's text is like."""
VOCABULARY_TASKS = TASKS[: TASKS.index("movie-reviews")]
"""Tasks whose rows gave the shipped models their words; every later task makes do with these."""
GENERATED_SPLITS = ("train", "validation", "test")
NOISELESS = ("stsb", "multirc", "record", "axg", "ax", "axb", *TEXT_TASKS)
# labels in the order of a maker's `want`
LABELS: dict[str, tuple[Any, ...]] = {
    "cb": NLI,
    "superglue-rte": ("entailment", "not_entailment"),
    "axb": ("entailment", "not_entailment"),
    "boolq": (False, True),
    "wic": (False, True),
    "wsc": (False, True),
    "app-reviews": (1, 2, 3, 4, 5),
}


def clean(value: Any) -> Any:
    """A copy of a row without mismatch marks."""
    if isinstance(value, str):
        return unmark(value)
    if isinstance(value, dict):
        return {k: clean(v) for k, v in value.items()}
    if isinstance(value, list):
        return [clean(v) for v in value]
    return value


def content(row: GeneratedRow) -> str:
    """What a row says, without label, indices and derivation: the key that decides its split."""
    row = clean(row["pair"][0] if "pair" in row else row)
    return json.dumps(
        {k: v for k, v in row.items() if k not in ("label", "idx", "derivation", "pair_id")}, sort_keys=True
    )


def split_of(row: GeneratedRow) -> str:
    """The split that a row's content belongs to: eight tenths train, one tenth each for the others."""
    digit = int(hashlib.sha256(content(row).encode()).hexdigest()[:8], 16) % 10
    return "train" if digit < 8 else "validation" if digit == 8 else "test"


def marked_rows(task: str, split: str, seed: int | str, knobs: Knobs | None = None) -> Iterator[GeneratedRow]:
    """Rows without end, marks kept, classes in turn, repeats allowed: what pretraining reads."""
    if task not in MAKERS:
        raise KeyError(f"unknown microworld task {task!r}; known are {', '.join(TASKS)}")
    if split not in GENERATED_SPLITS:
        raise KeyError(f"unknown split {split!r}; known are {', '.join(GENERATED_SPLITS)}")
    maker, classes = MAKERS[task]
    knobs = knobs or Knobs()
    rng = random.Random(f"{task}|{split}|{seed}")
    turn: list[int] = []
    while True:
        if not turn:
            turn = rng.sample(range(classes), classes)
        row = maker(rng, knobs, turn[-1])
        if split_of(row) == split:
            turn.pop()
            yield row


def _noise(task: str, row: GeneratedRow, rng: random.Random) -> None:
    """Replace a row's label by another one and say so in its derivation."""
    labels = LABELS.get(task, tuple(range(MAKERS[task][1])))
    row["derivation"]["clean_label"] = row["label"]
    row["label"] = rng.choice([v for v in labels if v != row["label"]])
    row["derivation"]["noisy"] = True


def rows(
    task: str,
    split: str,
    n: int,
    seed: int,
    knobs: Knobs | None = None,
    unless: Callable[[GeneratedRow], bool] = lambda row: False,
) -> list[GeneratedRow]:
    """`n` distinct rows of a task's split in official form, each with a `derivation` that says why its label holds.

    Args:
        task: one of `TASKS`.
        split: one of `GENERATED_SPLITS`.
        n: how many.
        seed: the same seed makes the same rows.
        knobs: how hard they are.
        unless: whether a row is to be left out.

    Raises:
        KeyError: there is no such task or split.
        ValueError: there are not so many rows.
    """
    knobs = knobs or Knobs()
    rng = random.Random(f"noise|{task}|{split}|{seed}")
    out: list[GeneratedRow] = []
    seen: set[str] = set()
    misses = 0
    for raw in marked_rows(task, split, seed, knobs):
        if len(out) >= n:
            break
        key, made = content(raw), clean(copy.deepcopy(raw.get("pair", [raw])))
        if key in seen or any(map(unless, made)):
            misses += 1
            if misses > 10 * n + 2000:
                raise ValueError(f"task {task!r} has no {n} distinct rows in split {split!r}; found {len(out)}")
            continue
        seen.add(key)
        for row in made:
            row["idx"] = len(out)
            if "pair" in raw:
                row["pair_id"] = len(out) // 2
            row["derivation"]["noisy"] = False
            if task not in NOISELESS and rng.random() < knobs.label_noise:
                _noise(task, row, rng)
            out.append(row)
    return out[:n]
