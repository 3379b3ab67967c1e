"""Where a task's rows come from, as its file says it: the sources, and how the values of a row become a record."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator

from ...config import Settings

LENGTHS = ("least_tokens", "most_tokens", "most_prompt_tokens")
"""Keys of a task of texts that a source may state otherwise, for the models that read its rows count other tokens."""


class Columns(Settings):
    """How the values of a source's row become a record; the keys that all sources share."""

    fields: dict[str, str | int] = Field(
        {}, description="field -> column name, position from 0, or path such as target.span1_text; a field not named here has a column of its own name"
    )  # fmt: skip
    label: str | int = Field(
        "label",
        description="column of the label; for texts, of a reference or a list of them (layout continuation: of the text that is cut)",
    )
    labels: dict[str, str] = Field({}, description="the source's label -> canonical label, where they differ")
    bins: dict[str, float] = Field(
        {}, description="canonical label -> least number, ascending: makes classes of a source whose labels are numbers"
    )
    rewrite: dict[str, dict[str, str]] = Field(
        {}, description="field -> regular expression -> what stands in place of its matches, one after the other"
    )
    least_tokens: int | None = Field(
        None, ge=0, description="the task's, for rows of this source; null: as the task says"
    )
    most_tokens: int | None = Field(None, ge=1, description="likewise")
    most_prompt_tokens: int | None = Field(None, ge=1, description="likewise")
    most_dropped: float = Field(
        0.05, ge=0, le=1, description="share of a split's rows that may be malformed before reading it is an error"
    )

    @property
    def lengths(self) -> dict[str, int]:
        """The lengths that the source states."""
        return {key: length for key in LENGTHS if (length := getattr(self, key)) is not None}

    @field_validator("rewrite")
    @classmethod
    def _patterns(cls, rewrite: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
        for field, patterns in rewrite.items():
            for pattern in patterns:
                try:
                    re.compile(pattern)
                except re.error as error:
                    raise ValueError(f"{field}: {pattern!r} is no regular expression: {error}") from None
        return rewrite


class Hub(Columns):
    """A data set of the Hugging Face hub."""

    repository: str = Field(description="repository name, or a folder that datasets.load_dataset opens")
    config: str | None = Field(None, description="configuration (subset) of the data set")
    revision: str | None = Field(None, description="commit, tag or branch; null: the newest, whose commit is recorded")
    train: str = Field("train", description="split to train on and to carve validation from")
    test: str = Field("validation", description="split that is reported: the official dev, whose labels are public")


class Local(Columns):
    """Files in a folder: the official ones, or your own."""

    format: Literal["tsv", "csv", "jsonl"] = Field(
        description="tsv: tabs, no quoting, as GLUE; csv: commas and double quotes; jsonl: one JSON object a line"
    )
    train: str | dict[str, str] | None = Field(
        None,
        description="file to train on and to carve validation from; or column -> file of one value a line, side by side",
    )
    test: str = Field(description="file that is reported")
    header: bool = Field(True, description="first line of a tsv or csv file names the columns")
    root: str | None = Field(
        None, description="folder of the files, relative to the repository root; null: data.data_root"
    )


class Microworld(Columns):
    """Rows that the microworld generates."""

    task: str | None = Field(None, description="generator; null: the task's own name")
    train_rows: int = Field(2000, ge=10, description="rows for train and validation where data.train_rows is null")
    test_rows: int = Field(400, ge=1, description="reported rows where data.test_rows is null")
    knobs: dict[str, int | float] = Field({}, description="difficulty knobs of the generator")


class Sources(Settings):
    """Where the rows come from, by the value of `data.source`."""

    hub: Hub | None = None
    local: Local | None = None
    microworld: Microworld | None = None

    @property
    def given(self) -> dict[str, Hub | Local | Microworld]:
        """Name -> settings of those that the task has."""
        sources = {"hub": self.hub, "local": self.local, "microworld": self.microworld}
        return {name: source for name, source in sources.items() if source is not None}
