"""Draw the paper's figures as PDF and PNG from collected files; without them each figure says that it is empty."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rl4nlu.report.figures import draw_figures, write_figure
from rl4nlu.report.inputs import inputs_from, report_arguments


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    report_arguments(parser, "folder to write <figure>.pdf and .png to")
    arguments = parser.parse_args(argv)
    figures = draw_figures(inputs_from(arguments))
    for name, figure in figures.items():
        write_figure(figure, name, Path(arguments.out))
    print(f"{len(figures)} figures in {arguments.out}: {', '.join(figures)}")


if __name__ == "__main__":
    main()
