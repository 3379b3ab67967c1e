"""Write the paper's tables as LaTeX, CSV and Markdown, from collected files or from the papers' print alone."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from rl4nlu.base.files import write_text
from rl4nlu.report.inputs import inputs_from, report_arguments
from rl4nlu.report.tables import build_sheets
from rl4nlu.report.tables.data import task_notes
from rl4nlu.report.typeset import write_sheet


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    report_arguments(parser, "folder to write <table>.tex, .csv and .md to")
    arguments = parser.parse_args(argv)
    inputs = inputs_from(arguments)
    sheets = build_sheets(inputs)
    for sheet in sheets.values():
        write_sheet(sheet, arguments.out)
    write_text(arguments.out / "task-notes.tex", task_notes(inputs))
    print(f"{len(sheets)} tables in {arguments.out}: {', '.join(sheets)}")


if __name__ == "__main__":
    main()
