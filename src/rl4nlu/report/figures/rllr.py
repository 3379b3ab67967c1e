"""The second paper's figures: reward against label accuracy over training, and the sweep over tau."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...config import METHODS
from ...scores.collect import MAIN_VARIANT
from ..inputs import Inputs
from ..names import MethodRow
from ..tables.rllr import RLLR_SUITE
from .drawing import finish_panel, open_figure, say_empty

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REWARDED = [name for name, method in METHODS.items() if method.rewards]
"""Methods that reward models judge."""


def over_optimisation_figure(inputs: Inputs) -> Figure:
    """Reward, label accuracy, label reward apart for right and wrong labels, and KL of the policy's own samples over training."""
    history = inputs.history
    history = history[
        (history["variant"] == MAIN_VARIANT)
        & history["method"].isin(REWARDED)
        & history["model"].isin(inputs.decoders("main")[:1])
    ]
    if history.empty:
        return say_empty("Reward against label accuracy: no training against reward models in this build.")
    panels: tuple[tuple[str, tuple[tuple[str, str], ...], float], ...] = (
        ("mean reward of the policy's samples", (("reward", "-"),), 1),
        ("right labels among them, %", (("accuracy", "-"),), 100),
        (
            "label reward: right (—) and wrong (···) labels",
            (("label_reward_right", "-"), ("label_reward_wrong", ":")),
            1,
        ),
        ("KL to the reference, nats a response", (("kl", "-"),), 1),
    )
    figure = open_figure(6.9, 4.3)
    handles: dict[str, Any] = {}
    for place, (title, columns, factor) in enumerate(panels):
        axes = figure.add_subplot(2, 2, place + 1)
        for method in REWARDED:
            for column, style in columns:
                rows = history[history["method"] == method].dropna(subset=[column])
                if rows.empty:
                    continue
                for _, run in rows.groupby(["mixture", "seed"]):
                    axes.plot(
                        run["examples"],
                        run[column] * factor,
                        color=METHODS[method].colour,
                        lw=0.6,
                        ls=style,
                        alpha=0.35,
                    )
                mean = rows.groupby("examples")[column].mean() * factor
                mark = "o" if len(mean) < 12 else None
                (line,) = axes.plot(mean.index, mean, color=METHODS[method].colour, lw=1.4, ls=style, marker=mark, ms=3)
                handles.setdefault(MethodRow(method, "none").label, line)
        finish_panel(axes, title, place >= 2)
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=3, frameon=False)
    return figure


def thresholds_figure(inputs: Inputs) -> Figure:
    """Mean accuracy of RLLR-mixed over the suite's tasks against tau, a point a run."""
    runs = inputs.runs[(inputs.runs["method"] == "rllr-mixed") & inputs.runs["model"].isin(inputs.decoders("main")[:1])]
    runs = runs.dropna(subset=["threshold"])
    tasks = [task.name for task in inputs.of_suite(RLLR_SUITE)]
    m = inputs.metrics[(inputs.metrics["method"] == "rllr-mixed") & (inputs.metrics["metric"] == "accuracy")]
    if runs["variant"].nunique() < 2:
        return say_empty("Sweep over tau: no runs of it in this build (config/rllr-sweeps.yaml makes them).")
    address = ["model", "mixture", "variant", "seed"]
    scores = m[m["task"].isin([*tasks, *m["mixture"].unique()])].groupby(address)["value"].mean()
    joined = runs.set_index(address).join(scores.rename("score"), how="inner")
    figure = open_figure(4.2, 2.5)
    axes = figure.add_subplot()
    axes.plot(joined["threshold"], joined["score"], "o", ms=4, color=METHODS["rllr-mixed"].colour, mfc="white")
    axes.set_xlabel("tau, where the label reward is capped")
    axes.set_ylabel("accuracy, %")
    return figure
