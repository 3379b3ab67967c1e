"""How training went: learning curves, and validation scores by learning rate."""

from __future__ import annotations

from itertools import cycle
from math import ceil
from typing import TYPE_CHECKING, Any

from ...config import METHODS
from ...scores.collect import MAIN_VARIANT
from ..inputs import Inputs, parts
from ..names import ENCODER_METHODS, METRIC_TITLES
from ..tables.budgets import compared_candidates
from .drawing import MARKERS, finish_panel, open_figure, say_empty

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TUNED = [name for name, method in METHODS.items() if method.learns and method.scored]
"""Methods whose learning rates are drawn; those without a colour of their own are grey, and told apart by their marks."""
RATE_MARKERS = dict(zip([name for name in TUNED if name not in MARKERS], cycle("hd8p"), strict=False)) | MARKERS
GREY = "#777777"
PANELS_ACROSS = 3
CYCLE = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#000000", "#F0E442")
MOST_CURVES = 6
"""Tasks that the learning curves show: those with the most seeds, in table order."""


def curves_figure(inputs: Inputs) -> Figure:
    """PPO's reward, KL, unreadable answers and validation score, and SFT's loss, against prompts seen; of labels and numbers."""
    models = inputs.decoders("main")
    history = inputs.history
    history = history[
        (history["variant"] == MAIN_VARIANT)
        & history["model"].isin(models[:1])
        & history["method"].isin(["ppo", "sft"])
        & ~history["mixture"].isin([task.name for task in inputs.tasks.values() if task.answer == "text"])
    ]
    if history.empty:
        return say_empty("Learning curves: no training history in this build.")
    seeds = history[history["method"] == "ppo"].groupby("mixture")["seed"].nunique()
    seeds = seeds if len(seeds) else history.groupby("mixture")["seed"].nunique()
    order = {name: place for place, name in enumerate(inputs.tasks)}
    names = sorted(seeds.index, key=lambda n: (n not in order, -seeds[n], order.get(n, 99)))[:MOST_CURVES]
    panels = (
        ("ppo", "reward", "PPO: mean reward", 1), ("ppo", "kl", "PPO: KL to the base model, nats", 1),
        ("ppo", "invalid_rate", "PPO: unreadable answers, %", 100), ("ppo", "validation", "PPO: validation score, %", 1),
        ("sft", "loss", "SFT: loss on answer tokens", 1), ("sft", "validation", "SFT: validation score, %", 1),
    )  # fmt: skip
    figure = open_figure(6.9, 4.3)
    handles: dict[str, Any] = {}
    for place, (method, column, title, factor) in enumerate(panels):
        axes = figure.add_subplot(2, 3, place + 1)
        for colour, name in zip(CYCLE, names, strict=False):
            rows = history[(history["method"] == method) & (history["mixture"] == name)].dropna(subset=[column])
            if rows.empty:
                continue
            title_of = inputs.tasks[name].title if name in inputs.tasks else f"{name} (multi-task)"
            for _, run in rows.groupby("seed"):
                axes.plot(
                    run["examples"],
                    run[column] * factor,
                    color=colour,
                    lw=0.6,
                    alpha=0.35,
                    marker="." if len(run) < 5 else None,
                    ms=4,
                )
            mean = rows.groupby("examples")[column].mean() * factor
            (line,) = axes.plot(mean.index, mean, color=colour, lw=1.4, marker="o" if len(mean) < 5 else None, ms=3)
            handles.setdefault(title_of, line)
        finish_panel(axes, title, place >= 3)
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=6, frameon=False)
    return figure


def learning_rates_figure(inputs: Inputs) -> Figure:
    """Validation score against learning rate: a panel a task or mixture, a line a method; filled: the chosen rate."""
    models = [*inputs.decoders("main")[:1], *inputs.encoders()]
    found = compared_candidates(inputs)
    found = found[(found["variant"] == MAIN_VARIANT) & found["model"].isin(models) & found["method"].isin(TUNED)]
    if found.empty:
        return say_empty("Learning rates: no run chose among several in this build.")
    order = {name: place for place, name in enumerate(inputs.tasks)}
    panels = sorted(parts(found, "mixture"), key=lambda panel: (order.get(panel[0][0], len(order)), panel[0]))
    down = ceil(len(panels) / PANELS_ACROSS)
    figure = open_figure(6.9, 0.5 + 1.75 * down)
    handles: dict[tuple[int, str], Any] = {}
    least, most = found["learning_rate"].min() / 1.3, found["learning_rate"].max() * 1.3
    for place, ((mixture,), rows) in enumerate(panels):
        axes = figure.add_subplot(down, PANELS_ACROSS, place + 1)
        axes.set_xscale("log")
        axes.set_xlim(least, most)
        lines = sorted(parts(rows, "method", "model", "seed"), key=lambda line: TUNED.index(line[0][0]))
        for (method, model, _), tried in lines:
            tried = tried.dropna(subset=["validation"]).sort_values("learning_rate")
            colour, is_encoder = METHODS[method].colour or GREY, method in ENCODER_METHODS
            faint = 0.55 if is_encoder and "base" in model else 1.0  # as in the figure of scores
            (line,) = axes.plot(
                tried["learning_rate"], tried["validation"], color=colour, marker=RATE_MARKERS[method], ms=3.6, mfc="white",
                alpha=faint,
            )  # fmt: skip
            kept = tried[tried["chosen"].astype(bool)]
            axes.plot(
                kept["learning_rate"],
                kept["validation"],
                color=colour,
                marker=RATE_MARKERS[method],
                ms=4.6,
                alpha=faint,
            )
            label = inputs.title(model) if is_encoder else METHODS[method].title
            handles.setdefault((TUNED.index(method), label), line)
        title = inputs.tasks[mixture].title if mixture in inputs.tasks else f"{mixture} (multi-task)"
        metric = str(rows["metric"].iloc[0])
        axes.set_title(f"{title}, {METRIC_TITLES.get(metric, metric)}", loc="left")
        if place % PANELS_ACROSS == 0:
            texts = mixture in inputs.tasks and inputs.tasks[mixture].answer == "text"
            axes.set_ylabel("validation, points" if texts else "validation, %")
        if place + PANELS_ACROSS >= len(panels):
            axes.set_xlabel("learning rate")
    names = sorted(handles)
    figure.legend(
        [handles[name] for name in names],
        [label for _, label in names],
        loc="outside lower center",
        ncols=6,
        frameon=False,
    )
    return figure
