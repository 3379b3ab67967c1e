"""Paired tests between methods, from the predictions of all runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from ..base.files import read_jsonl
from ..config import METHODS
from ..tasks.metrics import choose_candidate, ratio, summarise
from ..tasks.task import Task
from ..tasks.units import Summary, by_group, draw_together, summarise_units
from .collect import MAIN_VARIANT, Scored
from .intervals import holm, paired

COMPARISONS = (
    "scale", "comparison", "task", "suite", "metric", "model_a", "method_a", "mixture_a", "model_b", "method_b", "mixture_b",
    "mixture_kind", "runs", "n", "value_a", "value_b", "difference", "low", "high", "test", "p", "p_holm",
)  # fmt: skip
"""Columns of comparisons.csv: method A against method B on one task; `p_holm` is corrected within `comparison`."""

PAIRS = tuple((name, other) for name, method in METHODS.items() for other in method.against)
"""Methods that are tested against each other, the first against the second."""


def pair_seeds(a: dict[int, Path], b: dict[int, Path]) -> list[tuple[Path, Path]]:
    """Runs of A and B that are compared with each other: equal seeds; a method that has one run meets every run."""
    if len(a) == 1 or len(b) == 1:
        return [(x, y) for _, x in sorted(a.items()) for _, y in sorted(b.items())]
    return [(a[seed], b[seed]) for seed in sorted(set(a) & set(b))]


def comparisons_table(
    scored: Iterable[Scored], tasks: dict[str, Task], scale: str, draws: int, seed: int
) -> pd.DataFrame:
    """Paired tests on every task that both methods were scored on, corrected within each kind of comparison.

    A decoder meets itself under the other method, or each encoder. A trained run is compared on the
    tasks that it was trained for (its own or its suite's), single-task with single-task, multi-task with multi-task.
    """
    groups: dict[tuple[str, ...], dict[int, Path]] = defaultdict(dict)
    for item in scored:
        if item.record["variant"] == MAIN_VARIANT and item.kind != "transfer" and item.record["task"] in tasks:
            key = (item.kind, *item.key("method", "model", "mixture", "task"))
            groups[key][int(item.record["seed"])] = item.folder
    rows = []
    for method_a, method_b in PAIRS:
        for (kind_a, found_a, model_a, mixture_a, name), runs_a in groups.items():
            for (kind_b, found_b, model_b, mixture_b, name_b), runs_b in groups.items():
                fits = (found_a, found_b, name) == (method_a, method_b, name_b) and kind_b in ("none", kind_a)
                if not fits or (model_a != model_b and METHODS[method_b].loads != "encoder"):
                    continue
                pairs = pair_seeds(runs_a, runs_b)
                if not pairs:
                    continue
                task = tasks[name]
                files = sorted({path for pair in pairs for path in pair})
                try:
                    summary, metrics = summarise_files(task, files)
                except OtherRowsError as error:  # such as results of an older config: the rest can still be compared
                    print(f"not compared: {error}")
                    continue
                result = paired(summary, [(files.index(x), files.index(y)) for x, y in pairs], metrics, draws, seed)
                label = f"{method_a} vs {model_b if METHODS[method_b].loads == 'encoder' else method_b}"
                rows.append(
                    {
                        "scale": scale,
                        "comparison": f"{label} ({kind_a})" if kind_a != "none" else label,
                        "task": name,
                        "suite": task.suite,
                        "metric": "+".join(metrics),
                        **{"model_a": model_a, "method_a": method_a, "mixture_a": mixture_a},
                        **{"model_b": model_b, "method_b": method_b, "mixture_b": mixture_b},
                        "mixture_kind": kind_a,
                        "runs": len(pairs),
                        "n": summary.codes.shape[1],
                        **{"value_a": result.value_a, "value_b": result.value_b, "difference": result.difference},
                        **{"low": result.low, "high": result.high, "test": result.test, "p": result.p},
                    }
                )
    table = pd.DataFrame(rows, columns=list(COMPARISONS))
    for _, family in table.groupby("comparison"):
        table.loc[family.index, "p_holm"] = holm(family["p"].tolist())
    return table


class OtherRowsError(ValueError):
    """Runs that should be compared were scored on different rows; the message names both files."""


class Labelled(NamedTuple):
    """What tests need to know of a row; predictions.jsonl holds no more."""

    id: str
    label: Any
    group: str | None
    cluster: str | None


def summarise_files(task: Task, files: list[Path]) -> tuple[Summary, list[str]]:
    """Predictions of runs on one task, in the order of `files` (folders with predictions.jsonl), and the metrics to compare.

    ReCoRD's texts are not in predictions.jsonl: there the chosen candidate's being a gold answer (its exact match) is
    compared.

    Raises:
        OtherRowsError: two runs were scored on different rows.
    """
    runs = [read_jsonl(folder / "predictions.jsonl") for folder in files]
    told: list[list[Any]] = [
        [Labelled(row["id"], row["gold"], row["group"], row.get("cluster")) for row in run] for run in runs
    ]
    rows = told[0]
    for folder, other in zip(files, told, strict=True):
        if other != rows:
            raise OtherRowsError(
                f"{folder / 'predictions.jsonl'} and {files[0] / 'predictions.jsonl'} hold different rows; score both again"
            )
    predictions = [[row["prediction"] for row in run] for run in runs]
    if task.layout != "record":
        return summarise(task, rows, predictions, clusters=[row.cluster for row in rows]), task.columns
    queries = list(by_group(rows).values())
    features = []
    for run, labels in zip(runs, predictions, strict=True):
        known = [row["confidence"] for row in run if row.get("confidence") is not None]
        confidence = known if len(known) == len(run) else None
        picks = [choose_candidate(task, members, labels, confidence) for members in queries]
        features.append([[float(n is not None and rows[n].label == next(iter(task.labels))), 1.0] for n in picks])
    summary = summarise_units(features, lambda sums: {"record-em": 100 * ratio(sums[:, 0], sums[:, 1])})
    return draw_together(summary, [rows[members[0]].cluster for members in queries]), ["record-em"]
