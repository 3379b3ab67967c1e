"""What all figures share: a colour a method (Okabe and Ito 2008, and a darker one), and what stands where there is nothing to draw."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = {
    "majority": "#BBBBBB", "random": "#BBBBBB", "zero-shot": "#56B4E9", "few-shot": "#0072B2", "sft": "#E69F00",
    "ppo": "#D55E00", "encoder": "#009E73", "sft-rationale": "#8C6D00", "rlhf": "#000000", "rllr": "#CC79A7", "rllr-mixed": "#009E73",
}  # fmt: skip


def finish(axes: Axes, title: str, lowest: bool) -> None:
    """The end of a panel of learning curves: its title, its words where it shows nothing, an axis title in the lowest row."""
    if not axes.lines:
        axes.text(0.5, 0.5, "not recorded", ha="center", va="center", transform=axes.transAxes, color="#777777")
    axes.set_title(title, loc="left")
    if lowest:
        axes.set_xlabel("prompts seen")
    axes.margins(x=0.02)


def empty(text: str) -> Figure:
    """A figure that says why it shows nothing."""
    figure = Figure(figsize=(6.4, 1.2), layout="constrained")
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", color="#555555")
    return figure
