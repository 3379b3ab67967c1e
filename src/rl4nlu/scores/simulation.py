"""How often tests err: methods that differ by nothing, or by a known amount, compared many times over.

A simulated run is right on a row where row and training together are good enough: a row is as hard for all runs as it is, a
training is as good as its seed makes it, and what one training makes of one row is chance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..tasks.metrics import summarise_classes
from .inference import LEVEL, TAILS, Resampled, infer, resample

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

ACCURACY = 0.75
"""Of both methods, on average over seeds."""
ROWS = 300
ROW_SHARE = 0.5
"""How much of what decides a row the row itself decides, for all trainings alike."""
SEED_DEVIATIONS = (0, 2, 5, 10, 20)
"""Standard deviations of the accuracy over seeds, in points."""
FAILING = 0.2
"""The share of trainings that fail where failing trainings are simulated: they lie 2.5 standard deviations below the others."""
DIFFERENCES = (0, 5, 10, 20)
"""True differences, in points; the rate of rejections at 0 is that of errors, elsewhere it is the power."""

TRAININGS = {"normal": (3, 5), "one in five fails": (3,)}
"""How trainings differ, and the numbers of seeds that are tried."""

SIMULATION = ("trainings", "seeds", "seed_deviation", "difference", "test", "rejected", "repeats")
"""Columns of simulation.csv."""

TESTS = ("seeds and rows", "rows only", "both resampled")
"""Our test; the interval over rows for given runs; the percentile interval of resampled seeds and rows."""


def simulate_runs(accuracies: Sequence[Array], generator: np.random.Generator) -> list[list[list[int]]]:
    """For each method the predictions of its runs, of these expected accuracies, on the same rows; the gold class is 0."""
    from scipy.special import ndtri

    hardness = generator.standard_normal(ROWS)
    methods = []
    for expected in accuracies:
        bars = ndtri(np.clip(expected, 0.02, 0.98))[:, None]
        own = generator.standard_normal((len(expected), ROWS))
        right = ROW_SHARE**0.5 * hardness + (1 - ROW_SHARE) ** 0.5 * own < bars
        methods.append((~right).astype(int).tolist())
    return methods


def reject(found: Resampled, seeds: int, generator: np.random.Generator) -> dict[str, bool]:
    """Whether each test says that the first `seeds` runs differ from the others."""
    a, b = range(seeds), range(seeds, 2 * seeds)
    drawn = found.drawn["accuracy"]
    picks = generator.integers(0, seeds, (2, len(drawn), seeds))
    sides = [drawn[np.arange(len(drawn))[:, None], pick + place * seeds].mean(1) for place, pick in enumerate(picks)]
    intervals = {
        "rows only": drawn[:, :seeds].mean(1) - drawn[:, seeds:].mean(1),
        "both resampled": sides[0] - sides[1],
    }
    outside = {
        name: bool(low > 0 or high < 0)
        for name, (low, high) in ((name, np.percentile(values, TAILS)) for name, values in intervals.items())
    }
    return {"seeds and rows": infer([found.contrast(["accuracy"], a, b)]).p < LEVEL} | outside


def draw_trainings(kind: str, seeds: int, generator: np.random.Generator) -> Array:
    """How far the trainings (2, seeds) of two methods lie from their method's mean, in standard deviations."""
    if kind == "normal":
        return generator.standard_normal((2, seeds))
    failed = generator.random((2, seeds)) < FAILING
    return np.asarray((FAILING - failed) / (FAILING * (1 - FAILING)) ** 0.5)


def simulate(
    kind: str, seeds: int, deviation: float, difference: float, repeats: int, draws: int
) -> Iterator[dict[str, Any]]:
    """The share of `repeats` comparisons that each test rejects: rows of simulation.csv."""
    generator = np.random.default_rng([kind == "normal", seeds, round(10 * deviation), round(10 * difference)])
    counts = dict.fromkeys(TESTS, 0)
    for repeat in range(repeats):
        lead = np.array([difference / 200, -difference / 200])[:, None]
        accuracies = ACCURACY + lead + deviation / 100 * draw_trainings(kind, seeds, generator)
        first, second = simulate_runs(list(accuracies), generator)
        found = resample(summarise_classes([0] * ROWS, [*first, *second], 2), draws, repeat)
        for name, rejected in reject(found, seeds, generator).items():
            counts[name] += rejected
    facts = {"trainings": kind, "seeds": seeds, "seed_deviation": deviation, "difference": difference}
    for name, count in counts.items():
        yield {**facts, "test": name, "rejected": count / repeats, "repeats": repeats}


def simulation_table(repeats: int = 1000, draws: int = 400) -> pd.DataFrame:
    """Every kind of trainings, number of seeds, deviation and difference."""
    rows = [
        row
        for kind, numbers_of_seeds in TRAININGS.items()
        for seeds in numbers_of_seeds
        for deviation in SEED_DEVIATIONS
        for difference in DIFFERENCES
        if kind == "normal" or deviation
        for row in simulate(kind, seeds, deviation, difference, repeats, draws)
    ]
    return pd.DataFrame(rows, columns=list(SIMULATION))


def show_simulation(table: pd.DataFrame) -> str:
    """The simulation as a Markdown table: a line a situation, the rejections of equal methods by test, then our test's power."""
    columns = [(name, 0) for name in TESTS] + [(TESTS[0], difference) for difference in DIFFERENCES[1:]]
    titles = [f"equal, {name}" if not difference else f"{difference} points apart" for name, difference in columns]
    heads = ["trainings", "seeds", "sd over seeds", *titles]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for (kind, seeds, deviation), rows in table.groupby(["trainings", "seeds", "seed_deviation"], sort=False):
        rates = rows.set_index(["test", "difference"])["rejected"]
        cells = [str(kind), str(seeds), f"{deviation:g}", *(f"{rates[column]:.3f}" for column in columns)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
