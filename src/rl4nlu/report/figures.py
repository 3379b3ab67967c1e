"""The paper's figures, as vector PDF and PNG, in colours that colour-blind readers can tell apart (Okabe and Ito 2008).

Every figure is a function from the collected files to a matplotlib `Figure`; where there is nothing to draw it says so.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import cycle
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import METHODS
from ..scores.collect import CATEGORIES, MAIN_VARIANT
from ..scores.inference import LEVEL
from .cells import number
from .drawing import finish_panel, open_figure, say_empty, use_style
from .figures_rllr import over_optimisation_figure, thresholds_figure
from .inputs import Inputs, parts
from .names import BASELINES, DISCREPANCIES, ENCODER_METHODS, LABEL_ROWS, METRIC_TITLES, MethodRow
from .published import PAPER_1
from .tables.comparisons import discrepancy_effects, headline_gains
from .tables.rllr import RLLR_ROWS, RLLR_SUITE
from .tables.tuning import compared_candidates

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DRAWN = [name for name, method in METHODS.items() if method.colour and name not in BASELINES]
MARKERS = dict(zip(DRAWN, cycle("os^D<PX*v"), strict=False))
"""A mark a method, beside its colour."""
TUNED = [name for name, method in METHODS.items() if method.learns and method.scored]
"""Methods whose learning rates are drawn; those without a colour of their own are grey, and told apart by their marks."""
RATE_MARKERS = dict(zip([name for name in TUNED if name not in MARKERS], cycle("hd8p"), strict=False)) | MARKERS
GREY = "#777777"
PANELS_ACROSS = 3
CYCLE = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#000000", "#F0E442")
SHADES = ("#4D4D4D", "#0072B2", "#E69F00", "#56B4E9", "#CC79A7", "#009E73")
MOST_CURVES = 6
"""Tasks that the learning curves show: those with the most seeds, in table order."""


def write_figure(figure: Figure, name: str, folder: Path) -> None:
    """Write `<name>.pdf` and `<name>.png`; without dates, so that equal numbers give equal files."""
    folder.mkdir(parents=True, exist_ok=True)
    for form, facts in (("pdf", {"CreationDate": None, "ModDate": None}), ("png", {"Software": None})):
        beside = folder / f".{name}.{os.getpid()}.{form}"
        with use_style():
            figure.savefig(beside, format=form, metadata=facts, dpi=200)
        beside.replace(folder / f"{name}.{form}")


def scores_figure(inputs: Inputs) -> Figure:
    """Every method's score on every task, with the 95 % interval over seeds and rows."""
    models = inputs.decoders("main")
    if not models:
        return say_empty("Scores by method: nothing was reproduced in this build.")
    model = models[0]
    suites = [
        s
        for s in dict.fromkeys(t.suite for t in inputs.tasks.values())
        if any(_has(inputs, t.name) for t in inputs.of_suite(s))
    ]
    figure = open_figure(6.9, 2.35 * len(suites) + 0.5)
    seen: dict[str, Any] = {}
    for place, suite in enumerate(suites):
        axes = figure.add_subplot(len(suites), 1, place + 1)
        tasks = [t for t in inputs.of_suite(suite) if _has(inputs, t.name)]
        methods = RLLR_ROWS if suite == RLLR_SUITE else LABEL_ROWS
        rows = [(model, row) for row in methods if row.method in DRAWN]
        rows += [(m, MethodRow("encoder", "st")) for m in inputs.encoders()]
        rows = [(name, row) for name, row in rows if any(inputs.first(name, row, task) for task in tasks)]
        for at, task in enumerate(tasks):
            for method in BASELINES:
                values = inputs.first(model, MethodRow(method, "none"), task)
                if values:
                    height = sum(values) / len(values)
                    style = "-" if method == "majority" else ":"
                    (line,) = axes.plot([at - 0.42, at + 0.42], [height] * 2, color="#999999", lw=1, ls=style, zorder=1)
                    seen.setdefault(MethodRow(method, "none").label, line)
            for index, (name, row) in enumerate(rows):
                mean = inputs.mean(name, row, task.name, task.columns[0])
                if mean is None:
                    continue
                x, y = at + (index - (len(rows) - 1) / 2) * 0.8 / len(rows), float(mean["value"])
                low, high = float(mean["low"]), float(mean["high"])
                spread = [[max(0.0, y - low)], [max(0.0, high - y)]] if low == low else None
                hollow = row.kind == "mt"
                mark = axes.errorbar(
                    [x], [y], yerr=spread, color=METHODS[row.method].colour, marker=MARKERS[row.method], ms=3.6, lw=0, elinewidth=0.9,
                    mfc="white" if hollow else METHODS[row.method].colour, zorder=3 if row.method in ("sft", "ppo") else 2,
                    alpha=0.55 if row.method == "encoder" and "base" in name else 1.0,
                )  # fmt: skip
                seen.setdefault(inputs.title(name) if row.method == "encoder" else row.label, mark)
        labels = [
            t.title.replace(" (SuperGLUE)", "") + f"\n{METRIC_TITLES.get(t.columns[0], t.columns[0])}" for t in tasks
        ]
        axes.set_xticks(range(len(tasks)), labels)
        axes.grid(axis="x", visible=False)
        axes.set_ylabel("score, %")
        axes.set_title(
            f"{inputs.tasks[tasks[0].name].suite.upper().replace('SUPER', 'Super')} – {inputs.title(model)}", loc="left"
        )
    figure.legend(list(seen.values()), list(seen), loc="outside lower center", ncols=5, frameon=False)
    return figure


def _has(inputs: Inputs, task: str) -> bool:
    return bool((inputs.metrics["task"] == task).any())


def curves_figure(inputs: Inputs) -> Figure:
    """PPO's reward, KL, unreadable answers and validation score, and SFT's loss, against prompts seen."""
    models = inputs.decoders("main")
    history = inputs.history
    history = history[
        (history["variant"] == MAIN_VARIANT)
        & history["model"].isin(models[:1])
        & history["method"].isin(["ppo", "sft"])
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
            colour = METHODS["ppo"].colour if row["difference"] >= 0 else "#0072B2"
            axes.plot([row["low"], row["high"]], [height] * 2, color=colour, lw=1.2)
            axes.plot([row["difference"]], [height], "o", ms=4.5, color=colour, mfc=colour if sure else "white")
        axes.set_yticks(range(len(rows)), [inputs.tasks[t].title for t in rows.index])
        axes.set_ylim(-0.7, len(rows) - 0.3)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("PPO − SFT, points (95 % interval over seeds and rows)")
        axes.set_title({"st": "single-task", "mt": "multi-task"}[kind], loc="left")
    return figure


def invalid_figure(inputs: Inputs) -> Figure:
    """What was wrong with answers that could not be read, as a share of each method's answers."""
    found = inputs.invalid[(inputs.invalid["variant"] == MAIN_VARIANT) & (inputs.invalid["mixture_kind"] != "transfer")]
    if found.empty:
        return say_empty("Unreadable answers: no predictions in this build.")
    order = {name: place for place, name in enumerate(METHODS)}
    models = [*inputs.decoders("main"), *inputs.decoders("other")]
    bars = sorted(
        {
            (str(m), str(me), str(k))
            for m, me, k in zip(found["model"], found["method"], found["mixture_kind"], strict=True)
        },
        key=lambda b: (models.index(b[0]), ("none", "st", "mt").index(b[2]), order[b[1]]),
    )
    figure = open_figure(6.9, 1.0 + 0.17 * len(bars))
    axes = figure.add_subplot()
    for height, (model, method, kind) in enumerate(reversed(bars)):
        rows = found[(found["model"] == model) & (found["method"] == method) & (found["mixture_kind"] == kind)]
        total, left = rows.drop_duplicates(["mixture", "task"])["rows"].sum(), 0.0
        for shade, name in zip(SHADES, CATEGORIES, strict=True):
            share = 100 * float(rows.loc[rows["category"] == name, "answers"].sum()) / float(total)
            axes.barh(height, share, left=left, color=shade, height=0.72, label=name if height == 0 else None)
            left += share
        axes.text(left, height, f" {left:.2f}", va="center", fontsize=6)
    axes.set_yticks(range(len(bars)), [f"{inputs.title(m)} {MethodRow(me, k).label}" for m, me, k in reversed(bars)])
    axes.set_ylim(-0.6, len(bars) - 0.4)
    axes.grid(axis="y", visible=False)
    axes.margins(x=0.08)
    axes.set_xlim(left=0)
    axes.set_xlabel("answers that the parser could not read, % of all")
    figure.legend(loc="outside lower center", ncols=5, frameon=False)
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
            axes.set_ylabel("validation, %")
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


FIGURES: dict[str, Callable[[Inputs], Figure]] = {
    "scores": scores_figure,
    "curves": curves_figure,
    "gains": gains_figure,
    "invalid": invalid_figure,
    "over-optimisation": over_optimisation_figure,
    "thresholds": thresholds_figure,
    "learning-rates": learning_rates_figure,
    "effects": effects_figure,
}
"""Every figure in the paper's order; each is written as .pdf and .png, and has a caption in workflow/report/figures."""


def draw_figures(inputs: Inputs) -> dict[str, Figure]:
    """Every figure by name."""
    with use_style():
        return {name: draw(inputs) for name, draw in FIGURES.items()}
