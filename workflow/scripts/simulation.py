"""How often the tests between methods err, and what they find: rl4nlu.scores.simulation for rule simulation."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rl4nlu.base.files import write_text
from rl4nlu.jobs.programs import main_of
from rl4nlu.scores.simulation import show_simulation, simulation_table


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=1000, help="comparisons a situation")
    parser.add_argument("--draws", type=int, default=400, help="resamples of the rows a comparison")
    parser.add_argument("--out", type=Path, required=True, help="folder to write simulation.csv and simulation.md to")
    arguments = parser.parse_args(argv)
    table = simulation_table(arguments.repeats, arguments.draws)
    write_text(arguments.out / "simulation.csv", table.to_csv(index=False))
    write_text(arguments.out / "simulation.md", show_simulation(table))
    print(show_simulation(table))


if __name__ == "__main__":
    main_of(main)
