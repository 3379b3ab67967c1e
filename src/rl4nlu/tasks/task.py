"""Tasks as files: where the rows come from, the prompt, the kind of answer, reward and metrics of each.

`config/tasks/<suite>/<name>.yaml` is one task; its name is the file's stem. The classes below are closed: an unknown
key, a placeholder that no field fills, two labels with one word, an unknown metric end in one `ConfigError` that names
the file, the key, what was found, what is allowed and the nearest known name.
Prompts and label words follow paper 1, section 3 (arXiv 2410.11020), in wording of our own.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from ..base.errors import ConfigError, nearest
from ..base.files import REPOSITORY
from ..config import OWN_REWARD, Settings, check, read_yaml
from .parts.columns import LENGTHS, Sources
from .parts.templates import JUDGED, Judged, TextPair, placeholders

WORD_METRICS = ("accuracy", "f1", "macro-f1", "matthews")
LAYOUT_METRICS = {
    "plain": (),
    "continuation": (),
    "multirc": ("multirc-f1a", "multirc-em"),
    "record": ("record-f1", "record-em"),
    "pairs": ("gender-parity",),
}
NUMBER_METRICS = ("spearman", "pearson")
TEXT_METRICS = (
    "judge", "perplexity", "output-perplexity", "bleu-4", "rouge-1", "rouge-2", "rouge-l", "cider", "coverage", "meteor",
    "bertscore", "spice", "polarity", "facts",
)  # fmt: skip
OTHER_METRICS = tuple(name for names in LAYOUT_METRICS.values() for name in names)
METRIC_NAMES = (*WORD_METRICS, *NUMBER_METRICS, *OTHER_METRICS, *TEXT_METRICS)
"""Every metric that a task file may name; `metrics.py` computes them, and `texts` those of texts."""

MEASURED_METRICS = ("judge", "perplexity", "output-perplexity")
"""Metrics that take a model, and are measured when a row is answered."""

EXACT_METRICS = ("polarity", "facts")
"""Metrics that `microworld.exact` computes, of the rows that it generates alone."""
DECIDES_NOTHING = (*EXACT_METRICS, "meteor", "bertscore", "spice")
"""Metrics that not all rows have; the first one, which decides choices, is another."""

LOWER_IS_BETTER = ("perplexity", "output-perplexity")
"""Metrics of which less is better."""

RULES_BY_ANSWER = {"labels": ("label-match",), "number": ("distance",), "text": ("judge", "coverage-cider", "overlap")}
"""By kind of answer, the rewards that `methods.rl.rewards` has; others are functions of the user's own."""
RULES = tuple(name for names in RULES_BY_ANSWER.values() for name in names)

KEYS_OF_LABELS = ("labels", "low", "high", "pair", "choices", "sft_description", "sft_query")
KEYS_OF_TEXTS = (*LENGTHS, "keep", "concepts", "judge", "supervised_on")
"""Keys that a task of texts, or one of labels or numbers, leaves out."""

NEEDED_BY = {"judge": ("judge",), "concepts": ("coverage", "coverage-cider")}
"""Keys of a task of texts, and the rewards and metrics that need them."""

TEXT_LAYOUTS = ("plain", "continuation")
LAYOUT_FIELDS = {"multirc": ("passage", "question", "answer"), "record": ("passage", "query", "candidate")}
"""Fields of a record in the layouts that make several records of one official row."""


class Task(Settings):
    """One task: a file below `config/tasks/`."""

    name: str = Field("", description="the file's stem; not written in the file")
    suite: str = Field("", description="the file's folder; not written in the file")
    title: str = Field(description="name in tables and figures")
    column: int = Field(1000, description="position among the suite's columns in tables")
    description: str = Field(
        description="what the model is told to be and to do; the same for every row, and may be empty where texts are answered"
    )
    query: str = Field(description="one row's question; {field} stands for a field")
    sft_description: str | None = Field(
        None, description="wording that SFT trains on under protocol.sft_prompt: separate"
    )
    sft_query: str | None = Field(None, description="as sft_description, for the query")
    fields: list[str] = Field(min_length=1, description="text fields of a record")
    layout: Literal["plain", "continuation", "multirc", "record", "pairs"] = Field(
        "plain",
        description="plain: a record a row; continuation: likewise, of a text whose first half is asked with and whose second half "
        "is the reference; multirc, record: nested rows; pairs: two rows that belong together",
    )
    labels: dict[str, str] = Field(
        {}, description="canonical label -> label word; the first is the positive class of F1; none for numbers"
    )
    answer: Literal["labels", "number", "text"] = Field(
        "labels", description="what is answered: one of the labels, a number, or a text that ends at the end token"
    )
    reward: str = Field(
        "label-match",
        description="of reinforcement learning: label-match (answer: labels), distance (number), judge, coverage-cider, overlap "
        "(text), or a Python function of your own, module:function (see config/example_reward.py)",
    )
    low: float = Field(0.0, description="least number (answer: number)")
    high: float = Field(0.0, description="greatest number (answer: number)")
    least_tokens: int = Field(0, ge=0, description="of an answer, the end token not counted (answer: text)")
    most_tokens: int = Field(0, ge=0, description="of an answer, the end token not counted (answer: text)")
    most_prompt_tokens: int | None = Field(
        None,
        ge=1,
        description="longest prompt, demonstrations not counted (answer: text); null: as long as the model reads",
    )
    keep: Literal["start", "end"] = Field(
        "start", description="which part of the shortened field stays where a prompt is too long (answer: text)"
    )
    concepts: str | None = Field(
        None, description="field whose words an answer should hold, for coverage and coverage-cider (answer: text)"
    )
    supervised_on: dict[str, str] = Field(
        {}, description="field -> value of the rows that SFT learns from and that are shown as solved (answer: text)"
    )
    judge: Judged | None = Field(
        None,
        description="what a judge reads, for the metric and the reward judge (answer: text); the config names the judge",
    )
    metrics: list[str] = Field(min_length=1, description="official metrics; the first one decides choices")
    reported: list[str] = Field([], description="those in tables and averages; none: all of them")
    in_average: bool = Field(False, description="counts in the suite's average")
    trained_with: str | None = Field(None, description="task whose training rows and runs serve this one, too")
    chance: bool = Field(False, description="micro models may stay near chance; marked in tables")
    pair: TextPair | None = Field(None, description="what an encoder reads; none of texts")
    head: Literal["classification", "regression", "multiple-choice"] = Field(
        "classification", description="of an encoder"
    )
    choices: list[str] = Field([], description="second texts of a multiple-choice encoder, in the order of the labels")
    carve_by: str | None = Field(
        None,
        description="field whose equal values stay together when validation is carved from train (null: equal rows) and when "
        "test rows are drawn for intervals and tests (null: rows and groups are drawn one by one)",
    )
    shorten: str | None = Field(None, description="field that is cut where a prompt is too long; null: the first")
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
        for check_part in (
            self._check_keys,
            self._check_templates,
            self._check_answers,
            self._check_metrics,
            self._check_sources,
        ):
            check_part()
        return self

    def _check_keys(self) -> None:
        known = type(self).model_fields
        for key in KEYS_OF_LABELS if self.answer == "text" else KEYS_OF_TEXTS:
            if getattr(self, key) != known[key].default:
                raise ValueError(f"{key}: answer {self.answer} has no such key")
        if self.answer != "text" and self.pair is None:
            raise ValueError(f"pair: is missing; answer {self.answer} needs what an encoder reads")

    def _check_templates(self) -> None:
        if (self.sft_description is None) != (self.sft_query is None):
            raise ValueError("sft_description and sft_query: give both or neither")
        templates = {"query": self.query, "sft_query": self.sft_query}
        templates |= {f"choices.{i}": choice for i, choice in enumerate(self.choices)}
        for key, pair in (("pair", self.pair), ("judge", self.judge)):
            templates |= {f"{key}.text_a": pair.text_a, f"{key}.text_b": pair.text_b} if pair else {}
        for key, template in templates.items():
            allowed = [*self.fields, *(JUDGED if key.startswith("judge.") else ())]
            for name in placeholders(template or ""):
                self._one_of(key, name, allowed, f"placeholder {{{name}}}")
        if not placeholders(self.query):
            raise ValueError(
                f"query: names no field, so that all rows would look alike; fields: {', '.join(self.fields)}"
            )
        named = [("carve_by", self.carve_by), ("shorten", self.shorten), ("concepts", self.concepts)]
        for key, value in named + [("supervised_on", name) for name in self.supervised_on]:
            if value is not None:
                self._one_of(key, value, self.fields, "field")
        if self.judge and (taken := set(JUDGED) & set(self.fields)):
            raise ValueError(f"fields: {', '.join(taken)} is what a judge's template calls something else")
        if len(set(self.fields)) < len(self.fields):
            raise ValueError(f"fields: a name stands twice in {self.fields}")
        if self.layout in LAYOUT_FIELDS and set(self.fields) != set(LAYOUT_FIELDS[self.layout]):
            raise ValueError(
                f"fields: layout {self.layout} has {', '.join(LAYOUT_FIELDS[self.layout])}, found {self.fields}"
            )

    def _check_answers(self) -> None:
        fitting = RULES_BY_ANSWER[self.answer]
        if self.reward in RULES and self.reward not in fitting:
            allowed = f"{', '.join(fitting)} or a function of your own"
            raise ValueError(f"reward: answer {self.answer} goes with {allowed}, found {self.reward}")
        if self.answer == "text":
            self._check_lengths()
            return
        if self.layout == "continuation":
            raise ValueError(f"layout: continuation goes with answer text, found {self.answer}")
        numbers = self.answer == "number"
        if numbers != (self.head == "regression"):
            heads = "regression" if numbers else "classification or multiple-choice"
            raise ValueError(f"head: answer {self.answer} goes with {heads}, found {self.head}")
        if numbers and (self.labels or self.low >= self.high):
            raise ValueError("answer number needs low < high and no labels")
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
        if len(self.choices) != (len(self.labels) if self.head == "multiple-choice" else 0):
            raise ValueError(
                f"choices: head multiple-choice needs one for each of {len(self.labels)} labels, others none"
            )

    def _check_lengths(self) -> None:
        stated = {"": {}, **{f"sources.{n}.": s.lengths for n, s in self.sources.given.items()}}
        for where, lengths in stated.items():
            least, most = (lengths.get(key, getattr(self, key)) for key in ("least_tokens", "most_tokens"))
            if not max(1, least) <= most:
                raise ValueError(
                    f"{where}most_tokens: answer text needs the longest answer, at least {max(1, least)} tokens, found {most}"
                )
        if self.layout not in TEXT_LAYOUTS:
            raise ValueError(f"layout: answer text goes with {' or '.join(TEXT_LAYOUTS)}, found {self.layout}")
        if self.in_average:
            raise ValueError("in_average: the metrics of texts have no common scale to be averaged on")

    def _check_metrics(self) -> None:
        fitting = {
            "labels": (*WORD_METRICS, *LAYOUT_METRICS[self.layout]),
            "number": NUMBER_METRICS,
            "text": TEXT_METRICS,
        }[self.answer]
        for name in self.metrics:
            self._one_of("metrics", name, list(METRIC_NAMES), "metric")
            if name not in fitting:
                raise ValueError(
                    f"metrics: {name!r} does not fit answer {self.answer} and layout {self.layout}. Allowed: {', '.join(fitting)}."
                )
        if self.metrics[0] in DECIDES_NOTHING:
            raise ValueError(
                f"metrics: not all rows have {self.metrics[0]}; the first metric decides choices, name another"
            )
        for name in self.reported:
            self._one_of("reported", name, self.metrics, "metric")
        for key, asking in NEEDED_BY.items():
            asked = [name for name in (self.reward, *self.metrics) if name in asking]
            if asked and getattr(self, key) is None:
                raise ValueError(f"{key}: is missing, and {asked[0]} needs it")

    def _check_sources(self) -> None:
        given = self.sources.given
        if not given:
            raise ValueError("sources: none is given; name at least one of hub, local, microworld")
        if self.source and self.source not in given:
            raise ValueError(f"source: {self.source} is not among sources: {', '.join(given)}")
        for name, source in given.items():
            for field in source.fields:
                self._one_of(f"sources.{name}.fields", field, self.fields, "field")
            for field in source.rewrite:
                self._one_of(f"sources.{name}.rewrite", field, self.fields, "field")
            for key in source.lengths if self.answer != "text" else ():
                raise ValueError(f"sources.{name}.{key}: answer {self.answer} has no such key")
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
    def compared(self) -> list[str]:
        """Metrics whose mean is the task's score: those that are shown; of texts, which have no common scale, the first."""
        return self.columns[:1] if self.answer == "text" else self.columns

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
    if "parser" in values:
        raise ConfigError(f"{where}: parser: is called answer now; allowed: labels (once words), number, text")
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
