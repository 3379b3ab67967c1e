"""How the cost of a training sample grows with vocabulary, prompt length and model size: PPO and SFT, ours beside TRL's.

One thing grows at a time, from a Llama of 128 × 4 layers, 8,192 tokens and prompts of 128 tokens. The prompts are RTE's own
texts, joined and cut to one length: they share no instructions and need no padding, so what is seen is neither the
shared prefix nor the batches by length, which ours gains on real prompts besides (`ppo.py`, `sft.py`). Equality of the
results is checked there.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
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


def prompts(model: Path, length: int, data: Path) -> list[list[int]]:
    """Prompts of `length` tokens that share nothing."""
    from rl4nlu.generation import shared_prefix

    count = BATCHES * ppo.BATCH
    whole = ppo.prompts(model, data, 1500)
    own = len(shared_prefix(whole, 0.0))
    stream = [token for tokens in whole for token in tokens[own:]]
    return [stream[n * length : (n + 1) * length] for n in range(count)]


def ppo_costs(model: Path, rows: list[list[int]], repeats: int) -> dict[str, dict[str, float]]:
    """CPU-seconds a sample and peak memory of each side of `ppo.py`."""
    job = {"model": str(model), "prompts": rows, "minibatch": ppo.BATCH, "out": str(measure.WORK / "trainer")}
    costs = ppo.timed(job, ppo.pythons(), repeats)
    return {ppo.SIDES[side]: {"cost": 1 / cost["samples"], "peak": cost["peak"]} for side, cost in costs.items()}


def sft_costs(model: Path, rows: list[list[int]], repeats: int) -> dict[str, dict[str, float]]:
    """CPU-seconds a sample (its last four tokens are the answer) and peak memory of ours and TRL's, in one order."""
    job = {"model": str(model), "rows": [(row, len(row) - 4) for row in rows], "order": list(range(len(rows)))}
    costs = sft.timed({**job, "optim": "adamw_torch"}, repeats, ("ours", "peer"))
    names = {"ours": "ours", "peer": "TRL 1.16"}
    return {names[side]: {"cost": len(rows[0]) / cost["tokens"], "peak": cost["peak"]} for side, cost in costs.items()}


def compare(arguments: argparse.Namespace) -> None:
    """Every point of every growth, PPO first."""
    for name, costs_of in {"PPO": ppo_costs, "SFT": sft_costs}.items():
        known: dict[tuple[measure.Shape, int], dict[str, dict[str, float]]] = {}
        lines: list[dict[str, Any]] = []
        panels = []
        for what, points in POINTS.items():
            points = points[:2] if arguments.quick else points
            for shape, length in points:
                if (shape, length) not in known:
                    measure.note(f"{name}: {shape}, {length} tokens a prompt")
                    model = measure.model(shape, arguments.data)
                    known[shape, length] = costs_of(model, prompts(model, length, arguments.data), arguments.repeats)
                costs = known[shape, length]
                ours = costs["ours"]["cost"]
                lines.append({
                    "grows": what, "vocabulary": shape.vocabulary, "tokens a prompt": length,
                    "million parameters": measure.parameters(shape) / 1e6,
                    **{f"{side}, CPU-ms a sample": 1000 * cost["cost"] for side, cost in costs.items()},
                    **{f"{side} / ours": cost["cost"] / ours for side, cost in costs.items() if side != "ours"},
                    **{f"{side}, MB": cost["peak"] for side, cost in costs.items()},
                })  # fmt: skip
            own = lines[-len(points) :]
            sides = list(known[points[0]])
            ys = {side: [line[f"{side}, CPU-ms a sample"] for line in own] for side in sides}
            panels.append(measure.Panel(what, [line[what] for line in own], "CPU-ms a sample", ys, log=True))
        text = f"{name}: how the cost of a sample grows\n\n{measure.table(lines)}"
        folder = measure.save(f"growth_{name.lower()}", {"points": lines}, text, arguments.quick)
        measure.plot(folder / f"growth_{name.lower()}.png", panels)


if __name__ == "__main__":
    measure.main(__doc__, compare, {})
