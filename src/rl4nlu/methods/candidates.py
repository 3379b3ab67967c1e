"""The choice among candidate learning rates: each is trained from scratch, the best on validation is kept, all are recorded."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..base.checkpoint import Checkpoint
from ..base.errors import Diverged
from ..base.files import write_jsonl
from ..base.machine import free_memory
from ..config import METHODS

if TYPE_CHECKING:
    from ..runs.spec import RunSpec


class Candidate(NamedTuple):
    """A training at one learning rate: what the record says of it, and its history's lines.

    The record has its `validation` score and what it cost without validating: `tokens_trained` (every pass), `tokens_generated`,
    `seconds` and `cpu_seconds`.
    """

    facts: dict[str, Any]
    history: list[dict[str, Any]]

    def at_the_cost_of(self, tokens_trained: int, tokens_generated: int = 0) -> Candidate:
        """The same, with what it cost in tokens."""
        return self._replace(
            facts=self.facts | {"tokens_trained": tokens_trained, "tokens_generated": tokens_generated}
        )


def best_of(
    spec: RunSpec, train: Callable[[float, Path, Checkpoint], Candidate], out: Path, name: str, checkpoint: Checkpoint
) -> Candidate:
    """Train with every learning rate of the run's settings and keep the best on validation (the first of equals) as `out/name`.

    Its history becomes `out/history.jsonl`. One at which numbers stop being finite is dropped: a line of the log says so,
    and it is recorded without a score.

    Args:
        spec: the run.
        train: trains from scratch at a learning rate, or goes on from a state, and writes the weights to a folder.
        out: the run's folder.
        name: what the kept folder is called.
        checkpoint: state of the run; every candidate has a part of its own.

    Returns:
        The best: its facts, its `learning_rate`, and under `candidates` the same of all.

    Raises:
        Diverged: all candidates did.
    """
    rates: list[float] = spec.settings.learning_rates  # type: ignore[attr-defined]
    best: Candidate | None = None
    tried: list[dict[str, Any]] = []
    why = ""
    for number, rate in enumerate(rates):
        folder = out / f".candidate{number}"
        try:
            found = train(rate, folder, checkpoint.part(f"candidate{number}"))
        except FloatingPointError as error:
            why = str(error)  # the error itself holds the backbone, by its frames
            print(f"learning rate {rate:g} is dropped: {why}", flush=True)
            tried.append({"learning_rate": rate, "validation": None, "loss": None})
            shutil.rmtree(folder, ignore_errors=True)
            continue
        finally:
            free_memory()
        tried.append({"learning_rate": rate, **found.facts})
        if best is None or found.facts["validation"] > best.facts["validation"]:
            best = Candidate(tried[-1], found.history)
            shutil.rmtree(out / name, ignore_errors=True)
            folder.rename(out / name)
        else:
            shutil.rmtree(folder)
    if best is None:
        raise Diverged(explain_divergence(spec, why))
    write_jsonl(out / "history.jsonl", best.history)
    return Candidate({**best.facts, "candidates": tried}, best.history)


def explain_divergence(spec: RunSpec, why: str) -> str:
    """The message for a run that diverged at every learning rate that it tried, at the last one because of `why`."""
    rates = ", ".join(f"{rate:g}" for rate in spec.settings.learning_rates)  # type: ignore[attr-defined]
    where = f"at every learning rate ({rates}); at the last one, {why}"
    if spec.learning_rate_from is not None:
        where = f"at the learning rate {rates}, which run {spec.learning_rate_from} chose: {why}"
    remedy = f"lower {METHODS[spec.method].section}.learning_rates, or set the model's dtype to float32"
    return f"run {spec.address.path}: training diverged {where}; {remedy}"
