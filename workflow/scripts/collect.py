"""Collect every run's records into tidy files: metrics.csv, means.csv, comparisons.csv, runs.csv and the others."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rl4nlu.base.files import write_text
from rl4nlu.config import load_config, read_yaml
from rl4nlu.jobs.programs import main_of
from rl4nlu.runs.grid import open_grid
from rl4nlu.scores import collect
from rl4nlu.scores.comparisons import compare_methods
from rl4nlu.scores.tuning import candidates_table
from rl4nlu.tasks.task import load_tasks


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of runs")
    parser.add_argument("--data", type=Path, help="folder of prepared rows, for data.csv; may be absent")
    parser.add_argument(
        "--config", type=Path, help="take only runs of its grid, and mark those made by other settings as stale"
    )
    parser.add_argument("--scale", help="name of the scale; default: the config's")
    parser.add_argument("--draws", type=int, default=1000, help="resamples of the rows")
    parser.add_argument("--seed", type=int, default=0, help="seed of resampling")
    parser.add_argument("--out", type=Path, required=True, help="folder to write the files to")
    arguments = parser.parse_args(argv)

    tasks, digests, scale = load_tasks(), None, arguments.scale or "unnamed"
    scored = collect.find_scored(arguments.results, tasks)
    if arguments.config:
        config = load_config(read_yaml(arguments.config), arguments.config.name)
        digests = {address.path: spec.evaluation_digest for address, spec in open_grid(config).runs.items()}
        scale = arguments.scale or config.name
        for run in sorted({item.address for item in scored} - digests.keys()):
            print(f"left out: {run} is not in the grid of {arguments.config.name}")
        scored = [item for item in scored if item.address in digests]
    rewards, replies = collect.reward_tables(arguments.results, scale, digests)
    tables = {
        "metrics": collect.metrics_table(scored, tasks, scale, digests, arguments.data),
        "runs": collect.runs_table(scored, tasks, scale),
        **compare_methods(scored, tasks, scale, arguments.draws, arguments.seed),
        "data": collect.data_table(arguments.data, tasks, scale),
        "history": collect.history_table(scored, tasks, scale),
        "invalid": collect.invalid_table(scored, tasks, scale),
        "rewards": rewards,
        "replies": replies,
        "candidates": candidates_table(arguments.results, tasks, scale, digests),
    }
    for name, table in tables.items():
        write_text(arguments.out / f"{name}.csv", table.to_csv(index=False))
    print(f"collected {len(scored)} scored tasks: " + ", ".join(f"{len(t)} rows of {n}.csv" for n, t in tables.items()))


if __name__ == "__main__":
    main_of(main)
