"""What all figures share: their style, an empty canvas, the end of a panel, and what stands where there is nothing to draw."""

from __future__ import annotations

from contextlib import AbstractContextManager
from itertools import cycle
from typing import TYPE_CHECKING, Any

from ...config import METHODS
from ..names import BASELINES

if TYPE_CHECKING:  # matplotlib is imported where something is drawn, for the rules only ask for the figures' names
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLE: Any = {
    "font.size": 8, "axes.titlesize": 8.5, "axes.labelsize": 8, "legend.fontsize": 7, "xtick.labelsize": 7, "ytick.labelsize": 7,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": "#E5E5E5", "grid.linewidth": 0.5,
    "axes.axisbelow": True, "lines.linewidth": 1.1, "pdf.fonttype": 42, "svg.hashsalt": "rl4nlu", "figure.dpi": 150,
}  # fmt: skip

DRAWN = [name for name, method in METHODS.items() if method.colour and name not in BASELINES]
MARKERS = dict(zip(DRAWN, cycle("os^D<PX*v"), strict=False))
"""A mark a method, beside its colour."""


def use_style() -> AbstractContextManager[None]:
    """Matplotlib in the figures' style, without a display."""
    import matplotlib

    matplotlib.use("Agg")
    return matplotlib.rc_context(STYLE)


def open_figure(width: float, height: float) -> Figure:
    """An empty figure of a size in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def finish_panel(axes: Axes, title: str, lowest: bool) -> None:
    """The end of a panel of learning curves: its title, its words where it shows nothing, an axis title in the lowest row."""
    if not axes.lines:
        axes.text(0.5, 0.5, "not recorded", ha="center", va="center", transform=axes.transAxes, color="#777777")
    axes.set_title(title, loc="left")
    if lowest:
        axes.set_xlabel("prompts seen")
    axes.margins(x=0.02)


def say_empty(text: str) -> Figure:
    """A figure that says why it shows nothing."""
    figure = open_figure(6.4, 1.2)
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", color="#555555")
    return figure
