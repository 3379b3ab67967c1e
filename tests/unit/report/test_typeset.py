"""One sheet in three spellings."""

import csv
import io
from pathlib import Path

from synthetic import inputs

from rl4nlu.report.tables import build_sheets
from rl4nlu.report.typeset import Cell, Line, Sheet, tex, to_markdown, to_tex, write_sheet


def test_three_spellings_hold_the_same_cells(tmp_path: Path) -> None:
    for sheet in build_sheets(inputs(True)).values():
        write_sheet(sheet, tmp_path)
        body = (tmp_path / f"{sheet.name}.tex").read_text()
        rows = [line for line in body.splitlines() if line.endswith(r"\\") and not line.startswith(r"\multicolumn")]
        columns = len(sheet.heads) + len(sheet.columns)
        if sheet.filled:
            assert {line.replace(r"\&", "").count("&") for line in rows} == {columns - 1}, sheet.name
        parsed = list(csv.DictReader(io.StringIO((tmp_path / f"{sheet.name}.csv").read_text())))
        assert len(parsed) == len(sheet.filled)
        pipes = [line for line in (tmp_path / f"{sheet.name}.md").read_text().splitlines() if line.startswith("|")]
        assert len(pipes) == len(sheet.filled) + 2
        assert {line.replace(r"\|", "").count("|") for line in pipes} == {columns + 1}
    glue = list(csv.DictReader((tmp_path / "glue.csv").open()))
    ppo = next(line for line in glue if line["method"] == "PPO-ST" and line["origin"] == "ours")
    assert float(ppo["CoLA MCC"]) > 0
    assert float(ppo["CoLA MCC spread"]) >= 0
    assert ppo["QNLI acc. marks"] == "†"


def test_latex_is_escaped() -> None:
    sheet = Sheet(
        "x", "50 % & more_", ("A",), [("B#", "")], [Line(("a_b",), (Cell("−1", "±2", "†", True),))], ["~ ^ \\"]
    )
    out = to_tex(sheet)
    for part in (
        r"50 \% \& more\_",
        r"a\_b",
        r"B\#",
        r"\twolines{\textbf{$-$1}\textsuperscript{\textdagger}}{\tiny $\pm$2}",
    ):
        assert part in out
    assert tex("{x}") == r"\{x\}"
    assert r"a\|b" in to_markdown(Sheet("x", "t", ("A",), [], [Line(("a|b",), ())]))
