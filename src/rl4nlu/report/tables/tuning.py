"""What the choice of learning rates was made from, and what it cost."""

from __future__ import annotations

import pandas as pd

from ...config import METHODS
from ...scores.collect import MAIN_VARIANT
from ..cells import number
from ..inputs import Inputs, parts
from ..typeset import Cell, Line, Sheet

ADDRESS = ("model", "method", "mixture", "variant", "seed")


def compared_candidates(inputs: Inputs) -> pd.DataFrame:
    """Rows of candidates.csv of runs that chose among several learning rates."""
    found = inputs.candidates
    return found[found.groupby(list(ADDRESS))["learning_rate"].transform("size") > 1]


def rate_text(rate: float) -> str:
    """A learning rate as people write it: 3e-4, 1.5e-3."""
    digits, _, exponent = f"{rate:.1e}".partition("e")
    return f"{digits.removesuffix('.0')}e{int(exponent)}"


def tuning_sheet(inputs: Inputs) -> Sheet:
    """The validation score of every candidate learning rate, the chosen one, and the cost of all in tokens and CPU-seconds."""
    columns = [
        ("Validation score", "at each learning rate"), ("Chosen", ""), ("Tokens trained", "thousands"),
        ("Tokens sampled", "thousands"), ("CPU-seconds", "of tuning"), ("Seed", "that chose"),
    ]  # fmt: skip
    title = "Tuning: validation score of every candidate learning rate, and what trying them cost."
    sheet = Sheet("tuning", title, ("Model", "Method", "Trained on"), columns, size="scriptsize")
    methods, mixtures = ({name: at for at, name in enumerate(known)} for known in (METHODS, inputs.tasks))
    groups = sorted(
        parts(compared_candidates(inputs), *ADDRESS),
        key=lambda g: (g[0][0], methods[g[0][1]], g[0][3] != MAIN_VARIANT, mixtures.get(g[0][2], len(mixtures)), g[0]),
    )
    for (model, method, mixture, variant, seed), tried in groups:
        label = METHODS[method].title + ("" if variant == MAIN_VARIANT else f" ({variant})")
        scores = [
            f"{rate_text(rate)}: {number(score) or 'diverged'}"
            for rate, score in zip(tried["learning_rate"], tried["validation"], strict=True)
        ]
        cells = [
            Cell(", ".join(scores)),
            Cell(rate_text(tried.loc[tried["chosen"], "learning_rate"].iloc[0])),
            Cell(f"{tried['tokens_trained'].sum() / 1000:,.0f}"),
            Cell(f"{tried['tokens_generated'].sum() / 1000:,.0f}"),
            Cell(f"{tried['cpu_seconds'].sum():,.0f}"),
            Cell(seed),
        ]
        task = inputs.tasks.get(mixture)
        sheet.lines.append(Line((inputs.title(model), label, task.title if task else mixture), tuple(cells)))
    sheet.notes = [
        inputs.provenance(),
        "Every candidate is trained from scratch by the run of the seed that is named; the best on a carve of train is kept (the "
        "first of equals), and runs of other seeds train once with it. The score is the task's first metric, or the mean over "
        "the tasks of their first metrics; of reward models, the share of held-out pairs told apart; in percent. Tokens (of all "
        "passes) and CPU-seconds are of all candidates together, but for those that diverged, without validation. Runs whose "
        "settings name one learning rate were not tuned, and are not listed.",
    ]
    return sheet
