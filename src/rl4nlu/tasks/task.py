"""Tasks as files: where the rows come from, the prompt, label words, parser, reward and metrics of each.

`config/tasks/<suite>/<name>.yaml` is one task; its name is the file's stem. The classes below are closed: an unknown
key, a placeholder that no field fills, two labels with one word, an unknown metric end in one `ConfigError` that names
the file, the key, what was found, what is allowed and the nearest known name.
Prompts and label words follow paper 1, section 3 (arXiv 2410.11020), in wording of our own.
"""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from ..base.errors import ConfigError, nearest
from ..base.files import REPOSITORY
from ..config import OWN_REWARD, Settings, check, read_yaml

WORD_METRICS = ("accuracy", "f1", "macro-f1", "matthews")
LAYOUT_METRICS = {
    "plain": (),
    "multirc": ("multirc-f1a", "multirc-em"),
    "record": ("record-f1", "record-em"),
    "pairs": ("gender-parity",),
}
NUMBER_METRICS = ("spearman", "pearson")
METRIC_NAMES = (*WORD_METRICS, *NUMBER_METRICS, *(name for names in LAYOUT_METRICS.values() for name in names))
"""Every metric that a task file may name; `metrics.py` computes them."""

RULES = ("label-match", "distance")
"""Rewards that `methods.rl.rewards` has; others are functions of the user's own."""

LAYOUT_FIELDS = {"multirc": ("passage", "question", "answer"), "record": ("passage", "query", "candidate")}
"""Fields of a record in the layouts that make several records of one official row."""


class TextPair(Settings):
    """What an encoder reads: one text, or two."""

    text_a: str = Field(description="first text; {field} stands for a field of the record")
    text_b: str | None = Field(None, description="second text, if any")


class Columns(Settings):
    """How the values of a source's row become a record; the keys that all sources share."""

    fields: dict[str, str | int] = Field(
        {}, description="field -> column name, position from 0, or path such as target.span1_text; a field not named here has a column of its own name"
    )  # fmt: skip
    label: str | int = Field("label", description="column of the label")
    labels: dict[str, str] = Field({}, description="the source's label -> canonical label, where they differ")
    bins: dict[str, float] = Field(
        {}, description="canonical label -> least number, ascending: makes classes of a source whose labels are numbers"
    )
    most_dropped: float = Field(
        0.05, ge=0, le=1, description="share of a split's rows that may be malformed before reading it is an error"
    )


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
    train: str | None = Field(None, description="file to train on and to carve validation from")
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
    knobs: dict[str, float] = Field({}, description="difficulty knobs of the generator")


class Sources(Settings):
    """Where the rows come from, by the value of `data.source`."""

    hub: Hub | None = None
    local: Local | None = None
    microworld: Microworld | None = None


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


class Task(Settings):
    """One task: a file below `config/tasks/`."""

    name: str = Field("", description="the file's stem; not written in the file")
    suite: str = Field("", description="the file's folder; not written in the file")
    title: str = Field(description="name in tables and figures")
    column: int = Field(1000, description="position among the suite's columns in tables")
    description: str = Field(description="what the model is told to be and to do; the same for every row")
    query: str = Field(description="one row's question; {field} stands for a field")
    sft_description: str | None = Field(
        None, description="wording that SFT trains on under protocol.sft_prompt: separate"
    )
    sft_query: str | None = Field(None, description="as sft_description, for the query")
    fields: list[str] = Field(min_length=1, description="text fields of a record")
    layout: Literal["plain", "multirc", "record", "pairs"] = Field(
        "plain", description="plain: a record a row; multirc, record: nested rows; pairs: two rows that belong together"
    )
    labels: dict[str, str] = Field(
        {}, description="canonical label -> label word; the first is the positive class of F1; none for numbers"
    )
    parser: Literal["words", "number"] = Field("words", description="how an answer is read")
    reward: str = Field(
        "label-match",
        description="of reinforcement learning: label-match, distance (parser: number), or a Python function of your own, "
        "module:function (see config/example_reward.py)",
    )
    low: float = Field(0.0, description="least number (parser: number)")
    high: float = Field(0.0, description="greatest number (parser: number)")
    metrics: list[str] = Field(min_length=1, description="official metrics; the first one decides choices")
    reported: list[str] = Field([], description="those in tables and averages; none: all of them")
    in_average: bool = Field(False, description="counts in the suite's average")
    trained_with: str | None = Field(None, description="task whose training rows and runs serve this one, too")
    chance: bool = Field(False, description="micro models may stay near chance; marked in tables")
    pair: TextPair = Field(description="what an encoder reads")
    head: Literal["classification", "regression", "multiple-choice"] = Field(
        "classification", description="of an encoder"
    )
    choices: list[str] = Field([], description="second texts of a multiple-choice encoder, in the order of the labels")
    carve_by: str | None = Field(
        None,
        description="field whose equal values stay together when validation is carved from train (null: equal rows) and when "
        "test rows are drawn for intervals and tests (null: rows and groups are drawn one by one)",
    )
    shorten: str | None = Field(None, description="field whose end is cut where a prompt is too long; null: the first")
    source: Literal["hub", "local", "microworld"] | None = Field(
        None, description="always this source, whatever data.source says (for a task of your own)"
    )
    sources: Sources = Field(description="where the rows come from")
    note: str = Field("", description="what a reader of the paper's appendix should know")

    @field_validator("reward")
    @classmethod
    def _known_reward(cls, name: str) -> str:
        if name not in RULES and not OWN_REWARD.fullmatch(name):
            raise ValueError(
                f"unknown reward{nearest(name, RULES)} Allowed: {', '.join(RULES)}, or a function of your own, "
                "module:function, such as config.example_reward:length_penalised."
            )
        return name

    @field_validator("labels", mode="before")
    @classmethod
    def _plain_words(cls, labels: Any) -> Any:
        """YAML reads bare `Yes`, `true` and `1` as something else than text; keys are forgiven, words are not."""
        if not isinstance(labels, dict):
            return labels
        for word in labels.values():
            if isinstance(word, bool):
                raise ValueError("a bare Yes, No, true or false is not text in YAML; put label words in quotes")
        return {str(k).lower() if isinstance(k, bool) else str(k): v for k, v in labels.items()}

    @model_validator(mode="after")
    def _consistent(self) -> Task:
        for check_part in (self._check_texts, self._check_answers, self._check_metrics, self._check_sources):
            check_part()
        return self

    def _check_texts(self) -> None:
        if (self.sft_description is None) != (self.sft_query is None):
            raise ValueError("sft_description and sft_query: give both or neither")
        templates = {"query": self.query, "sft_query": self.sft_query, "pair.text_a": self.pair.text_a}
        templates |= {"pair.text_b": self.pair.text_b, **{f"choices.{i}": c for i, c in enumerate(self.choices)}}
        for key, template in templates.items():
            for name in placeholders(template or ""):
                self._one_of(key, name, self.fields, f"placeholder {{{name}}}")
        if not placeholders(self.query):
            raise ValueError(
                f"query: names no field, so that all rows would look alike; fields: {', '.join(self.fields)}"
            )
        for key, value in (("carve_by", self.carve_by), ("shorten", self.shorten)):
            if value is not None:
                self._one_of(key, value, self.fields, "field")
        if len(set(self.fields)) < len(self.fields):
            raise ValueError(f"fields: a name stands twice in {self.fields}")
        if self.layout in LAYOUT_FIELDS and set(self.fields) != set(LAYOUT_FIELDS[self.layout]):
            raise ValueError(
                f"fields: layout {self.layout} has {', '.join(LAYOUT_FIELDS[self.layout])}, found {self.fields}"
            )

    def _check_answers(self) -> None:
        numbers = self.parser == "number"
        reward = "distance" if numbers else "label-match"
        unfit = self.reward in RULES and self.reward != reward
        if unfit or numbers != (self.head == "regression"):
            raise ValueError(
                f"parser {self.parser} goes with reward {reward} (or a function of your own) and head "
                f"{'regression' if numbers else 'classification or multiple-choice'}, found {self.reward} and {self.head}"
            )
        if numbers and (self.labels or self.low >= self.high):
            raise ValueError("parser number needs low < high and no labels")
        if not numbers and len(self.labels) < 2:
            raise ValueError(f"labels: at least two are needed, found {self.labels}")
        for label, word in self.labels.items():
            if not word.strip() or word != word.strip() or "<" in word:
                raise ValueError(f"labels.{label}: {word!r} is empty, has spaces at an end, or holds a tag")
            for other_label, other in self.labels.items():
                if label != other_label and re.search(rf"(?<!\w){re.escape(word)}(?!\w)", other, re.IGNORECASE):
                    raise ValueError(
                        f"labels: the word {word!r} of {label!r} also stands in {other!r} of {other_label!r}; "
                        "an answer could not be told apart"
                    )
        if (self.head == "multiple-choice") != bool(self.choices) or (
            self.choices and len(self.choices) != len(self.labels)
        ):
            raise ValueError(
                f"choices: head multiple-choice needs one for each of {len(self.labels)} labels, others none"
            )

    def _check_metrics(self) -> None:
        fitting = NUMBER_METRICS if self.parser == "number" else (*WORD_METRICS, *LAYOUT_METRICS[self.layout])
        for name in self.metrics:
            self._one_of("metrics", name, list(METRIC_NAMES), "metric")
            if name not in fitting:
                raise ValueError(
                    f"metrics: {name!r} does not fit parser {self.parser} and layout {self.layout}. Allowed: {', '.join(fitting)}."
                )
        for name in self.reported:
            self._one_of("reported", name, self.metrics, "metric")

    def _check_sources(self) -> None:
        given = {name: source for name in ("hub", "local", "microworld") if (source := getattr(self.sources, name))}
        if not given:
            raise ValueError("sources: none is given; name at least one of hub, local, microworld")
        if self.source and self.source not in given:
            raise ValueError(f"source: {self.source} is not among sources: {', '.join(given)}")
        for name, source in given.items():
            for field in source.fields:
                self._one_of(f"sources.{name}.fields", field, self.fields, "field")
            for raw, label in source.labels.items():
                self._one_of(f"sources.{name}.labels.{raw}", label, list(self.labels), "label")
            for label in source.bins:
                self._one_of(f"sources.{name}.bins", label, list(self.labels), "label")
            least = list(source.bins.values())
            if source.bins and (source.labels or sorted(set(least)) != least):
                raise ValueError(f"sources.{name}.bins: give ascending numbers and no labels, found {source.bins}")
        if self.sources.local and (self.sources.local.train is None) != (self.trained_with is not None):
            raise ValueError("sources.local.train: give a file, or trained_with: a task that trains for this one")

    @staticmethod
    def _one_of(key: str, found: str, allowed: list[str], what: str) -> None:
        if found not in allowed:
            raise ValueError(f"{key}: unknown {what} {found!r}{nearest(found, allowed)} Allowed: {', '.join(allowed)}.")

    @property
    def columns(self) -> list[str]:
        """Metrics that tables and averages show."""
        return self.reported or self.metrics

    @property
    def words(self) -> list[str]:
        """Label words, in the order of the labels."""
        return list(self.labels.values())


def read_task(path: Path) -> Task:
    """The task of one file; its name and suite come from the path.

    Raises:
        ConfigError: the file is absent, no YAML, or says something that it may not.
    """
    values = read_yaml(path)
    where = f"{path.parent.name}/{path.name}"
    if not isinstance(values, dict):
        raise ConfigError(f"{where}: expected keys and values, found {type(values).__name__}")
    for key in {"name", "suite"} & values.keys():
        raise ConfigError(f"{where}: {key}: is not written in the file; it comes from the path <suite>/<name>.yaml")
    if not re.fullmatch(r"[a-z0-9-]+", path.stem) or not re.fullmatch(r"[a-z0-9-]+", path.parent.name):
        raise ConfigError(f"{where}: the names of task and suite are made of a-z, 0-9 and -")
    return check(Task, {**values, "name": path.stem, "suite": path.parent.name}, where)


def load_tasks(folder: Path | None = None) -> dict[str, Task]:
    """Every task below `folder` (default: config/tasks of the checkout), suites in order of name, tasks in order of column.

    Raises:
        ConfigError: a file is faulty, a name is used twice, or trained_with names no task that trains.
    """
    folder = folder or REPOSITORY / "config" / "tasks"
    found: dict[str, Task] = {}
    tasks = sorted((read_task(path) for path in folder.glob("*/*.yaml")), key=lambda t: (t.suite, t.column, t.name))
    for task in tasks:
        if task.name in found:
            raise ConfigError(
                f"tasks: {task.suite}/{task.name}.yaml and {found[task.name].suite}/{task.name}.yaml have one name"
            )
        found[task.name] = task
    for task in tasks:
        if task.name in {t.suite for t in tasks} or task.name == "none":
            raise ConfigError(f"{task.suite}/{task.name}.yaml: {task.name!r} is the name of a suite or reserved")
        leaders = [t.name for t in tasks if t.trained_with is None]
        if task.trained_with is not None and task.trained_with not in leaders:
            raise ConfigError(
                f"{task.suite}/{task.name}.yaml: trained_with: unknown task {task.trained_with!r}"
                f"{nearest(task.trained_with, leaders)} Allowed: {', '.join(leaders)}."
            )
        if task.trained_with is not None and task.labels != found[task.trained_with].labels:
            raise ConfigError(
                f"{task.suite}/{task.name}.yaml: labels: differ from those of {task.trained_with}, which trains for it"
            )
    return found


def load_task(name: str, folder: Path | None = None) -> Task:
    """The task called `name`.

    Raises:
        ConfigError: there is none; the message names the nearest.
    """
    tasks = load_tasks(folder)
    if name not in tasks:
        raise ConfigError(f"task: unknown name {name!r}{nearest(name, list(tasks))} Known: {', '.join(tasks)}.")
    return tasks[name]


def expand(names: list[str], tasks: dict[str, Task]) -> list[str]:
    """Names of tasks, with every suite replaced by its tasks; each task once, in the order named.

    Raises:
        ConfigError: a name is neither a task nor a suite.
    """
    suites = list(dict.fromkeys(task.suite for task in tasks.values()))
    out: list[str] = []
    for name in names:
        if name not in tasks and name not in suites:
            known = [*tasks, *suites]
            raise ConfigError(f"unknown task or suite {name!r}{nearest(name, known)} Known: {', '.join(known)}.")
        chosen = [name] if name in tasks else [t.name for t in tasks.values() if t.suite == name]
        out += [task for task in chosen if task not in out]
    return out
