"""How cost grows with vocabulary, prompt length, demonstrations and model size: scoring, PPO and SFT beside their peers.

One thing grows at a time, from a Llama of 128 × 4 layers and 8,192 tokens. A side goes through all points in one process.

Scoring: RTE's first dev rows, with five demonstrations unless they are what grows; log-likelihoods are compared. The larger
a vocabulary, the fewer tokens the same text has, so that cost falls before it rises.

PPO and SFT: prompts of 128 tokens, which are RTE's own texts, joined and cut to one length. They share no instructions and
need no padding, so what is seen is neither the shared prefix nor the batches by length, by which ours gains on real prompts
besides (`ppo.py`, `sft.py`, where equality of the results and memory are measured, too).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import measure
import ppo
import scoring
import sft

BASE, LENGTH = measure.Shape(8192, 128, 344, 4, 4, 4), 128
WIDTHS = {64: 2, 128: 4, 256: 8, 512: 16}
"""Width, and heads of 32 dimensions."""

Point = tuple[measure.Shape, int]
"""A model, and tokens a prompt (training) or demonstrations (scoring)."""

VOCABULARIES = [replace(BASE, vocabulary=size) for size in (512, 2048, 8192, 32_000)]
SIZES = [
    replace(BASE, width=width, inner=width * 43 // 16, heads=heads, key_value_heads=heads)
    for width, heads in WIDTHS.items()
]
TRAINED: dict[str, list[Point]] = {
    "vocabulary": [(shape, LENGTH) for shape in VOCABULARIES],
    "tokens a prompt": [(BASE, length) for length in (64, 128, 256, 512)],
    "million parameters": [(shape, LENGTH) for shape in SIZES],
}
SCORED: dict[str, list[Point]] = {
    "demonstrations": [(BASE, shots) for shots in (0, 1, 2, 4, 8)],
    "vocabulary": [(shape, scoring.SHOTS) for shape in VOCABULARIES],
    "million parameters": [(shape, scoring.SHOTS) for shape in SIZES],
}
ROWS = 16
"""That are scored at a point."""

BATCHES = 2
"""Of which the first warms up."""

ANSWER = 4
"""Tokens at the end of an SFT row that are learnt."""


def rows(model: Path, length: int, data: Path) -> list[list[int]]:
    """Two batches of rows of `length` tokens that share nothing."""
    from rl4nlu.answering.generate import shared_prefix

    whole = ppo.prompts(model, data, 1500)
    own = len(shared_prefix(whole, 0.0))
    stream = [token for tokens in whole for token in tokens[own:]]
    return [stream[n * length : (n + 1) * length] for n in range(BATCHES * ppo.BATCH)]


def training_jobs(points: list[Point], data: Path) -> list[dict[str, Any]]:
    """What PPO and SFT are asked at every point."""
    jobs = []
    for shape, length in points:
        model = measure.model(shape, data)
        prompts = rows(model, length, data)
        jobs.append({
            "model": str(model), "prompts": prompts, "minibatch": ppo.BATCH, "out": str(measure.WORK / "trainer"),
            "rows": [(row, length - ANSWER) for row in prompts], "order": list(range(len(prompts))),
            "optim": "adamw_torch", "samples": (BATCHES - 1) * ppo.BATCH,
        })  # fmt: skip
    return jobs


def scoring_jobs(points: list[Point], data: Path) -> list[dict[str, Any]]:
    """What is scored at every point."""
    jobs = []
    for shape, shots in points:
        job = {"data": str(data), "tasks": ["rte"], "rows": ROWS, "shots": shots, "bare": False, "samples": ROWS}
        jobs.append({**job, "model": str(measure.model(shape, data)), "texts": scoring.texts(job)})
    return jobs


def every(side: Callable[[Any, measure.Clock], Any], jobs: list[Any], clock: measure.Clock) -> list[tuple[float, Any]]:
    """CPU-seconds a sample of `side` at every job, and its results; the jobs' own clocks exclude their warming up."""
    found = []
    for job in jobs:
        own = measure.Clock()
        with clock:
            results = side(job, own)
        found.append((own.seconds / job["samples"], results))
    return found


COMPARED: dict[str, dict[str, str]] = {
    "scoring": {"ours": "scoring_ours", "lm-eval 0.4.13": "lm_eval"},
    "PPO": {"ours": "ours", "TRL 0.11.4": "old", "TRL 1.12.0": "last"},
    "SFT": {"ours": "sft_ours", "TRL 1.16": "sft_peer"},
}


def compare(arguments: argparse.Namespace) -> None:
    """Every point of every growth, of each comparison in turn."""
    data = arguments.data.resolve()
    python = {**ppo.pythons(), "lm_eval": measure.environment("lm-eval", scoring.PEER)}
    for name in arguments.only or COMPARED:
        sides, grown = COMPARED[name], SCORED if name == "scoring" else TRAINED
        grown = {what: some[:2] if arguments.quick else some for what, some in grown.items()}
        points = list(dict.fromkeys(point for some in grown.values() for point in some))
        jobs = (scoring_jobs if name == "scoring" else training_jobs)(points, data)
        warm = 1 if name == "scoring" else 0  # training warms up at every point
        where = {side: python.get(side, python["ours"]) for side in sides.values()}
        runs = measure.alternate(__file__, where, jobs[:warm] + jobs, arguments.repeats)
        found = {label: [run.results[warm:] for run in runs[side]] for label, side in sides.items()}
        equalities = {}
        if name == "scoring":
            mine, theirs = ([row for _, results in found[label][0] for row in results] for label in sides)
            equalities = measure.equal(scoring.apart(mine, theirs))
        cost = {
            label: {point: 1000 * min(run[n][0] for run in repeats) for n, point in enumerate(points)}
            for label, repeats in found.items()
        }
        report(name, grown, cost, equalities, arguments.quick)


def report(
    name: str,
    grown: dict[str, list[Point]],
    cost: dict[str, dict[Point, float]],
    equalities: dict[str, Any],
    quick: bool,
) -> None:
    """The table and the plot of one comparison; `cost`: CPU-ms a sample, by side and point."""
    second = "demonstrations" if name == "scoring" else "tokens a prompt"
    lines: list[dict[str, Any]] = []
    for what, some in grown.items():
        for shape, number in some:
            at = {label: cost[label][shape, number] for label in cost}
            lines.append({
                "grows": what, "vocabulary": shape.vocabulary, second: number,
                "million parameters": measure.parameters(shape) / 1e6,
                **{f"{label}, CPU-ms a sample": ms for label, ms in at.items()},
                **{f"{label} / ours": f"{ms / at['ours']:.1f}×" for label, ms in at.items() if label != "ours"},
            })  # fmt: skip
    text = f"{name}: how the cost of a sample grows\n\n{measure.table(lines)}"
    folder = measure.save(f"growth_{name.lower()}", {"equality": equalities, "points": lines}, text, quick)
    measure.plot(folder / f"growth_{name.lower()}.png", [panel(what, lines, list(cost)) for what in grown])


def panel(what: str, lines: list[dict[str, Any]], labels: list[str]) -> measure.Panel:
    """The plot of one growing quantity, from the table's lines."""
    own = [line for line in lines if line["grows"] == what]
    ys = {label: [line[f"{label}, CPU-ms a sample"] for line in own] for label in labels}
    xlabel = "vocabulary, tokens" if what == "vocabulary" else what
    return measure.Panel(xlabel, [line[what] for line in own], "CPU-ms a sample", ys, log=what != "demonstrations")


if __name__ == "__main__":
    functions = {
        "ours": ppo.ours, "old": ppo.old, "last": ppo.last, "sft_ours": sft.ours, "sft_peer": sft.peer,
        "scoring_ours": scoring.ours, "lm_eval": scoring.lm_eval,
    }  # fmt: skip
    only: dict[str, Any] = {"nargs": "+", "choices": list(COMPARED), "help": "comparisons to make; default: all"}
    measure.main(__doc__, compare, {name: partial(every, side) for name, side in functions.items()}, {"--only": only})
