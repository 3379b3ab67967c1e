"""Scores of one run on one or many tasks: answers, predictions as JSON lines, metrics with intervals.

Steps: 1. answers in the way of the run's method, 2. metrics over rows with bootstrap intervals, and files. Runs that
use no model (majority, random) import no torch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..answering.answers import Answer, ask, confidences_of, main_score, rows_of
from ..answering.baselines import best_shots, majority_label, random_label
from ..base.code import code_digest
from ..base.errors import ConfigError
from ..base.files import digest_of, file_digest, local_weights, read_json, write_json, write_jsonl
from ..base.journal import Journal
from ..base.progress import Progress
from ..config import TRAINED_METHODS, Model, Prompting
from ..rationales import with_rationales
from ..tasks.metrics import row_scores, score
from ..tasks.prompts import choose_demonstrations
from ..tasks.rows import Row, load_rows
from ..tasks.task import Task, load_task
from .intervals import bootstrap

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ..runs.spec import RunSpec

    Label = str | float


class Backbone(NamedTuple):
    """A loaded foundation model; runs of the same model may share it one after another."""

    tokenizer: PreTrainedTokenizerBase
    model: PreTrainedModel


@dataclass(frozen=True)
class Shots:
    """The demonstrations of one task, and the validation score of every number of them that was tried."""

    rows: tuple[Row, ...] = ()
    scores: dict[int, float] | None = None


Answerer = Callable[[Task, list[Row]], tuple[list[Answer], Shots]]


def load_backbone_of(model: Model) -> Backbone:
    """The tokenizer and decoder of a model, to be shared by runs."""
    from ..models.load import load_backbone, load_tokenizer

    return Backbone(load_tokenizer(model), load_backbone(model))


# 1. Every method's way to answer -----------------------------------------------------------------------------------


@contextmanager
def answering(
    spec: RunSpec, data: Path, run_folder: Path | None, backbone: Backbone | None, journal: Journal | None = None
) -> Iterator[Answerer]:
    """How the run's method answers test rows: (task, rows) -> (answers, demonstrations); `journal` knows some already.

    Raises:
        ConfigError: a trained run without its folder, or the folder does not hold what was trained.
    """
    trained = spec.method in TRAINED_METHODS
    if trained and run_folder is None:
        raise ConfigError(f"run {spec.address.path}: evaluation needs the folder of the trained run")
    if spec.method in ("majority", "random"):
        yield lambda task, rows: (_without_model(spec, data, task, rows), Shots())
    elif spec.method == "encoder":
        from ..methods import encoder

        assert run_folder is not None
        folder = run_folder / "model"

        def classify(task: Task, rows: list[Row]) -> tuple[list[Answer], Shots]:
            known = journal or Journal(None)
            name = f"{task.name}/test/outputs"
            read = encoder.predict(folder, task, rows, done=known.known(name), keep=partial(known.add, name))
            pairs = [label if isinstance(label, tuple) else (label, None) for label in read]
            return [Answer("", label, confidence) for label, confidence in pairs], Shots()

        yield classify
    else:
        from ..models.load import adapted

        tokenizer, decoder = backbone or load_backbone_of(spec.model_spec)
        adapter = run_folder / "adapter" if trained and run_folder is not None else None
        with adapted(decoder, adapter) as policy:
            chosen: dict[str, Shots] = {}  # by the task that the demonstrations come from

            def prompt(task: Task, rows: list[Row]) -> tuple[list[Answer], Shots]:
                shots = Shots()
                if spec.method == "few-shot":
                    source = task.trained_with or task.name
                    if source not in chosen:
                        chosen[source] = _choose_shots(spec, policy, tokenizer, data, source, journal)
                    shots = chosen[source]
                shown = _in_fields_of(task, shots.rows)
                return ask(spec, policy, tokenizer, task, rows, shown, None, journal, f"{task.name}/test"), shots

            yield prompt


def _without_model(spec: RunSpec, data: Path, task: Task, rows: Sequence[Row]) -> list[Answer]:
    if spec.method == "random":
        return [Answer("", random_label(task, spec.seed, row.id)) for row in rows]
    label = majority_label(task, load_rows(data, task.trained_with or task.name, "train"))
    return [Answer("", label)] * len(rows)


def _choose_shots(
    spec: RunSpec,
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    data: Path,
    source: str,
    journal: Journal | None,
) -> Shots:
    """The demonstrations of the task `source`, their number chosen on its validation carve.

    Fewer demonstrations are the first ones of more.
    """
    assert isinstance(spec.settings, Prompting)
    task = next((task for task in spec.eval_tasks if task.name == source), None) or load_task(source)
    candidates = spec.settings.shots
    rows = rows_of(data, source, "train")
    if spec.protocol.response == "rationale":
        rows = with_rationales(data, source, "train", rows)
    pool = choose_demonstrations(rows, max(candidates), spec.settings.demonstrations, spec.seed)
    if len(candidates) == 1:
        return Shots(tuple(pool), {})
    validation = rows_of(data, source, "validation")

    def value(k: int) -> float:
        part = f"{source}/validation/{k}"
        return main_score(
            task, validation, ask(spec, model, tokenizer, task, validation, pool[:k], None, journal, part)
        )

    k, scores = best_shots(candidates, value)
    return Shots(tuple(pool[:k]), scores)


def _in_fields_of(task: Task, rows: Sequence[Row]) -> list[Row]:
    """Rows of the task that `task` follows, under its own field names; fields correspond in their order.

    RTE has sentence1 and sentence2 in GLUE, and premise and hypothesis in SuperGLUE.
    """
    if not rows or set(rows[0].fields) == set(task.fields):
        return list(rows)
    own = load_task(str(task.trained_with)).fields
    return [
        replace(row, fields={new: row.fields[old] for new, old in zip(task.fields, own, strict=True)}) for row in rows
    ]


# 2. From answers to files ------------------------------------------------------------------------------------------


def evaluate_run(
    spec: RunSpec,
    data: Path,
    run_folder: Path | None,
    out: Path,
    backbone: Backbone | None = None,
    work: Path | None = None,
) -> None:
    """Score a run on all of its tasks: `<out>/<task>/{predictions.jsonl, metrics.json}`.

    With `work`, answers are kept there until all scores stand; an evaluation that was stopped asks what is missing.

    Args:
        spec: the resolved run.
        data: folder of prepared rows.
        run_folder: folder of the trained run (`adapter/` or `model/`); None where nothing is trained.
        out: folder to write, usually the run's own.
        backbone: the run's foundation model where it is already loaded; it is left as it was, to the bit.
        work: folder of unfinished runs.

    Raises:
        ConfigError: rows or the trained run are missing, or the model does not load.
    """
    if spec.method not in ("majority", "random"):
        import torch

        torch.set_num_threads(spec.threads)
    tests = [rows_of(data, task.name, "test") for task in spec.eval_tasks]
    progress = Progress(f"{spec.address.path} on {len(tests)} tasks", sum(map(len, tests)), "rows")
    journal = open_journal(spec, data, run_folder, work)
    before = within = 0

    def heard(part: str, answered: int) -> None:
        """A batch was answered; ReCoRD's rows are both scored and generated, which counts once."""
        nonlocal within
        within += answered if part.startswith(f"{task.name}/test/") else 0
        progress.reach(before + min(within, len(rows) - 1))

    journal.heard = heard
    with answering(spec, data, run_folder, backbone, journal) as answer:
        for task, rows in zip(spec.eval_tasks, tests, strict=True):
            within = 0
            started = time.perf_counter()
            answers, shots = answer(task, rows)
            seconds = time.perf_counter() - started + journal.seconds(f"{task.name}/")
            write_evaluation(spec, task, rows, answers, shots, seconds, data, out / task.name)
            before += len(rows)
            progress.reach(before)
    journal.remove()


def open_journal(spec: RunSpec, data: Path, run_folder: Path | None, work: Path | None) -> Journal:
    """The answers that an earlier process left in `work` for the same run, rows, weights and code."""
    if work is None or spec.method in ("majority", "random"):
        return Journal(None)
    records = sorted(path for name in spec.scored_from if (path := data / name / "record.json").is_file())
    weights = sorted(run_folder.glob("*/*.safetensors")) if run_folder else []
    read = [[path.parent.name, path.name, file_digest(path)] for path in (*records, *weights)]
    key = digest_of([spec.evaluation_digest, read, local_weights(spec.model_spec.path), code_digest("evaluate")])
    return Journal(work / "evaluate" / f"{key}.jsonl", key)


def write_evaluation(
    spec: RunSpec,
    task: Task,
    rows: list[Row],
    answers: list[Answer],
    shots: Shots,
    seconds: float,
    data: Path,
    folder: Path,
) -> None:
    """Write `predictions.jsonl` and `metrics.json` of one run on one task.

    Unparseable answers are wrong; with `protocol.random_fallback` they are replaced by random labels, as released,
    and still counted in the invalid rate.
    """
    predictions = [answer.prediction for answer in answers]
    invalid = [n for n, prediction in enumerate(predictions) if prediction is None]
    if spec.protocol.random_fallback:
        for n in invalid:
            predictions[n] = random_label(task, spec.seed, rows[n].id)
    confidences = confidences_of(answers)
    values = score(task, rows, predictions, confidences)
    judged = predictions if confidences is None else list(zip(predictions, confidences, strict=True))
    bounds = bootstrap(task, rows, judged, spec.evaluation.bootstrap, spec.seed)
    metrics = {
        name: {"value": value, **dict(zip(("low", "high"), bounds.get(name, (None, None)), strict=True))}
        for name, value in values.items()
    }
    record_file = data / task.name / "record.json"
    generated = spec.method not in ("majority", "random", "encoder")
    scores = row_scores(task, rows, predictions)
    write_jsonl(
        folder / "predictions.jsonl",
        (
            {
                "id": row.id,
                "group": row.group,
                "gold": row.label,
                "prediction": prediction,
                "text": answer.text,
                "confidence": answer.confidence,
                "score": scores[n],
                "dropped_demonstrations": answer.dropped_demonstrations,
            }
            for n, (row, prediction, answer) in enumerate(zip(rows, predictions, answers, strict=True))
        ),
    )
    how = spec.evaluation.decoding.how
    write_json(
        folder / "metrics.json",
        {
            **{name: getattr(spec, name) for name in ("model", "method", "mixture", "variant", "seed")},
            "task": task.name,
            "split": "test",
            "n": len(rows),
            "metrics": metrics,
            "invalid_rate": len(invalid) / len(rows),
            "random_labels": len(invalid) if spec.protocol.random_fallback else 0,
            "shots": len(shots.rows),
            "shots_validation": shots.scores,
            "demonstrations": [row.id for row in shots.rows],
            "dropped_demonstrations": sum(answer.dropped_demonstrations for answer in answers),
            "shortened_rows": sum(answer.shortened for answer in answers),
            "response": spec.protocol.response,
            "decoding": ("greedy" if how == "score" and not task.labels else how) if generated else None,
            "source": read_json(record_file)["source"] if record_file.is_file() else spec.data.source,
            "digest": spec.evaluation_digest,
            "generated_tokens": sum(answer.tokens for answer in answers),
            "seconds": round(seconds, 3),
        },
    )
