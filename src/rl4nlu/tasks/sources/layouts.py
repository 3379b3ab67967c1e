"""One schema for rows of any source: official rows (plain, nested or paired) become records with text fields and a label.

A source (`hub`, `local`, `microworld`) only reads: it yields `Raw` rows in their own form. What they mean is said here,
once: which column is which field, which label is which canonical label, how MultiRC and ReCoRD unfold into one record a
candidate, as paper 1's release does. A row that cannot be understood is dropped with its place and the reason; when more
than `most_dropped` of a split's rows are, the mapping is wrong rather than the rows, and that is an error.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ...base.errors import ConfigError, nearest
from ..parts.columns import Columns
from ..rows import Row
from ..task import Task

HIGHLIGHT, PLACEHOLDER = "@highlight", "@placeholder"


@dataclass(frozen=True)
class Raw:
    """A row as its source has it, and where it was found."""

    where: str
    values: dict[str, Any] | list[str]


@dataclass
class SourceSplit:
    """What a source found in one split.

    Attributes:
        rows: in the source's order.
        dropped: rows that could not be read, as {where, reason}.
        columns: how their values become a record.
    """

    rows: list[Raw]
    columns: Columns
    dropped: list[dict[str, str]] = field(default_factory=list)


class Malformed(ValueError):
    """A row that cannot become a record; the message is the reason."""


def pick(values: Any, key: str | int) -> Any:
    """The value in a column: by name, by position from 0, or by a path such as `target.span1_text`.

    Raises:
        Malformed: there is no such column; the message names the nearest.
    """
    if isinstance(key, int):
        cells = list(values.values()) if isinstance(values, dict) else values
        if not -len(cells) <= key < len(cells):
            raise Malformed(f"no column {key}: the row has {len(cells)}")
        return cells[key]
    if isinstance(values, dict) and key in values:
        return values[key]
    for part in key.split("."):
        if not isinstance(values, dict):
            raise Malformed(f"no column {key!r}: the row has no names")
        if part not in values:
            raise Malformed(f"no column {part!r}{nearest(part, list(values))} Found: {', '.join(map(str, values))}.")
        values = values[part]
    return values


def text_of(value: Any, what: str) -> str:
    """A value as text without outer space.

    Raises:
        Malformed: it is empty or not a text.
    """
    if value is None or isinstance(value, dict | list):
        raise Malformed(f"{what} is {'empty' if value is None else 'no text'}")
    text = str(value).strip()
    if not text:
        raise Malformed(f"{what} is empty")
    return text


def label_of(task: Task, columns: Columns, value: Any) -> str | float:
    """The canonical label of a source's label; integers, booleans and texts are taken alike.

    Raises:
        Malformed: it is none of the task's labels, or out of its range.
    """
    raw = str(value).lower() if isinstance(value, bool) else text_of(value, "the label")
    if task.answer == "number":
        try:
            number = float(raw)
        except ValueError:
            number = math.nan
        if not task.low <= number <= task.high:
            raise Malformed(f"label {raw!r} is no number from {task.low:g} to {task.high:g}")
        return number
    if columns.bins:
        return bin_label(columns.bins, raw)
    label = columns.labels.get(raw, raw)
    if label not in task.labels:
        raise Malformed(f"label {raw!r} is none of {', '.join([*columns.labels, *task.labels])}")
    return label


def bin_label(bins: dict[str, float], raw: str) -> str:
    """The label whose least number is the greatest that `raw` reaches.

    Raises:
        Malformed: it is no number, or below the least.
    """
    try:
        reached = [label for label, least in bins.items() if float(raw) >= least]
    except ValueError:
        reached = []
    if not reached:
        raise Malformed(f"label {raw!r} is no number from {min(bins.values()):g}")
    return reached[-1]


def unfold_plain(task: Task, columns: Columns, raw: Raw) -> list[Row]:
    """One record of one row."""
    fields, gold = fields_of(task.fields, columns, raw), pick(raw.values, columns.label)
    if task.answer == "text":
        return [Row(raw.where, fields, None, answers=references_of(gold), derivation=derivation(raw))]
    return [Row(raw.where, fields, label_of(task, columns, gold), derivation=derivation(raw))]


def fields_of(names: Sequence[str], columns: Columns, raw: Raw) -> dict[str, str]:
    """The named fields of a row, rewritten as the source asks; a list of words is a text.

    Raises:
        Malformed: one is missing or empty.
    """
    fields = {}
    for name in names:
        value = pick(raw.values, columns.fields.get(name, name))
        text = " ".join(map(str, value)) if isinstance(value, list) else text_of(value, name)
        for pattern, instead in columns.rewrite.get(name, {}).items():
            text = re.sub(pattern, instead, text)
        fields[name] = text_of(text, name)
    return fields


def unfold_continuation(task: Task, columns: Columns, raw: Raw) -> list[Row]:
    """One record of a text that is cut in two: the first half of its words is the first field, the rest the reference.

    Words are what white space parts (paper 3: the first half of a review is the prompt).
    """
    first, *others = task.fields
    words = text_of(pick(raw.values, columns.label), first).split()
    half = len(words) // 2
    if not half:
        raise Malformed(f"{first} is one word and cannot be cut in two")
    fields = {first: " ".join(words[:half]), **fields_of(others, columns, raw)}
    return [Row(raw.where, fields, None, answers=[" ".join(words[half:])], derivation=derivation(raw))]


def references_of(value: Any) -> list[str]:
    """The gold texts of a row: one text, or a list of at least one; each once.

    Raises:
        Malformed: there is none, or one is empty or no text.
    """
    texts = value if isinstance(value, list) else [value]
    if not texts:
        raise Malformed("there is no reference")
    return list(dict.fromkeys(text_of(text, "a reference") for text in texts))


def derivation(raw: Raw) -> dict[str, Any] | None:
    """Why the label holds, where the source says so."""
    return raw.values.get("derivation") if isinstance(raw.values, dict) else None


def unfold_multirc(task: Task, columns: Columns, raw: Raw) -> list[Row]:
    """One record a candidate answer; the group is the question. Takes the official nesting and the hub's flat rows.

    Two official answers are empty texts; they are candidates like the others, for EM needs all of a question's.
    """
    if isinstance(raw.values, dict) and "paragraph" in raw.values:
        values = raw.values
        fields = {
            "passage": text_of(values["paragraph"], "passage"),
            "question": text_of(values["question"], "question"),
        }
        fields["answer"] = str(values["answer"]).strip()
        group = f"{values['idx']['paragraph']}.{values['idx']['question']}"
        return [Row(raw.where, fields, label_of(task, columns, values["label"]), group)]
    passage = text_of(pick(raw.values, "passage.text"), "passage")
    rows = []
    for i, question in enumerate(pick(raw.values, "passage.questions")):
        asked = text_of(pick(question, "question"), "question")
        for j, answer in enumerate(pick(question, "answers")):
            label = label_of(task, columns, pick(answer, "label"))
            fields = {"passage": passage, "question": asked, "answer": str(pick(answer, "text")).strip()}
            rows.append(Row(f"{raw.where}#{i}.{j}", fields, label, f"{raw.where}#{i}", derivation=derivation(raw)))
    return rows


def unfold_record(task: Task, columns: Columns, raw: Raw) -> list[Row]:
    """One record a distinct entity of the passage, in order of appearance; the group is the query.

    The passage ends at its first highlight, an entity's end offset is inclusive, and the query's placeholder is
    filled with the candidate (as paper 1's release does). Takes the official nesting and the hub's flat rows.
    """
    passage = pick(raw.values, "passage")
    if isinstance(passage, dict):
        text = pick(passage, "text")
        spans = [text[entity["start"] : entity["end"] + 1] for entity in pick(passage, "entities")]
        queries = [(pick(q, "query"), [a["text"] for a in pick(q, "answers")]) for q in pick(raw.values, "qas")]
    else:
        text, spans = passage, list(pick(raw.values, "entities"))
        queries = [(pick(raw.values, "query"), list(pick(raw.values, "answers")))]
    story = text_of(text_of(text, "passage").split(HIGHLIGHT)[0], "passage before its highlights")
    rows = []
    for i, (query, gold) in enumerate(queries):
        if PLACEHOLDER not in query:
            raise Malformed(f"query {i} has no {PLACEHOLDER}")
        answers, group = list(dict.fromkeys(gold)), f"{raw.where}#{i}"
        for j, candidate in enumerate(dict.fromkeys(spans)):
            fields = {"passage": story, "query": query.replace(PLACEHOLDER, candidate).strip(), "candidate": candidate}
            label = label_of(task, columns, "1" if candidate in answers else "0")
            rows.append(Row(f"{group}.{j}", fields, label, group, answers, derivation(raw)))
    return rows


def pair_up(rows: list[Row], positions: list[int]) -> list[Row]:
    """Rows in groups of two, by their places in the source (2i and 2i + 1), as the official scorer pairs them.

    AX-g's `pair_id` differs in every row, so it cannot be used. A row whose other half was dropped is dropped, too.

    Raises:
        ConfigError: two rows that stand together have different hypotheses (a row is missing before them).
    """
    out: list[Row] = []
    by_place = dict(zip(positions, rows, strict=True))
    for place in range(0, max(positions, default=-1) + 1, 2):
        first, second = by_place.get(place), by_place.get(place + 1)
        if first is None or second is None:
            continue
        if list(first.fields.values())[-1] != list(second.fields.values())[-1]:
            raise ConfigError(f"{first.id} and {second.id} stand together but are no pair: their last fields differ")
        out += [Row(**{**vars(row), "group": f"pair {place // 2}"}) for row in (first, second)]
    return out


def join_references(rows: list[Row]) -> list[Row]:
    """One row for all that ask the same, with the references of each: where sources have a row a reference."""
    found: dict[tuple[str, ...], Row] = {}
    for row in rows:
        asked = tuple(row.fields.values())
        if asked in found:
            row = replace(
                found[asked], answers=list(dict.fromkeys([*(found[asked].answers or []), *(row.answers or [])]))
            )
        found[asked] = row
    return list(found.values())


UNFOLD: dict[str, Callable[[Task, Columns, Raw], list[Row]]] = {
    "plain": unfold_plain,
    "continuation": unfold_continuation,
    "pairs": unfold_plain,
    "multirc": unfold_multirc,
    "record": unfold_record,
}


def to_rows(task: Task, reading: SourceSplit) -> tuple[list[Row], list[dict[str, str]]]:
    """Records of a split, and the rows that were dropped, as {where, reason}.

    Raises:
        ConfigError: more than `most_dropped` of the rows are malformed; the first reasons are named.
    """
    rows: list[Row] = []
    positions: list[int] = []
    dropped = list(reading.dropped)
    for place, raw in enumerate(reading.rows):
        try:
            made = UNFOLD[task.layout](task, reading.columns, raw)
        except (Malformed, KeyError, TypeError) as error:
            reason = str(error) if isinstance(error, Malformed) else f"unexpected form: {type(error).__name__} {error}"
            dropped.append({"where": raw.where, "reason": reason})
            continue
        rows += made
        positions += [place] * len(made)
    found = len(reading.rows) + len(reading.dropped)
    if len(dropped) > reading.columns.most_dropped * found:
        shown = "\n".join(f"  {d['where']}: {d['reason']}" for d in dropped[:3])
        raise ConfigError(
            f"task {task.name}: {len(dropped)} of {found} rows cannot be read; check the task's columns and labels. First:\n{shown}"
        )
    if task.layout == "pairs":
        rows = pair_up(rows, positions)
    if task.answer == "text":
        rows = join_references(rows)
    return rows, dropped
