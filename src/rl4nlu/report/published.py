"""The papers' printed numbers: one row a number, each with its source; what the papers leave open stays empty.

`resources/published/<paper>.csv` is written by hand. Beside it stands `<paper>.averages.csv`, which holds every
printed average next to the one that its own cells give; a test writes it anew and compares.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

PAPER_1, PAPER_2, PAPER_3 = "ppo_for_nlu", "rllr", "rlgf"
"""Stems of the papers' files."""

COLUMNS = (
    "table", "model", "method", "mixture_kind", "task", "metric", "value", "low", "high", "split", "source", "note",
)  # fmt: skip
"""Columns of a published file. `mixture_kind`: st (one task), mt (a suite), transfer (another task) or none."""

NUMBERS = ("value", "low", "high")

AVERAGES: dict[tuple[str, str], tuple[str, ...]] = {
    (PAPER_1, "1"): ("mnli", "mnli-mm", "qqp", "qnli", "sst2", "cola", "stsb", "mrpc", "rte"),
    (PAPER_1, "3"): ("sst2", "mrpc", "rte", "cola", "qnli"),
    (PAPER_1, "4"): (
        "financial-phrasebank", "labelled-financial-news", "mental-health", "emotion", "babi-nli", "siga-nli",
    ),
    (PAPER_1, "9"): ("cola", "mrpc", "stsb", "qqp", "qnli", "mnli", "mnli-mm", "rte", "sst2", "wnli"),
    (PAPER_1, "10"): ("boolq", "cb", "copa", "multirc", "record", "superglue-rte", "wic", "wsc"),
    (PAPER_1, "12"): ("cola", "mrpc", "stsb", "qqp", "qnli", "mnli", "mnli-mm", "rte", "sst2", "wnli"),
}  # fmt: skip
"""Tasks whose scores a printed table averages, by (paper, table); found by trying, as captions are vague."""


def published_files(folder: Path) -> list[Path]:
    """The papers' files in `folder`, without the averages that are made of them."""
    return [path for path in sorted(folder.glob("*.csv")) if not path.name.endswith(".averages.csv")]


def load_published(folder: Path) -> pd.DataFrame:
    """Every printed number below `folder`, with a column `paper` (the file's stem) put first.

    Returns:
        One row a number; `value`, `low` and `high` are floats (NaN: not printed), the other columns strings.

    Raises:
        ValueError: a file lacks a column or has a number that cannot be read; names file and column.
    """
    frames = []
    for path in published_files(folder):
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
        if missing := [name for name in COLUMNS if name not in frame]:
            raise ValueError(f"{path}: no column {', '.join(missing)}; found {', '.join(frame.columns)}")
        for name in NUMBERS:
            numbers = pd.to_numeric(frame[name].replace("", "nan"), errors="coerce")
            if (bad := numbers.isna() & ~frame[name].isin(["", "nan"])).any():
                row = int(bad.to_numpy().argmax())
                raise ValueError(f"{path}: line {row + 2}: {name} is not a number: {frame[name].iloc[row]!r}")
            frame[f"{name}_printed"] = frame[name]
            frame[name] = numbers
        frame.insert(0, "paper", path.stem)
        frames.append(frame)
    if not frames:
        return pd.DataFrame(columns=["paper", *COLUMNS, *(f"{name}_printed" for name in NUMBERS)])
    return pd.concat(frames, ignore_index=True)


def task_scores(cells: pd.DataFrame) -> pd.Series:
    """One score a task: the mean of its metrics (a task with two metrics counts once in an average)."""
    return cells.groupby("task")["value"].mean()


def recompute_averages(published: pd.DataFrame) -> pd.DataFrame:
    """Every printed average next to the mean of its own table's cells.

    Returns:
        Columns paper, table, model, method, mixture_kind, printed, recomputed (four decimals), tasks, verdict:
        `agrees` (rounding explains the difference), `truncated` (digits were cut rather than rounded),
        `misprint`, `not printed`, or `incomplete` (a cell is missing).
    """
    rows = []
    key = ["paper", "table", "model", "method", "mixture_kind"]
    for names, row in published[published["task"] == "average"].groupby(key, sort=False):
        paper, table, model, method, kind = (str(name) for name in names)
        same = (published[key] == pd.Series(dict(zip(key, names, strict=True)))).all(axis=1)
        tasks = AVERAGES[paper, table]
        scores = task_scores(published[same & published["task"].isin(tasks)]).reindex(list(tasks))
        printed = str(row["value_printed"].iloc[0])
        recomputed = float(scores.mean()) if scores.notna().all() else float("nan")
        verdict = _verdict(printed, recomputed)
        rows.append((paper, table, model, method, kind, printed, f"{recomputed:.4f}", len(tasks), verdict))
    names_out = [*key, "printed", "recomputed", "tasks", "verdict"]
    return pd.DataFrame(rows, columns=names_out)


def _verdict(printed: str, recomputed: float) -> str:
    if recomputed != recomputed:
        return "incomplete"
    if not printed:
        return "not printed"
    unit = 10.0 ** -len(printed.partition(".")[2])  # value of the last printed digit
    difference = recomputed - float(printed)
    if abs(difference) <= unit / 2 + 1e-9:
        return "agrees"
    return "truncated" if 0 < difference < unit else "misprint"
