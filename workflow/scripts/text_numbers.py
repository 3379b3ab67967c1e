"""Write every number of the paper's text as LaTeX macros."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from rl4nlu.base.files import write_text
from rl4nlu.report.inputs import inputs_from, report_arguments
from rl4nlu.report.macros import build_macros, define_macros, find_switches


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    report_arguments(parser, "file to write, such as numbers.tex")
    arguments = parser.parse_args(argv)
    inputs = inputs_from(arguments)
    macros = build_macros(inputs)
    write_text(arguments.out, define_macros(macros, find_switches(inputs)))
    print(f"{len(macros)} numbers in {arguments.out}")


if __name__ == "__main__":
    main()
