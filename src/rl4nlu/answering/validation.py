"""The score that decides what is chosen while training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..tasks.rows import rows_of
from .decoder import ask
from .labels import main_score

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from ..runs.spec import RunSpec


def validation_score(spec: RunSpec, model: Any, tokenizer: PreTrainedTokenizerBase, data: Path) -> float:
    """Mean over the run's training tasks of their main metric on the validation carve; greedy, strictly parsed.

    The model is scored in evaluation mode, and put back in the mode that it was in.
    """
    greedy = spec.evaluation.decoding.model_copy(update={"how": "greedy"})
    strict = spec.protocol.model_copy(update={"parser": "strict"})
    training = model.training
    model.eval()
    try:
        scores = []
        for task in spec.train_tasks:
            rows = rows_of(data, task.name, "validation")
            answers = ask(spec, model, tokenizer, task, rows, decoding=greedy, metrics=task.metrics[:1])
            scores.append(main_score(task, rows, answers, strict, data))
    finally:
        model.train(training)
    return sum(scores) / len(scores)
