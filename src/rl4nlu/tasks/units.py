"""Units: what a metric judges as one, and what is drawn together when examples are resampled.

A metric's unit is a row or, in the nested layouts, a group of rows (a MultiRC question, a ReCoRD query, an AX-g pair).
Units that share a text are not independent: MultiRC asks a dozen questions of a passage, MNLI makes three hypotheses of a
premise. So intervals and tests draw clusters, by one rule: units whose rows share the text of `task.carve_by`, which is
also what stays on one side when validation is carved. A task that names no such field is drawn unit by unit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base.files import digest_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .rows import Row
    from .task import Task

    Array = NDArray[np.float64]
    Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Summary:
    """The predictions of one or more runs on the same units, as counts of distinct units.

    Attributes:
        codes: (runs, units) which distinct unit each unit is in each run.
        evaluate: (weights (draws, k) or None, which distinct unit each column is (k,)) -> each metric's values (draws,), in
            percent. A distinct unit may have several columns; their weights add up. None: each column counts once.
    """

    codes: Codes
    evaluate: Callable[[Array | None, Codes], dict[str, Array]]

    def values(self, run: int) -> dict[str, float]:
        """The metrics of `run`, in percent."""
        return {name: float(value[0]) for name, value in self.evaluate(None, self.codes[run]).items()}


def by_group(rows: Sequence[Row]) -> dict[str, list[int]]:
    """Positions of the rows of each group, groups in order of appearance; a row without a group is one of its own."""
    groups: dict[str, list[int]] = {}
    for n, row in enumerate(rows):
        groups.setdefault(row.group if row.group is not None else row.id, []).append(n)
    return groups


def text_kept_apart(task: Task, row: Row) -> str:
    """What may stand in one split only: the text in `task.carve_by`, or all of the row's where it names no field."""
    return row.fields[task.carve_by] if task.carve_by else "\n".join(row.fields[name] for name in task.fields)


def cluster_of(task: Task, row: Row) -> str | None:
    """A name of the text that a row shares with those it is drawn with; None where the task names no such field."""
    return digest_of(row.fields[task.carve_by]) if task.carve_by else None


def draw_together(summary: Summary, clusters: Sequence[str | None]) -> Summary:
    """The same runs with clusters as units; `summary` itself where no two units share one.

    A cluster is how often it holds each distinct unit.

    Args:
        summary: of rows, or of groups.
        clusters: the name of each unit's cluster; None: it is one of its own.
    """
    places: dict[str | int, int] = {}
    at = [places.setdefault(n if name is None else name, len(places)) for n, name in enumerate(clusters)]
    if len(places) == len(at):
        return summary
    runs, distinct = len(summary.codes), int(summary.codes.max()) + 1
    held = np.zeros((runs, len(places), distinct))
    for run, codes in enumerate(summary.codes):
        np.add.at(held[run], (at, codes), 1)
    return summarise_units(held, lambda sums: summary.evaluate(sums, np.arange(distinct)))


def summarise_units(features: Sequence[Any] | Array, metrics: Callable[[Array], dict[str, Array]]) -> Summary:
    """Units described by numbers that are only ever added up.

    Args:
        features: (runs, units, numbers), such as a question's true and false positives.
        metrics: sums (draws, numbers) -> each metric's values (draws,).
    """
    table = np.asarray(features, dtype=float)
    distinct, codes = np.unique(table.reshape(-1, table.shape[2]), axis=0, return_inverse=True)
    return Summary(codes.reshape(table.shape[:2]), lambda weights, which: metrics(add_up(distinct[which], weights)))


def add_up(features: Array, weights: Array | None) -> Array:
    """Sums (draws, numbers) of `features` (columns, numbers), each `weights[:, i]` times, or once: then in the order of the rows."""
    return features.sum(0, keepdims=True) if weights is None else weights @ features
