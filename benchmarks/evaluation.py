"""Bootstrap intervals of official metrics: ours beside scikit-learn's and SciPy's metrics on every resample.

The rows are the official dev rows, the predictions made up (three in a hundred unparseable). Both sides see the same
thousand resamples of rows (of MNLI premises with all their rows); ours as counts of distinct ones, the other written out
row by row. Metrics and intervals must be equal.
"""

from __future__ import annotations

import argparse
import random
import sys
from typing import Any

import measure

TASKS = ("mnli", "qqp", "cola", "stsb")
DRAWS, SEED = 1000, 0


def predicted(task: Any, rows: list[Any]) -> list[Any]:
    """Seven in ten right, three in a hundred unparseable."""
    rng = random.Random(SEED)

    def one(row: Any) -> Any:
        if rng.random() < 0.03:
            return None
        if task.answer == "number":
            return round(min(task.high, max(task.low, row.label + rng.gauss(0, 1))), 1)
        return row.label if rng.random() < 0.7 else rng.choice(list(task.labels))

    return [one(row) for row in rows]


def ours(job: dict[str, Any], clock: measure.Clock) -> Any:
    """`metrics.score` and `intervals.bootstrap`."""
    from pathlib import Path

    from rl4nlu.scores.intervals import bootstrap
    from rl4nlu.tasks.metrics import score

    task, rows = measure.rows(job["task"], Path(job["data"]))
    predictions = predicted(task, rows)
    with clock:
        values, bounds = score(task, rows, predictions), bootstrap(task, rows, predictions, DRAWS, SEED)
    return [[values[name], *bounds[name]] for name in task.metrics]


def loops(job: dict[str, Any], clock: measure.Clock) -> Any:
    """The libraries' metrics on all rows, and on the rows of every resample."""
    from pathlib import Path

    import numpy as np
    from scipy.stats import pearsonr, spearmanr
    from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

    from rl4nlu.tasks.metrics import class_numbers, numbers, summarise
    from rl4nlu.tasks.units import cluster_of

    metrics = {
        "accuracy": accuracy_score,
        "f1": lambda gold, guess: f1_score(gold, guess, labels=[0], average="macro"),
        "matthews": matthews_corrcoef,
        "pearson": lambda gold, guess: pearsonr(gold, guess).statistic,
        "spearman": lambda gold, guess: spearmanr(gold, guess).statistic,
    }
    task, rows = measure.rows(job["task"], Path(job["data"]))
    predictions = predicted(task, rows)
    gold, guess = (numbers if task.answer == "number" else class_numbers)(task, rows, predictions)
    codes = summarise(task, rows, [predictions]).codes[0]
    _, example, counts = np.unique(codes, return_index=True, return_counts=True)
    drawn = np.random.default_rng(SEED).multinomial(len(codes), counts / len(codes), size=DRAWS)
    places: dict[str, int] = {}
    units = np.array([places.setdefault(cluster_of(task, row) or row.id, len(places)) for row in rows])
    shown = {unit: column for column, unit in enumerate(example.tolist())}
    members = np.array([n for n, unit in enumerate(units.tolist()) if unit in shown])
    columns = [shown[unit] for unit in units[members].tolist()]
    with clock:
        samples = [np.repeat(members, times) for times in drawn[:, columns]]
        found = []
        for name in task.metrics:
            values = [100 * metrics[name](gold[sample], guess[sample]) for sample in samples]
            found.append([100 * metrics[name](gold, guess), *np.percentile(values, (2.5, 97.5))])
    return np.array(found).tolist()


def compare(arguments: argparse.Namespace) -> None:
    """Equality on every task, then the cost."""
    import numpy as np

    differences, lines = {}, []
    for name in TASKS[-1:] if arguments.quick else TASKS:
        job = {"task": name, "data": str(arguments.data)}
        runs = measure.alternate(__file__, {"ours": sys.executable, "loops": sys.executable}, job, arguments.repeats)
        found = [np.array(runs[side][0].results) for side in ("ours", "loops")]
        differences[f"{name}: metrics and intervals, in percent"] = (float(np.abs(found[0] - found[1]).max()), 1e-6)
        mine, theirs = (measure.cost(runs[side])["work"] for side in ("ours", "loops"))
        rows = len(measure.rows(name, arguments.data)[1])
        lines.append({
            "task": name, "rows": rows, "ours, CPU-seconds": mine, "scikit-learn, SciPy": theirs,
            "ours is faster": f"{theirs / mine:.0f}×",
        })  # fmt: skip
    equalities = measure.equal(differences)
    text = f"Metrics and {DRAWS} bootstrap resamples of one run's predictions\n\n{measure.table(lines)}"
    measure.save("evaluation", {"equality": equalities, "tasks": lines}, text, arguments.quick)


if __name__ == "__main__":
    measure.main(__doc__, compare, {"ours": ours, "loops": loops})
