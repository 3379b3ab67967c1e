"""What makes a difference: PPO against SFT, and the papers' discrepancies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...config import METHODS
from ...scores.inference import LEVEL
from ...tasks.task import LOWER_IS_BETTER
from ..cells import number
from ..inputs import Inputs
from ..names import DISCREPANCIES
from ..published import PAPER_1
from ..tables.comparisons import discrepancy_effects, headline_gains
from .drawing import open_figure, say_empty

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def gains_figure(inputs: Inputs) -> Figure:
    """PPO's gain over SFT per task with its interval over seeds and rows; filled where the corrected test says that they differ."""
    found = inputs.comparisons
    found = found[
        (found["method_a"] == "ppo") & (found["method_b"] == "sft") & found["model_a"].isin(inputs.decoders("main")[:1])
    ]
    if found.empty:
        return say_empty("Gain of PPO over SFT: nothing to compare in this build.")
    kinds = [kind for kind in ("st", "mt") if (found["mixture_kind"] == kind).any()]
    heights = max(int((found["mixture_kind"] == kind).sum()) for kind in kinds)
    figure = open_figure(6.9, 0.9 + 0.19 * heights)
    for place, kind in enumerate(kinds):
        axes = figure.add_subplot(1, len(kinds), place + 1)
        rows = found[found["mixture_kind"] == kind]
        rows = rows.set_index("task").loc[[t for t in inputs.tasks if t in set(rows["task"])]].iloc[::-1]
        axes.axvline(0, color="#777777", lw=0.8)
        for height, (_, row) in enumerate(rows.iterrows()):
            sure = row["p_holm"] < LEVEL
            better = row["difference"] >= 0 if row["metric"] not in LOWER_IS_BETTER else row["difference"] < 0
            colour = METHODS["ppo"].colour if better else "#0072B2"
            axes.plot([row["low"], row["high"]], [height] * 2, color=colour, lw=1.2)
            axes.plot([row["difference"]], [height], "o", ms=4.5, color=colour, mfc=colour if sure else "white")
        axes.set_yticks(range(len(rows)), [inputs.tasks[t].title for t in rows.index])
        axes.set_ylim(-0.7, len(rows) - 0.3)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("PPO − SFT, points (95 % interval over seeds and rows)")
        axes.set_title({"st": "single-task", "mt": "multi-task"}[kind], loc="left")
    return figure


def effects_figure(inputs: Inputs) -> Figure:
    """Effects of the papers' discrepancies with intervals, a panel a paper; filled where the corrected test tells them from none."""
    found = discrepancy_effects(inputs)
    if found.empty:
        return say_empty("Effects of the papers' discrepancies: none was run in this build (config/audit.yaml does).")
    gains, main = headline_gains(inputs), inputs.decoders("main")
    papers = [paper for paper in gains if paper in set(found["paper"])]
    heights = [int((found["paper"] == paper).sum()) + 1.5 for paper in papers]
    figure = open_figure(6.9, 0.8 + 0.155 * sum(heights))
    panels = figure.subplots(len(papers), 1, height_ratios=heights, squeeze=False)[:, 0]
    for axes, paper in zip(panels, papers, strict=True):
        rows = found[found["paper"] == paper].iloc[::-1].reset_index(drop=True)
        axes.axvline(0, color="#777777", lw=0.8)
        axes.axvline(gains[paper], color="#777777", lw=0.8, ls="--")
        for height, row in rows.iterrows():
            colour = METHODS[row["method"]].colour
            fill = colour if row["p_holm"] < LEVEL else "white"
            axes.plot([row["low"], row["high"]], [height] * 2, color=colour, lw=1.2)
            axes.plot([row["difference"]], [height], "o", ms=3.8, color=colour, mfc=fill)
        for variant, part in rows.groupby("variant", sort=False):
            others = [inputs.title(model) for model in part["model"].unique() if model not in main]
            title = "\n".join([DISCREPANCIES[str(variant)][1], *(f"({model})" for model in others)])
            place = (-0.19, (part.index[0] + part.index[-1]) / 2)
            axes.annotate(title, place, xycoords=("axes fraction", "data"), ha="right", va="center", fontsize=6.5)
            axes.axhline(part.index[-1] + 0.5, color="#CCCCCC", lw=0.5)
        axes.set_yticks(range(len(rows)), [inputs.tasks[name].title for name in rows["task"]], fontsize=6)
        axes.set_ylim(-0.7, len(rows) - 0.3)
        axes.grid(axis="y", visible=False)
        which, claim = ("First", "PPO − SFT") if paper == PAPER_1 else ("Second", "RLLR − SFT")
        axes.set_title(f"{which} paper; dashed: its printed {claim}, {number(gains[paper], 2, sign=True)}", loc="left")
    panels[-1].set_xlabel("effect of the discrepancy, points (95 % interval)")
    methods = [name for name in METHODS if name in set(found["method"])]
    marks = [panels[0].plot([], [], "o", ms=3.8, color=METHODS[name].colour)[0] for name in methods]
    figure.legend(marks, [METHODS[name].title for name in methods], loc="outside lower center", ncols=5, frameon=False)
    return figure
