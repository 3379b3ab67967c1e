"""Scores of one run's answers: predictions as JSON lines, metrics with intervals. No model is asked and no torch imported."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..answering.answer import Answer, Shots, read_answers
from ..answering.guesses import random_label
from ..answering.labels import confidences_of, read_labels, to_predictions
from ..base.files import digest_of, read_json, write_json, write_jsonl
from ..config import METHODS
from ..tasks.metrics import row_scores, score
from ..tasks.rows import Row, rows_of
from ..tasks.texts.statistics import explain_absence
from ..tasks.units import cluster_of
from .intervals import bootstrap

if TYPE_CHECKING:
    from ..runs.spec import RunSpec
    from ..tasks.task import Task


def score_run(spec: RunSpec, data: Path, answers: Path, out: Path) -> None:
    """Score a run's answers to all of its tasks: `<out>/<task>/{predictions.jsonl, metrics.json}`.

    Args:
        spec: the resolved run.
        data: folder of prepared rows.
        answers: folder that `answer_run` wrote.
        out: folder to write.

    Raises:
        ConfigError: rows or answers are missing, or do not belong together.
    """
    for task in spec.eval_tasks:
        rows = rows_of(data, task.name, "test")
        write_scores(spec, task, rows, *read_answers(answers, task, rows), data, out / task.name)


def write_scores(
    spec: RunSpec,
    task: Task,
    rows: list[Row],
    answers: list[Answer],
    shots: Shots,
    seconds: float,
    data: Path,
    folder: Path,
) -> None:
    """Write `predictions.jsonl` and `metrics.json` of one run on one task, whose answers took `seconds`.

    Unparseable answers are wrong; with `protocol.random_fallback` they are replaced by random labels, as released,
    and still counted in the invalid rate. Of texts, those that are empty count as unparseable, and are scored as they are;
    a prediction is then what its metrics add up, and a metric that cannot be computed stands in the record with the reason.
    """
    labels = read_labels(task, answers, spec.protocol)
    invalid = [n for n, label in enumerate(labels) if label is None]
    replaced = invalid if spec.protocol.random_fallback and task.answer != "text" else []
    for n in replaced:
        labels[n] = random_label(task, spec.seed, rows[n].id)
    predictions = to_predictions(task, rows, answers, labels, data)
    confidences = confidences_of(answers)
    scored = score(task, rows, predictions, confidences)
    values = {name: value for name, value in scored.items() if not math.isnan(value)}
    absent = {name: explain_absence(task, name) for name in scored if name not in values}
    bounds = bootstrap(task, rows, predictions, spec.evaluation.bootstrap, spec.seed, confidences)
    metrics = {
        name: {"value": value, **dict(zip(("low", "high"), bounds.get(name, (None, None)), strict=True))}
        for name, value in values.items()
    }
    scores = row_scores(task, rows, predictions)
    write_jsonl(
        folder / "predictions.jsonl",
        (
            {
                "id": row.id,
                "group": row.group,
                "cluster": cluster_of(task, row),
                "gold": gold_of(task, row),
                "prediction": prediction,
                "text": answer.text or (str(answer.label) if task.answer == "text" and answer.label else ""),
                "confidence": answer.confidence,
                "score": None if math.isnan(scores[n]) else scores[n],
                "dropped_demonstrations": answer.dropped_demonstrations,
            }
            for n, (row, prediction, answer) in enumerate(zip(rows, predictions, answers, strict=True))
        ),
    )
    record_file, how = data / task.name / "record.json", spec.evaluation.decoding.how
    written = METHODS[spec.method].loads == "decoder"
    write_json(
        folder / "metrics.json",
        {
            **{name: getattr(spec, name) for name in ("model", "method", "mixture", "variant", "seed")},
            "task": task.name,
            "split": "test",
            "n": len(rows),
            "metrics": metrics,
            **({"absent": absent} if absent else {}),
            "invalid_rate": len(invalid) / len(rows),
            "random_labels": len(replaced),
            "shots": len(shots.demonstrations),
            "shots_validation": shots.scores,
            "demonstrations": list(shots.demonstrations),
            "dropped_demonstrations": sum(answer.dropped_demonstrations for answer in answers),
            "shortened_rows": sum(answer.shortened for answer in answers),
            "response": spec.protocol.response,
            "decoding": ("greedy" if how == "score" and not task.labels else how) if written else None,
            "source": read_json(record_file)["source"] if record_file.is_file() else spec.data.source,
            "digest": spec.evaluation_digest,
            "generated_tokens": sum(answer.tokens for answer in answers),
            "seconds": seconds,
        },
    )


def gold_of(task: Task, row: Row) -> Any:
    """What predictions.jsonl keeps of a row's right answer: its label, or a digest of its references."""
    return digest_of(row.answers) if task.answer == "text" else row.label
