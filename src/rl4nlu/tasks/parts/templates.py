"""Templates: texts of a task's file in which {field} stands for a field of the record."""

from __future__ import annotations

from string import Formatter

from pydantic import Field

from ...config import Settings

JUDGED = ("prompt", "answer")
"""What a judge's template may name beside the fields."""


class TextPair(Settings):
    """What an encoder reads: one text, or two."""

    text_a: str = Field(description="first text; {field} stands for a field of the record")
    text_b: str | None = Field(None, description="second text, if any")


class Judged(TextPair):
    """What a judge reads of an answer; beside the fields, {prompt} is the whole prompt and {answer} the answer."""

    title: str = Field(description="name in tables and figures of the metric judge: what the judge says")


def placeholders(template: str) -> list[str]:
    """Names between braces in a template.

    Raises:
        ValueError: a brace is unbalanced, or holds more than a name.
    """
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f"{template!r}: {error}; write {{field}} for a field of the record") from None
    names = []
    for _, name, spec, conversion in parts:
        if name is None:
            continue
        if spec or conversion or not name.isidentifier():
            raise ValueError(f"{template!r}: between braces stands a field's name alone, found {name!r}")
        names.append(name)
    return names
