"""What was reached: every method's scores, and what was wrong with answers that could not be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...config import METHODS
from ...scores.collect import CATEGORIES, MAIN_VARIANT
from ...tasks.task import Task
from ..inputs import Inputs
from ..names import BASELINES, LABEL_ROWS, METRIC_TITLES, MethodRow
from ..tables.rllr import RLLR_ROWS, RLLR_SUITE
from .drawing import DRAWN, MARKERS, open_figure, say_empty

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHADES = ("#4D4D4D", "#0072B2", "#E69F00", "#56B4E9", "#CC79A7", "#009E73")


def scores_figure(inputs: Inputs) -> Figure:
    """Every method's score on every task of labels or numbers, with the 95 % interval over seeds and rows."""
    models = inputs.decoders("main")
    if not models:
        return say_empty("Scores by method: nothing was reproduced in this build.")
    model = models[0]
    suites = [
        s
        for s in dict.fromkeys(t.suite for t in inputs.tasks.values())
        if any(_is_shown(inputs, t) for t in inputs.of_suite(s))
    ]
    if not suites:
        return say_empty("Scores by method: no task of labels or numbers in this build.")
    figure = open_figure(6.9, 2.35 * len(suites) + 0.5)
    seen: dict[str, Any] = {}
    for place, suite in enumerate(suites):
        axes = figure.add_subplot(len(suites), 1, place + 1)
        tasks = [t for t in inputs.of_suite(suite) if _is_shown(inputs, t)]
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


def _is_shown(inputs: Inputs, task: Task) -> bool:
    return task.answer != "text" and bool((inputs.metrics["task"] == task.name).any())


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
