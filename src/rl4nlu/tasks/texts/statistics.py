"""What the metrics of texts add up: every row's sufficient statistics, and the values of their sums.

A row's statistics are a few numbers a metric, so that the score of a thousand resamples of the rows, as intervals and tests
need it, is a thousand sums. What needs a model (a judge, perplexities) was measured when the row was answered; all else is
computed here from answer and references. A metric that a row cannot have (no judge is named, no model wrote the answer)
has zeros, and a sum of zeros has no value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np

from ..rows import Row
from ..task import EXACT_METRICS, Task
from ..units import Summary, summarise_units
from .cider import Corpus, cider_d, read_corpus
from .concepts import cover_concepts
from .overlap import ORDERS, ROUGE_TYPES, corpus_bleu, count_bleu, rouge

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

Statistics = dict[str, list[float]]
"""Metric -> numbers of one row that are only ever added up."""

Measured = Mapping[str, float]
"""What a model measured of one answer (`answering.answer.Answer.measured`)."""

BLEU_NUMBERS = 2 * ORDERS + 2
CIDER_IN_TABLES = 10.0
"""CIDEr-D from 0 to 10 is printed from 0 to 100, as CommonGen's board has it."""

PERPLEXITIES = {"perplexity": ("nll", "tokens"), "output-perplexity": ("output_nll", "output_tokens")}
"""Metric -> what is measured for it: a sum of negative log-probabilities, and of how many tokens."""

NEVER = {
    "meteor": "needs WordNet, which no package of this one brings",
    "bertscore": "needs an encoder of its own, which scoring does not load",
    "spice": "needs Java and Stanford's CoreNLP",
}
"""Metrics that papers print and nothing here computes, and why."""


@dataclass(frozen=True)
class Answered:
    """An answer of a row: its text (empty: there is none), and what a model measured of it."""

    row: Row
    text: str
    measured: Measured


def count_statistics(
    task: Task,
    rows: Sequence[Row],
    texts: Sequence[str | None],
    measured: Sequence[Measured | None],
    train: Sequence[Row],
) -> list[Statistics]:
    """The statistics of every answer, of each of the task's metrics.

    Args:
        task: names the metrics.
        rows: with references.
        texts: one a row; None where the answer is empty.
        measured: of each answer, what a model measured.
        train: the task's training rows, whose references say what is rare.

    Raises:
        ValueError: the lengths differ, or a row has no references.
    """
    if lacking := next((row for row in rows if not row.answers), None):
        raise ValueError(f"task {task.name}: row {lacking.id} has no references to be scored by")
    corpus = read_corpus([row.answers or [] for row in train] if "cider" in task.metrics else [])
    answers = [Answered(row, text or "", more or {}) for row, text, more in zip(rows, texts, measured, strict=True)]
    return [{name: count_metric(task, name, answer, corpus) for name in task.metrics} for answer in answers]


def count_metric(task: Task, name: str, answer: Answered, corpus: Corpus) -> list[float]:
    """One answer's statistics of one metric; zeros where it cannot be computed."""
    row, text, references = answer.row, answer.text, answer.row.answers or []
    if name in PERPLEXITIES:
        return [float(answer.measured.get(part, 0.0)) for part in PERPLEXITIES[name]]
    if name == "bleu-4":
        return count_bleu(text, references)
    value: float | None = None
    if name == "judge":
        value = answer.measured.get("judge")
    elif name in ROUGE_TYPES:
        value = 100 * rouge(name, text, references)
    elif name == "cider" and corpus.documents:
        value = CIDER_IN_TABLES * cider_d(text, references, corpus)
    elif name == "coverage":
        value = 100 * cover_concepts(row.fields[str(task.concepts)], text)
    elif name in EXACT_METRICS and row.derivation is not None:
        value = 100 * find_exact(name)(row.fields, row.derivation, text)
    return [0.0, 0.0] if value is None else [value, 1.0]


@cache
def find_exact(name: str) -> Callable[..., float]:
    """What the microworld computes a metric by; a step that needs it says so (`runs.keys.scoring_code`), others don't depend on it."""
    found: Callable[..., float] = import_module("rl4nlu.microworld.exact").EXACT[name]
    return found


def width_of(name: str) -> int:
    """How many numbers a metric's statistics are."""
    return BLEU_NUMBERS if name == "bleu-4" else 2


def values_of(name: str, sums: Array) -> Array:
    """A metric's values (draws,) of sums (draws, numbers) of its statistics; NaN where they are all zero."""
    if name == "bleu-4":
        return np.array([corpus_bleu(row) if row[-1] else np.nan for row in sums.tolist()])
    means = np.divide(sums[:, 0], sums[:, 1], out=np.full(len(sums), np.nan), where=sums[:, 1] != 0)
    return np.exp(means) if name in PERPLEXITIES else means


def summarise_texts(task: Task, runs: Sequence[Sequence[Statistics]]) -> Summary:
    """What intervals and tests need to know of one or more runs' statistics of the same rows."""
    features = [[[number for name in task.metrics for number in row[name]] for row in run] for run in runs]
    ends = np.cumsum([width_of(name) for name in task.metrics])[:-1]

    def evaluate(sums: Array) -> dict[str, Array]:
        parts = np.split(sums, ends, axis=1)
        return {name: values_of(name, part) for name, part in zip(task.metrics, parts, strict=True)}

    return summarise_units(features, evaluate)


def explain_absence(task: Task, name: str) -> str:
    """Why a metric has no value."""
    if name == "judge":
        return f"no judge is named for {task.name} (judges, in the config)"
    if name in PERPLEXITIES:
        return "no model wrote these answers"
    if name == "cider":
        return "there are no training references to say what is rare"
    return NEVER.get(name, "only rows that the microworld generates say what is right")
