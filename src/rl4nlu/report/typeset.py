"""Sheets of cells as LaTeX (booktabs), CSV and Markdown: the same cells, three spellings."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..base.files import write_text

TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "#": r"\#", "$": r"\$", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "−": "$-$", "Δ": r"$\Delta$", "×": r"$\times$",
    "†": r"\textsuperscript{\textdagger}", "‡": r"\textsuperscript{\textdaggerdbl}", "°": r"\textsuperscript{$\circ$}",
    "*": r"\textsuperscript{*}", "ρ": r"$\rho$", "–": "--", "·": r"$\cdot$", "≤": r"$\le$", "<": "$<$", ">": "$>$",
    "…": r"\dots{}", "→": r"$\rightarrow$", "“": "``", "”": "''",
}  # fmt: skip
"""How each character that LaTeX would trip over is written."""


def tex(text: str) -> str:
    """`text` as LaTeX that prints it."""
    return "".join(TEX.get(character, character) for character in text)


@dataclass(frozen=True)
class Cell:
    """One entry: what it says, a smaller second line (a spread or an interval), marks that a note explains."""

    text: str = ""
    below: str = ""
    marks: str = ""
    bold: bool = False


@dataclass(frozen=True)
class Line:
    """One row. `kind`: ours, paper (the printed numbers, grey), or rule (a thin line before the next block)."""

    heads: tuple[str, ...] = ()
    cells: tuple[Cell, ...] = ()
    kind: str = "ours"


@dataclass
class Sheet:
    """One table: `heads` name the leading text columns, `columns` the rest (with a second header line)."""

    name: str
    title: str
    heads: tuple[str, ...]
    columns: list[tuple[str, str]]
    lines: list[Line] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    size: str = "footnotesize"
    text_columns: bool = False  # columns hold words and are set flush left
    quiet: bool = False  # leave the table out of the paper when it has no lines

    @property
    def filled(self) -> list[Line]:
        """Lines that are rows."""
        return [line for line in self.lines if line.kind != "rule"]


def to_tex(sheet: Sheet) -> str:
    """A whole `table` environment, labelled `tab:<name>`, never wider than the text."""
    if not sheet.filled and sheet.quiet:
        return f"% {sheet.name}: nothing to show\n"
    width = len(sheet.heads) + len(sheet.columns)
    form = "@{}" + "l" * len(sheet.heads) + ("l" if sheet.text_columns else "r") * len(sheet.columns) + "@{}"
    rows = [" & ".join([*(rf"\textbf{{{tex(h)}}}" for h in sheet.heads), *(tex(c[0]) for c in sheet.columns)]) + r" \\"]
    if any(below for _, below in sheet.columns):
        small = [rf"{{\scriptsize {tex(below)}}}" for _, below in sheet.columns]
        rows.append(" & ".join(["" for _ in sheet.heads] + small) + r" \\")
    rows.append(r"\midrule")
    for index, line in enumerate(sheet.lines):
        if line.kind == "rule":
            if 0 < index < len(sheet.lines) - 1 and sheet.lines[index - 1].kind != "rule":
                rows.append(r"\addlinespace[2pt]\midrule[0.2pt]\addlinespace[2pt]")
            continue
        entries = [_tex_text(head, line.kind) for head in line.heads] + [
            _tex_cell(cell, line.kind) for cell in line.cells
        ]
        rows.append(" & ".join(entries) + r" \\")
    if not sheet.filled:
        rows.append(rf"\multicolumn{{{width}}}{{@{{}}l@{{}}}}{{No such rows in this build.}} \\")
    notes = " ".join(tex(note) for note in sheet.notes)
    return "\n".join(
        [
            f"% Written by workflow/scripts/tables.py: {sheet.name}",
            r"\begin{table}[htbp]",
            r"\centering",
            rf"\caption{{{tex(sheet.title)}}}",
            rf"\label{{tab:{sheet.name}}}",
            rf"\{sheet.size}",
            r"\setlength{\tabcolsep}{4pt}",
            r"\begin{adjustbox}{max width=\linewidth}",
            rf"\begin{{tabular}}{{{form}}}",
            r"\toprule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{adjustbox}",
            *(
                [r"\par\smallskip", rf"\begin{{minipage}}{{\linewidth}}\scriptsize {notes}\end{{minipage}}"]
                if notes
                else []
            ),
            r"\end{table}",
            "",
        ]
    )


def _tex_text(text: str, kind: str) -> str:
    return rf"\paper{{{tex(text)}}}" if kind == "paper" and text else tex(text)


def _tex_cell(cell: Cell, kind: str) -> str:
    text = tex(cell.text or "–")
    if cell.bold:
        text = rf"\textbf{{{text}}}"
    text += tex(cell.marks)
    if kind == "paper":
        text = rf"\paper{{{text}}}"
    if not cell.below:
        return text
    below = rf"\tiny {tex(cell.below)}"
    if kind == "paper":
        below = rf"\paper{{{below}}}"
    return rf"\twolines{{{text}}}{{{below}}}"


def _names(sheet: Sheet) -> list[str]:
    return [f"{name} {below}".strip() for name, below in sheet.columns]


def to_csv(sheet: Sheet) -> str:
    """One line a row; a column's second lines and marks stand in columns of their own where it has any.

    Headers are free of marks, so that a column has one name whatever the numbers are.
    """
    names, origin = [name.replace("°", "") for name in _names(sheet)], ["origin"]
    spread = [any(line.cells[i].below for line in sheet.filled) for i in range(len(names))]
    marked = [any(line.cells[i].marks for line in sheet.filled) for i in range(len(names))]
    header = [head.lower() or "row" for head in sheet.heads] + origin
    for i, name in enumerate(names):
        header += [name, *([f"{name} spread"] if spread[i] else []), *([f"{name} marks"] if marked[i] else [])]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    for line in sheet.filled:
        row = [*line.heads, line.kind]
        for i, cell in enumerate(line.cells):
            row += [
                cell.text,
                *([cell.below.replace("±", "")] if spread[i] else []),
                *([cell.marks] if marked[i] else []),
            ]
        writer.writerow(row)
    return out.getvalue()


def to_markdown(sheet: Sheet) -> str:
    """A pipe table under its title, with the notes below."""
    header = [*sheet.heads, *_names(sheet)]
    side = "---" if sheet.text_columns else "---:"
    lines = [f"**{sheet.title}**", "", _pipe(header), _pipe(["---"] * len(sheet.heads) + [side] * len(sheet.columns))]
    for line in sheet.filled:
        cells = [" ".join(part for part in (_markdown_cell(cell), cell.below) if part) or "–" for cell in line.cells]
        entries = [*line.heads, *cells]
        lines.append(_pipe([f"*{entry}*" if line.kind == "paper" and entry else entry for entry in entries]))
    if not sheet.filled:
        lines += ["", "No such rows in this build."]
    return "\n".join([*lines, "", *sheet.notes, ""])


def _markdown_cell(cell: Cell) -> str:
    text = f"**{cell.text}**" if cell.bold else cell.text
    return text + cell.marks.replace("*", r"\*")


def _pipe(entries: Sequence[str]) -> str:
    return "| " + " | ".join(entry.replace("|", r"\|") for entry in entries) + " |"


def write_sheet(sheet: Sheet, folder: Path) -> None:
    """Write `<name>.tex`, `<name>.csv` and `<name>.md` into `folder`."""
    write_text(folder / f"{sheet.name}.tex", to_tex(sheet))
    write_text(folder / f"{sheet.name}.csv", to_csv(sheet))
    write_text(folder / f"{sheet.name}.md", to_markdown(sheet))
