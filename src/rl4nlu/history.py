"""What SFT and encoder fine-tuning share around transformers' Trainer: history, clock, choice of the learning rate."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from .config import ConfigError
from .progress import Progress
from .records import write_jsonl

LINES = 50
"""Lines of a history, about: reading a loss off the device in every step would hold a GPU up."""


class Diverged(ConfigError):
    """The training loss is no number any more."""


class Recorder(TrainerCallback):
    """Collects `history`, scores validation where asked to, times training without it, stops on a loss that is no number.

    A line of history: step, examples seen, loss (mean over the steps since the line before), learning_rate, validation
    (None where it was not scored).
    """

    def __init__(
        self, section: str, prompts: int, batch_size: int, validate: Callable[[], float], evaluate_every: int = 0
    ) -> None:
        """`section` of the config holds the settings; validation is scored every so many steps, and after the last."""
        self.section, self.prompts, self.batch_size = section, prompts, batch_size
        self.validate, self.evaluate_every = validate, evaluate_every
        self.history: list[dict[str, Any]] = []
        self.seconds = self.cpu_seconds = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the clock."""
        self._since = time.perf_counter(), time.process_time()
        what = f"{self.section} at a learning rate of {args.learning_rate:g}"
        self._progress = Progress(what, state.max_steps, done=state.global_step)

    def _stop(self) -> None:
        self.seconds += time.perf_counter() - self._since[0]
        self.cpu_seconds += time.process_time() - self._since[1]

    def _validates(self, state: Any) -> bool:
        last = state.global_step == state.max_steps
        return last or (self.evaluate_every > 0 and state.global_step % self.evaluate_every == 0)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Have a line written at the steps that validate, and tell how far it is."""
        self._progress.advance(**({"loss": self.history[-1]["loss"]} if self.history else {}))
        control.should_log = control.should_log or self._validates(state)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        """Add a line of history.

        Raises:
            Diverged: the loss is no number.
        """
        if logs is None or "loss" not in logs:
            return
        self._stop()
        step, loss, rate = state.global_step, logs["loss"], logs["learning_rate"]
        if not math.isfinite(loss):
            raise Diverged(
                f"step {step}: the training loss is {loss} at a learning rate of {rate:g}: lower {self.section}.learning_rates, "
                "or set the model's dtype to float32"
            )
        line = {
            "step": step,
            "examples": min(step * self.batch_size, self.prompts),
            "loss": loss,
            "learning_rate": rate,
            "validation": self.validate() if self._validates(state) else None,
        }
        self.history.append(line)
        self._since = time.perf_counter(), time.process_time()

    def facts(self) -> dict[str, Any]:
        """Last loss and validation score, and what training cost."""
        return {
            "validation": self.history[-1]["validation"],
            "loss": self.history[-1]["loss"],
            "seconds": round(self.seconds, 3),
            "cpu_seconds": round(self.cpu_seconds, 3),
            "samples_per_second": round(self.prompts / self.seconds, 3),
            "samples_per_cpu_second": round(self.prompts / self.cpu_seconds, 3),
        }


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
    best: dict[str, Any] | None = None
    history: list[dict[str, Any]] = []
    tried: list[dict[str, Any]] = []
    failure = Diverged("no candidate learning rate was given")
    for number, learning_rate in enumerate(learning_rates):
        folder = out / f".candidate{number}"
        try:
            recorder = attempt(learning_rate, folder)
        except Diverged as error:
            failure = error
            tried.append({"learning_rate": learning_rate, "validation": None, "loss": None})
            shutil.rmtree(folder, ignore_errors=True)
            continue
        tried.append({"learning_rate": learning_rate, **recorder.facts()})
        if best is None or tried[-1]["validation"] > best["validation"]:
            best, history = tried[-1], recorder.history
            shutil.rmtree(out / name, ignore_errors=True)
            folder.rename(out / name)
        else:
            shutil.rmtree(folder)
    if best is None:
        raise failure
    write_jsonl(out / "history.jsonl", history)
    return {**best, "candidates": tried}
