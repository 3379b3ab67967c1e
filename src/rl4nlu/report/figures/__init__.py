"""The paper's figures, as vector PDF and PNG, in colours that colour-blind readers can tell apart (Okabe and Ito 2008).

Every figure is a function from the collected files to a matplotlib `Figure`; where there is nothing to draw it says so.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..inputs import Inputs
from .differences import effects_figure, gains_figure
from .drawing import use_style
from .rlgf import guided_figure, roll_in_figure
from .rllr import over_optimisation_figure, thresholds_figure
from .scores import invalid_figure, scores_figure
from .training import curves_figure, learning_rates_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_figure(figure: Figure, name: str, folder: Path) -> None:
    """Write `<name>.pdf` and `<name>.png`; without dates, so that equal numbers give equal files."""
    folder.mkdir(parents=True, exist_ok=True)
    for form, facts in (("pdf", {"CreationDate": None, "ModDate": None}), ("png", {"Software": None})):
        beside = folder / f".{name}.{os.getpid()}.{form}"
        with use_style():
            figure.savefig(beside, format=form, metadata=facts, dpi=200)
        beside.replace(folder / f"{name}.{form}")


FIGURES: dict[str, Callable[[Inputs], Figure]] = {
    "scores": scores_figure,
    "curves": curves_figure,
    "gains": gains_figure,
    "invalid": invalid_figure,
    "over-optimisation": over_optimisation_figure,
    "thresholds": thresholds_figure,
    "guided": guided_figure,
    "roll-ins": roll_in_figure,
    "learning-rates": learning_rates_figure,
    "effects": effects_figure,
}
"""Every figure in the paper's order; each is written as .pdf and .png, and has a caption in workflow/report/figures."""


def draw_figures(inputs: Inputs) -> dict[str, Figure]:
    """Every figure by name."""
    with use_style():
        return {name: draw(inputs) for name, draw in FIGURES.items()}
