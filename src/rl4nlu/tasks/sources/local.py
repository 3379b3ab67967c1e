"""Rows from files: the official GLUE and SuperGLUE formats, or a user's own csv, tsv or JSON lines.

GLUE's files hold stray quotes, byte-order marks and, in MNLI, 12 columns in train and 16 in dev: they are read with
quoting off, and columns are found by the header's names.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from ...base.errors import ConfigError, nearest
from ...config import Data
from ..available import files_of, folder_of
from ..parts.columns import Local
from ..task import Task
from .layouts import Raw, SourceSplit


def read(task: Task, source: Local, data: Data) -> tuple[dict[str, SourceSplit], dict[str, Any]]:
    """Rows of each split, and the files that they come from.

    Raises:
        ConfigError: a file has no header where one is expected, or lacks a column.
    """
    folder, files = folder_of(source, data), files_of(source, data)
    names = {split: [path.relative_to(folder).as_posix() for path in paths] for split, paths in files.items()}
    readings = {
        split: read_file(paths[0], source, names[split][0]) for split, paths in files.items() if len(paths) == 1
    }
    if isinstance(source.train, dict):
        readings["train"] = read_side_by_side(list(source.train), files["train"], names["train"], source)
    return readings, {"files": {split: one if not more else [one, *more] for split, (one, *more) in names.items()}}


def read_file(path: Path, source: Local, name: str) -> SourceSplit:
    """Rows of one file; `name` is what ids and messages call it."""
    lines, dropped = decoded_lines(path, name)
    reading = SourceSplit([], source, dropped)
    if source.format == "jsonl":
        _read_json(lines, name, reading)
    elif source.format == "csv":
        _read_cells(_csv_rows(lines, name), source, name, reading)
    else:
        _read_cells([(number, line.split("\t")) for number, line in lines], source, name, reading)
    return reading


def read_side_by_side(columns: list[str], paths: list[Path], names: list[str], source: Local) -> SourceSplit:
    """Rows of files that hold a column each, one value a line; a row is named by the first of them.

    Raises:
        ConfigError: one has another number of lines than the first.
    """
    reading = SourceSplit([], source)
    values: dict[int, dict[str, str]] = {}
    counts = []
    for column, path, name in zip(columns, paths, names, strict=True):
        lines, dropped = decoded_lines(path, name)
        reading.dropped += dropped
        for number, text in lines:
            values.setdefault(number, {})[column] = text
        counts.append(path.read_bytes().removesuffix(b"\n").count(b"\n") + 1)
    if len(set(counts)) > 1:
        found = ", ".join(f"{name} has {count}" for name, count in zip(names, counts, strict=True))
        raise ConfigError(f"files side by side need as many lines as each other: {found}")
    reading.rows = [Raw(f"{names[0]}:{number}", values[number]) for number in sorted(values)]
    return reading


def decoded_lines(path: Path, name: str) -> tuple[list[tuple[int, str]], list[dict[str, str]]]:
    """Numbered lines of a file that are not empty, and those that are no UTF-8.

    Lines end at a line feed only: real rows hold other characters that Python takes for a line's end.
    """
    lines, dropped = [], []
    for number, line in enumerate(path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        try:
            text = line.removesuffix(b"\r").decode("utf-8")
        except UnicodeDecodeError as error:
            dropped.append({"where": f"{name}:{number}", "reason": f"no UTF-8: {error.reason} at byte {error.start}"})
            continue
        if text.strip():
            lines.append((number, text))
    return lines, dropped


def _read_json(lines: list[tuple[int, str]], name: str, reading: SourceSplit) -> None:
    for number, line in lines:
        where = f"{name}:{number}"
        try:
            values = json.loads(line)
        except json.JSONDecodeError as error:
            reading.dropped.append({"where": where, "reason": f"no JSON: {error.msg} at column {error.colno}"})
            continue
        if isinstance(values, dict):
            reading.rows.append(Raw(where, values))
        else:
            reading.dropped.append({"where": where, "reason": f"no JSON object but {type(values).__name__}"})


def _csv_rows(lines: list[tuple[int, str]], name: str) -> list[tuple[int, list[str]]]:
    """Cells of a comma-separated file, each with the number of the line that its row begins on."""
    reader = csv.reader(io.StringIO("\n".join(text for _, text in lines)), strict=True)
    rows, start = [], 0
    try:
        for cells in reader:
            rows.append((lines[start][0], cells))
            start = reader.line_num
    except csv.Error as error:
        raise ConfigError(f"{name}: row that begins on line {lines[start][0]}: {error}") from None
    return rows


def _read_cells(rows: list[tuple[int, list[str]]], source: Local, name: str, reading: SourceSplit) -> None:
    """Rows of cells, with the header's names where there is a header; rows of another width are dropped."""
    if not rows:
        raise ConfigError(f"{name}: the file is empty")
    header = [cell.strip() for cell in rows[0][1]] if source.header else None
    if header is not None:
        _check_header(header, source, name)
        rows = rows[1:]
    width = len(header) if header is not None else len(rows[0][1])
    for number, cells in rows:
        where = f"{name}:{number}"
        if len(cells) != width:
            reading.dropped.append({"where": where, "reason": f"{len(cells)} columns where {width} are expected"})
        else:
            reading.rows.append(Raw(where, dict(zip(header, cells, strict=True)) if header is not None else cells))


def _check_header(header: list[str], source: Local, name: str) -> None:
    for column in [*source.fields.values(), source.label]:
        if isinstance(column, str) and header.count(column) != 1:
            times = "is not in the header" if column not in header else "stands twice in the header"
            raise ConfigError(f"{name}: column {column!r} {times}{nearest(column, header)} Found: {', '.join(header)}.")
