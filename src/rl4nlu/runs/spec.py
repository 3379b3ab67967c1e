"""A run's address, in words, and the run with everything resolved."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import SerializeAsAny, ValidationInfo, field_validator

from ..base.errors import ConfigError
from ..base.files import digest_of
from ..base.machine import KERNELS
from ..config import METHODS, Data, Evaluation, Model, Protocol, Settings
from ..tasks.task import MEASURED_METRICS, Task

SHOWN = {"suite", "title", "column", "reported", "in_average", "chance", "note"}
"""Keys of a task that only tables, figures and texts read."""

SOURCES = {"source", "sources", "carve_by"}
"""Keys of a task that neither training nor answering reads: they say where its rows come from and which stay together."""

RESOLVED = {"reward"}
"""Keys of a task that only some methods read, and those from the run (`RunSpec.rules`)."""

PROMPTED = {"description", "query", "sft_description", "sft_query", "shorten"}
"""Keys of a task that no encoder reads."""

ENCODED = {"pair", "head", "choices"}
"""Keys of a task that no decoder reads."""

PRINTED = {"title", "table"}
"""Keys of a model that only tables and figures read."""


@dataclass(frozen=True, order=True)
class Address:
    """Names one run, in words: `micro-llama/ppo/sst2/main/seed0`."""

    model: str
    method: str
    mixture: str
    variant: str
    seed: int

    @property
    def path(self) -> str:
        """Folder of the run below `results/`."""
        return f"{self.model}/{self.method}/{self.mixture}/{self.variant}/seed{self.seed}"

    @classmethod
    def parse(cls, path: str) -> Address:
        """The address written as `<model>/<method>/<mixture>/<variant>/seed<k>`.

        Raises:
            ConfigError: the text has another form.
        """
        parts = path.strip("/").split("/")
        if len(parts) != 5 or not parts[4].removeprefix("seed").isdigit():
            raise ConfigError(f"run {path!r}: expected <model>/<method>/<mixture>/<variant>/seed<k>")
        return cls(parts[0], parts[1], parts[2], parts[3], int(parts[4].removeprefix("seed")))


class RunSpec(Settings):
    """A run with everything resolved: what the stage's program reads, and what `run.json` records."""

    model: str
    method: str
    mixture: str
    variant: str
    seed: int
    model_spec: Model
    train_tasks: tuple[Task, ...]
    eval_tasks: tuple[Task, ...]
    protocol: Protocol
    settings: SerializeAsAny[Settings]
    evaluation: Evaluation
    data: Data
    threads: int
    bits: str
    start: str | None = None
    stands_on: dict[str, str] = {}  # noqa: RUF012 # pydantic copies it
    learning_rate_from: str | None = None
    encoder_spec: Model | None = None
    guide_spec: Model | None = None
    rules: dict[str, str] = {}  # noqa: RUF012 # by task, the reward that judges its answers in training
    rule_files: dict[str, str] = {}  # noqa: RUF012 # of the user's own functions among them, the digest of their file
    judges: dict[str, Model] = {}  # noqa: RUF012 # by task of texts, what judges its answers

    @field_validator("settings", mode="before")
    @classmethod
    def _settings_of_the_method(cls, values: Any, known: ValidationInfo) -> Any:
        return METHODS[known.data["method"]].settings.model_validate(values) if isinstance(values, dict) else values

    @property
    def address(self) -> Address:
        """The run's address."""
        return Address(self.model, self.method, self.mixture, self.variant, self.seed)

    @property
    def foundations(self) -> dict[str, str]:
        """Trained runs that this one needs: the address of each, by its role here.

        `start`: its adapter is started from; `learning_rate`: its choice is taken; the others are the method's own.
        """
        own = {"start": self.start, "learning_rate": self.learning_rate_from}
        return {role: path for role, path in own.items() if path} | self.stands_on

    @property
    def trainings(self) -> int:
        """How often it trains: with every candidate learning rate where it chooses among them, else once."""
        chooses = METHODS[self.method].learns and self.learning_rate_from is None
        return len(self.settings.learning_rates) if chooses else 1  # type: ignore[attr-defined]

    @property
    def guide_name(self) -> str | None:
        """The name of the model that guides its roll-outs, where that is another than its start."""
        return (getattr(self.settings, "guide_model", None) or self.model) if self.guide_spec else None

    @property
    def reads_gold(self) -> bool:
        """Whether a policy that is trained by its own answers reads gold ones, too: learns them, or has them as its guide."""
        settings = self.settings
        return getattr(settings, "supervised_coefficient", 0) > 0 or getattr(settings, "guide", None) == "references"

    @property
    def reads_rationales(self) -> bool:
        """Whether it trains on its tasks' rationales."""
        reads = self.method in ("sft-rationale", "pairs")
        return reads or (self.reads_gold and self.protocol.response == "rationale")

    def reward_key(self, task: Task) -> str:
        """The key that names the reward of a task's answers: the section's, or the task's own."""
        if getattr(self.settings, "reward", None) is not None:
            return f"{METHODS[self.method].section}.reward"
        return f"{task.suite}/{task.name}.yaml: reward"

    @cached_property
    def training_judges(self) -> dict[str, Model]:
        """Judges, by task, that training asks: for rewards, or for the validation score that it chooses by."""
        asking = {t.name for t in self.train_tasks if "judge" in (self.rules.get(t.name), t.metrics[0])}
        return {name: model for name, model in self.judges.items() if name in asking}

    @cached_property
    def answering_judges(self) -> dict[str, Model]:
        """Judges, by task, that are asked of the answers that are scored."""
        asking = {task.name for task in self.eval_tasks if "judge" in task.metrics}
        return {name: model for name, model in self.judges.items() if name in asking}

    @cached_property
    def scored_from(self) -> list[str]:
        """Names of the tasks whose rows scoring reads: the scored ones, and those that they follow."""
        return sorted({name for task in self.eval_tasks for name in (task.name, task.trained_with or task.name)})

    @property
    def _unread(self) -> set[str]:
        """Keys of a task that neither training nor answering reads."""
        return SHOWN | SOURCES | RESOLVED | (PROMPTED if METHODS[self.method].loads == "encoder" else ENCODED)

    def _read_of(self, task: Task) -> dict[str, Any]:
        """What training and answering read of a task, but for its metrics."""
        read = _values(task, self._unread | {"metrics"})
        return read if task.judge is None else read | {"judge": _values(task.judge, SHOWN)}

    @cached_property
    def digest(self) -> str:
        """Names what training depends on, beside rows, weights and code, which `keys` names.

        Left out, because no training reads it:
        - of a task, what only tables show (`SHOWN`), where its rows come from (`SOURCES`: the rows' own digests are part of
          the key) and metrics after the first, which decides choices; of a decoder's task what an encoder reads, and of an
          encoder's task prompts; its reward, but in `rules`;
        - of a model, title and table;
        - of the protocol, how test answers are read, and the name of the preset (its switches are resolved);
        - of `data`, the cap on test rows, where files lay and whether absent ones are passed over;
        - of `evaluation`, all but the room and the batches of validation answers, which are greedy.
        """
        tasks = [self._read_of(task) | {"chosen_by": task.metrics[0]} for task in self.train_tasks]
        decoding = self.evaluation.decoding
        return digest_of(
            {
                **_values(self, {"eval_tasks", "evaluation"}),
                "judges": _describe(self.training_judges),
                "kernels": KERNELS[self.bits],
                "model_spec": _values(self.model_spec, PRINTED),
                "encoder_spec": self.encoder_spec and _values(self.encoder_spec, PRINTED),
                "guide_spec": self.guide_spec and _values(self.guide_spec, PRINTED),
                "train_tasks": tasks,
                "protocol": _values(self.protocol, {"parser", "random_fallback", "preset"}),
                "data": _values(self.data, {"test_rows", "data_root", "skip_absent"}),
                "validation": [decoding.max_new_tokens, self.evaluation.batch_tokens],
                "rewards": METHODS[self.method].rewards,
                "answers": getattr(self.settings, "answers", None),
            }
        )

    @cached_property
    def answers_digest(self) -> str:
        """Names what the run's answers to its tasks depend on: what it is trained by, and how it is asked.

        Left out: how answers are read and scored, unless a number of demonstrations is chosen by it, and what only tables show;
        metrics but for those of texts that are measured at once.
        """
        chooses = METHODS[self.method].answered_by == "answering.few_shot"
        unread = {"preset", "random_fallback"} if chooses else {"preset", "random_fallback", "parser"}
        tasks = [
            self._read_of(task)
            | ({"chosen_by": task.metrics[0]} if chooses else {})
            | {"measured": [name for name in MEASURED_METRICS if name in task.metrics]}
            for task in self.eval_tasks
        ]
        evaluation = _values(self.evaluation, {"bootstrap"})
        judges = _describe(self.answering_judges)
        return digest_of([self.digest, tasks, _values(self.protocol, unread), evaluation, self.data.test_rows, judges])

    @cached_property
    def evaluation_digest(self) -> str:
        """Names what the run's scores depend on: its answers, how they are read, the metrics, and how intervals are drawn."""
        read = [self.protocol.parser, self.protocol.random_fallback, self.evaluation.bootstrap]
        return digest_of([self.answers_digest, read, [[task.metrics, task.carve_by] for task in self.eval_tasks]])


def _describe(models: dict[str, Model]) -> dict[str, Any]:
    """Models by name, as far as anything computed depends on them."""
    return {name: _values(model, PRINTED) for name, model in models.items()}


def _values(settings: Settings, left_out: set[str]) -> dict[str, Any]:
    """A section's resolved values as JSON holds them, but for some of its keys."""
    return settings.model_dump(mode="json", exclude=left_out)
