"""How the cost of a training sample grows with vocabulary, prompt length and model size: PPO and SFT, ours beside TRL's.

One thing grows at a time, from a Llama of 128 × 4 layers, 8,192 tokens and prompts of 128 tokens. The prompts are RTE's own
texts, joined and cut to one length: they share no instructions and need no padding, so what is seen is neither the
shared prefix nor the batches by length, by which ours gains on real prompts besides (`ppo.py`, `sft.py`, where equality
of the results and memory are measured, too). A side goes through all points in one process.
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
import sft

BASE, LENGTH = measure.Shape(8192, 128, 344, 4, 4, 4), 128
WIDTHS = {64: 2, 128: 4, 256: 8, 512: 16}
"""Width, and heads of 32 dimensions."""

POINTS: dict[str, list[tuple[measure.Shape, int]]] = {
    "vocabulary": [(replace(BASE, vocabulary=size), LENGTH) for size in (512, 2048, 8192, 32_000)],
    "tokens a prompt": [(BASE, length) for length in (64, 128, 256, 512)],
    "million parameters": [
        (replace(BASE, width=width, inner=width * 43 // 16, heads=heads, key_value_heads=heads), LENGTH)
        for width, heads in WIDTHS.items()
    ],
}
BATCHES = 2
"""Of which the first warms up."""

ANSWER = 4
"""Tokens at the end of an SFT row that are learnt."""


def rows(model: Path, length: int, data: Path) -> list[list[int]]:
    """Two batches of rows of `length` tokens that share nothing."""
    from rl4nlu.generation import shared_prefix

    whole = ppo.prompts(model, data, 1500)
    own = len(shared_prefix(whole, 0.0))
    stream = [token for tokens in whole for token in tokens[own:]]
    return [stream[n * length : (n + 1) * length] for n in range(BATCHES * ppo.BATCH)]


def every(side: Callable[[Any, measure.Clock], Any], jobs: list[Any], clock: measure.Clock) -> list[float]:
    """CPU-seconds a sample of `side` at every job; the jobs' own clocks exclude their warming up."""
    found = []
    for job in jobs:
        own = measure.Clock()
        with clock:
            side(job, own)
        found.append(own.seconds / ((BATCHES - 1) * ppo.BATCH))
    return found


COMPARED = {
    "PPO": {"ours": "ours", "TRL 0.11.4": "old", "TRL 1.12.0": "last"},
    "SFT": {"ours": "sft_ours", "TRL 1.16": "sft_peer"},
}


def compare(arguments: argparse.Namespace) -> None:
    """Every point of every growth; PPO, then SFT."""
    points = {what: some[:2] if arguments.quick else some for what, some in POINTS.items()}
    jobs: dict[tuple[measure.Shape, int], dict[str, Any]] = {}
    for shape, length in {point: None for some in points.values() for point in some}:
        model = measure.model(shape, arguments.data)
        prompts = rows(model, length, arguments.data)
        jobs[shape, length] = {
            "model": str(model), "prompts": prompts, "minibatch": ppo.BATCH, "out": str(measure.WORK / "trainer"),
            "rows": [(row, length - ANSWER) for row in prompts], "order": list(range(len(prompts))),
            "optim": "adamw_torch",
        }  # fmt: skip
    python = ppo.pythons()
    for name, sides in COMPARED.items():
        where = {side: python.get(side, python["ours"]) for side in sides.values()}
        runs = measure.alternate(__file__, where, list(jobs.values()), arguments.repeats)
        cost = {
            label: dict(zip(jobs, map(min, zip(*(run.results for run in runs[side]), strict=True)), strict=True))
            for label, side in sides.items()
        }
        lines: list[dict[str, Any]] = []
        panels = []
        for what, some in points.items():
            for shape, length in some:
                ours = cost["ours"][shape, length]
                lines.append({
                    "grows": what, "vocabulary": shape.vocabulary, "tokens a prompt": length,
                    "million parameters": measure.parameters(shape) / 1e6,
                    **{f"{label}, CPU-ms a sample": 1000 * cost[label][shape, length] for label in sides},
                    **{f"{label} / ours": cost[label][shape, length] / ours for label in sides if label != "ours"},
                })  # fmt: skip
            own = lines[-len(some) :]
            ys = {label: [line[f"{label}, CPU-ms a sample"] for line in own] for label in sides}
            panels.append(measure.Panel(what, [line[what] for line in own], "CPU-ms a sample", ys, log=True))
        text = f"{name}: how the cost of a sample grows\n\n{measure.table(lines)}"
        folder = measure.save(f"growth_{name.lower()}", {"points": lines}, text, arguments.quick)
        measure.plot(folder / f"growth_{name.lower()}.png", panels)


if __name__ == "__main__":
    functions = {"ours": ppo.ours, "old": ppo.old, "last": ppo.last, "sft_ours": sft.ours, "sft_peer": sft.peer}
    measure.main(__doc__, compare, {name: partial(every, function) for name, function in functions.items()})
