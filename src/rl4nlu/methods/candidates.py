"""The choice among candidate learning rates: each is trained from scratch, the best on validation is kept, all are recorded."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.errors import Diverged
from ..base.files import write_jsonl
from ..base.machine import free_memory

if TYPE_CHECKING:
    from .trainer import Recorder


def best_of(
    learning_rates: list[float], attempt: Callable[[float, Path], Recorder], out: Path, name: str
) -> dict[str, Any]:
    """Train with every candidate learning rate and keep the best on validation (the first of equals) as `out/name`.

    Its history becomes `out/history.jsonl`. A candidate that diverges is recorded without a score.

    Args:
        learning_rates: candidates.
        attempt: trains one from scratch and writes its weights to a folder.
        out: the run's folder.
        name: what the kept folder is called.

    Returns:
        Facts of the best, without start-up and validation: learning_rate, validation, loss, seconds, cpu_seconds and
        samples a second of either; under `candidates` the same of all.

    Raises:
        Diverged: all candidates did.
    """

    def measured(learning_rate: float, folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Facts and history of one candidate, whose recorder, and with it the backbone, is not kept for the next one's time."""
        recorder = attempt(learning_rate, folder)
        return recorder.facts(), recorder.history

    best: dict[str, Any] | None = None
    history: list[dict[str, Any]] = []
    tried: list[dict[str, Any]] = []
    failure = Diverged("no candidate learning rate was given")
    for number, learning_rate in enumerate(learning_rates):
        folder = out / f".candidate{number}"
        try:
            facts, lines = measured(learning_rate, folder)
        except Diverged as error:
            failure = error.with_traceback(None)  # its frames hold the backbone
            tried.append({"learning_rate": learning_rate, "validation": None, "loss": None})
            shutil.rmtree(folder, ignore_errors=True)
            continue
        finally:
            free_memory()
        tried.append({"learning_rate": learning_rate, **facts})
        if best is None or tried[-1]["validation"] > best["validation"]:
            best, history = tried[-1], lines
            shutil.rmtree(out / name, ignore_errors=True)
            folder.rename(out / name)
        else:
            shutil.rmtree(folder)
    if best is None:
        raise failure
    write_jsonl(out / "history.jsonl", history)
    return {**best, "candidates": tried}
