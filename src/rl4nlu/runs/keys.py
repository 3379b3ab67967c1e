"""What names a trained run, its answers and its scores: settings, rows, weights and code. Two results with one key are the same.

The names are found without torch, so that a job whose result is there already costs next to nothing.
"""

from __future__ import annotations

from pathlib import Path

from ..base.code import code_digest
from ..base.errors import ConfigError
from ..base.files import digest_of, file_digest, local_weights, read_json
from ..config import METHODS, PROMPTING_METHODS
from ..tasks.task import EXACT_METRICS
from .grid import Grid
from .spec import Address, RunSpec


def data_digest(spec: RunSpec, data: Path) -> str:
    """Names the rows that a run trains on and selects with.

    Raises:
        ConfigError: a task's rows were not prepared.
    """
    records = {}
    for task in spec.train_tasks:
        digests = task_digests(data, task.name)
        records[task.name] = [digests["train"], digests["validation"]]
        if spec.reads_rationales:
            records[task.name].append(rationales_digest(data, task.name))
    return digest_of(records)


def rationales_digest(data: Path, task: str) -> str:
    """Names a task's rationales.

    Raises:
        ConfigError: there are none.
    """
    path = data / task / "rationales.jsonl"
    if not path.is_file():
        raise ConfigError(f"{path}: no rationales of task {task}; `snakemake rationales` makes them")
    return file_digest(path)


def task_digests(data: Path, name: str) -> dict[str, str]:
    """Digests of a task's prepared rows, by split.

    Raises:
        ConfigError: they were not prepared.
    """
    path = data / name / "record.json"
    if not path.is_file():
        raise ConfigError(f"{path}: no prepared rows of task {name}; `snakemake data` makes them")
    found: dict[str, str] = read_json(path)["digests"]
    return found


def folders_of(spec: RunSpec, grid: Grid, data: Path, results: Path) -> dict[str, Path] | None:
    """Runs that a run stands on, in `results`; None where one is not trained yet by the settings, rows and code of now."""
    found = {}
    for name, address in spec.foundations.items():
        below, folder = grid.runs[Address.parse(address)], results / address
        stands_on = folders_of(below, grid, data, results)
        if stands_on is None or not (folder / "run.json").is_file():
            return None
        if read_json(folder / "run.json").get("key") != training_key(below, data, stands_on):
            return None
        found[name] = folder
    return found


def keys_of(stands_on: dict[str, Path]) -> dict[str, str]:
    """Keys of trained runs."""
    return {name: read_json(folder / "run.json")["key"] for name, folder in stands_on.items()}


def training_key(spec: RunSpec, data: Path, stands_on: dict[str, Path]) -> str:
    """Names a trained run: its settings, its rows, its foundation models' weights, what it stands on, and the code.

    Raises:
        ConfigError: its rows are not prepared.
    """
    loaded = (spec.model_spec, spec.encoder_spec, spec.guide_spec, *spec.training_judges.values())
    weights = [local_weights(model.path) for model in loaded if model]
    return digest_of(
        [
            spec.digest,
            data_digest(spec, data),
            weights,
            keys_of(stands_on),
            code_digest(str(METHODS[spec.method].module)),
        ]
    )


def evaluated_digest(spec: RunSpec, data: Path) -> str:
    """Names the rows that a run answers, and those that demonstrations and the majority label come from.

    Raises:
        ConfigError: a task's rows were not prepared.
    """
    return digest_of({name: task_digests(data, name) for name in spec.scored_from})


def answering_code(method: str) -> str:
    """Names the code that answers rows by a method; how answers are read and scored is no part of it, where none is chosen by it."""
    return code_digest("answering.answer", METHODS[method].answered_by)


def answers_key(spec: RunSpec, data: Path, trained: str | None) -> str:
    """Names the answers of the trained run whose key is `trained`, or of a method that trains nothing.

    Raises:
        ConfigError: rows are not prepared.
    """
    weights = local_weights(spec.model_spec.path) if trained is None and METHODS[spec.method].loads is not None else []
    judges = [local_weights(model.path) for model in spec.answering_judges.values()]
    made_from = [trained, weights, judges, evaluated_digest(spec, data)]
    return digest_of([spec.answers_digest, *made_from, answering_code(spec.method)])


def answers_record(spec: RunSpec, answers: Path) -> Path:
    """The record that names the answers in a folder: a run that trains nothing is its answers, and has them in its own."""
    return answers.parent / "run.json" if spec.method in PROMPTING_METHODS else answers / "answers.json"


def scoring_code(spec: RunSpec) -> str:
    """Names the code that scores a run's answers; what reads generated texts again is part of it where a metric asks for that."""
    exact = any(name in EXACT_METRICS for task in spec.eval_tasks for name in task.metrics)
    return code_digest("scores.evaluate", *(["microworld.exact"] if exact else []))


def scores_key(spec: RunSpec, answers: str) -> str:
    """Names the scores of the answers whose key is `answers`."""
    return digest_of([spec.evaluation_digest, answers, scoring_code(spec)])
