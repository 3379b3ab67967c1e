"""The third paper's figures: reward against exact metric and KL in training with a guide, and the sweep over the share of roll-ins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...config import METHODS
from ...scores.collect import MAIN_VARIANT
from ..inputs import Inputs
from ..names import METRIC_TITLES
from ..tables.rlgf import GUIDED, SWEEP
from .drawing import MARKERS, finish_panel, open_figure, say_empty

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REINFORCED = ("ppo", *GUIDED)


def guided_figure(inputs: Inputs) -> Figure:
    """A column a task: mean reward against prompts seen above, and against KL below; a colour a method, thin lines single seeds."""
    h = inputs.history
    h = h[(h["variant"] == MAIN_VARIANT) & h["model"].isin(inputs.decoders("main")[:1]) & h["method"].isin(REINFORCED)]
    trained = set(h.loc[h["method"].isin(GUIDED), "mixture"])
    tasks = [task for task in inputs.tasks.values() if task.name in trained]
    if not tasks:
        return say_empty("Reinforcement learning with a guide: no such training in this build.")
    figure = open_figure(1.1 + 1.45 * max(3, len(tasks)), 3.9)
    handles: dict[str, Any] = {}
    for place, task in enumerate(tasks):
        above = figure.add_subplot(2, len(tasks), place + 1)
        below = figure.add_subplot(2, len(tasks), len(tasks) + place + 1)
        for method in REINFORCED:
            rows = h[(h["method"] == method) & (h["mixture"] == task.name)].dropna(subset=["reward"])
            if rows.empty:
                continue
            colour = METHODS[method].colour
            for _, run in rows.groupby("seed"):
                above.plot(run["examples"], run["reward"], color=colour, lw=0.5, alpha=0.3)
            mean = rows.groupby("examples")[["reward", "kl"]].mean()
            (line,) = above.plot(mean.index, mean["reward"], color=colour, lw=1.3)
            below.plot(mean["kl"], mean["reward"], color=colour, lw=0.8, marker=MARKERS[method], ms=2.6, mfc="white")
            handles.setdefault(METHODS[method].title, line)
        finish_panel(above, task.title, True)
        finish_panel(below, "", False)
        below.set_xlabel("KL to the start, nats")
        if place == 0:
            above.set_ylabel("mean reward")
            below.set_ylabel("mean reward")
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=len(handles), frameon=False)
    return figure


def roll_in_figure(inputs: Inputs) -> Figure:
    """The first metric against the share of roll-outs with a roll-in: a panel a task, a line a method, a point a seed."""
    m = inputs.metrics
    swept = m[m["variant"].str.startswith(SWEEP) & m["method"].isin(GUIDED)]
    tasks = [task for task in inputs.tasks.values() if task.name in set(swept["mixture"])]
    if not tasks:
        return say_empty(
            "Sweep over the share of roll-ins: no runs of it in this build (config/rlgf-sweeps.yaml makes them)."
        )
    figure = open_figure(1.1 + 1.9 * max(2, len(tasks)), 2.4)
    handles: dict[str, Any] = {}
    for place, task in enumerate(tasks):
        axes = figure.add_subplot(1, len(tasks), place + 1)
        metric = task.columns[0]
        own = swept[(swept["task"] == task.name) & (swept["mixture"] == task.name) & (swept["metric"] == metric)]
        own = own.assign(share=own["variant"].str.removeprefix(SWEEP).astype(float) / 100)
        for method, rows in own.groupby("method"):
            colour = METHODS[str(method)].colour
            axes.plot(rows["share"], rows["value"], ".", color=colour, ms=3, alpha=0.5)
            mean = rows.groupby("share")["value"].mean()
            (line,) = axes.plot(mean.index, mean, color=colour, marker=MARKERS[str(method)], ms=3.6, mfc="white")
            handles.setdefault(METHODS[str(method)].title, line)
        axes.set_title(f"{task.title}, {METRIC_TITLES[metric]}", loc="left")
        axes.set_xlabel("share of roll-outs with a roll-in")
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=4, frameon=False)
    return figure
