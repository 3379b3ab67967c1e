"""What SFT and encoder fine-tuning share around transformers' Trainer: history, clock, going on from a saved state."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback

from ..base.checkpoint import Checkpoint, random_state, restore_random, restore_weights, trained_weights
from ..base.errors import Diverged
from ..base.progress import Progress, Stopwatch
from .candidates import Candidate

LINES = 50
"""Lines of a history, about: reading a loss off the device in every step would hold a GPU up."""


class Recorder(TrainerCallback):
    """Collects `history`, scores validation where asked to, times training without it, stops on a loss that is no number.

    A line of history: step, examples seen, loss (mean over the steps since the line before), learning_rate, validation
    (None where it was not scored).
    """

    def __init__(
        self, name: str, prompts: int, batch_size: int, validate: Callable[[], float], evaluate_every: int = 0
    ) -> None:
        """`name` is that of the method; validation is scored every so many steps, and after the last."""
        self.name, self.prompts, self.batch_size = name, prompts, batch_size
        self.validate, self.evaluate_every = validate, evaluate_every
        self.history: list[dict[str, Any]] = []
        self.clock = Stopwatch()

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the clock."""
        self.progress = Progress(f"{self.name} at a learning rate of {args.learning_rate:g}", state.max_steps)
        self.clock.go_on()

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on from what `Resume.state` saved."""
        self.history, self.clock = saved["history"], Stopwatch(saved)

    def _validates(self, state: Any) -> bool:
        last = state.global_step == state.max_steps
        return last or (self.evaluate_every > 0 and state.global_step % self.evaluate_every == 0)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Have a line written at the steps that validate, and tell how far it is."""
        self.progress.advance(**({"loss": self.history[-1]["loss"]} if self.history else {}))
        control.should_log = control.should_log or self._validates(state)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        """Add a line of history.

        Raises:
            Diverged: the loss is no number.
        """
        if logs is None or "loss" not in logs:
            return
        self.clock.pause()
        step, loss, rate = state.global_step, logs["loss"], logs["learning_rate"]
        if not math.isfinite(loss):
            raise Diverged(f"step {step}: the training loss is {loss}")
        line = {
            "step": step,
            "examples": min(step * self.batch_size, self.prompts),
            "loss": loss,
            "learning_rate": rate,
            "validation": self.validate() if self._validates(state) else None,
        }
        self.history.append(line)
        self.clock.go_on()

    def trained(self) -> Candidate:
        """Last loss and validation score, what training cost, and the history."""
        facts = {
            "validation": self.history[-1]["validation"],
            "loss": self.history[-1]["loss"],
            **self.clock.spent(),
            "samples_per_second": round(self.prompts / self.clock.seconds, 3),
            "samples_per_cpu_second": round(self.prompts / self.clock.cpu_seconds, 3),
        }
        return Candidate(facts, self.history)


class Resume(TrainerCallback):
    """Saves a training of transformers' Trainer between two steps, and lets another go on from there.

    transformers' own checkpoints forget the loss since the last line of history. The trainer is given the rest of the plan
    (`done` steps are behind it); `max_steps` stays that of the whole plan.
    """

    def __init__(self, checkpoint: Checkpoint, recorder: Recorder) -> None:
        """`recorder` is that of the same training."""
        self.checkpoint, self.recorder = checkpoint, recorder
        self.saved = checkpoint.load()
        self.done: int = self.saved["step"] if self.saved else 0
        self.trainer: Any = None

    def rest(self, plan: list[Any], batch_size: int) -> list[Any]:
        """What of the plan is left (of a finished one the last batch, because a trainer wants some)."""
        left = plan[self.done * batch_size :]
        return left or plan[-batch_size:]

    def train(self, trainer: Any) -> None:
        """Train to the end of the plan, from the saved state where there is one."""
        self.trainer = trainer
        trainer.add_callback(self)
        if self.done < trainer.args.max_steps:
            trainer.train()
        elif self.saved:
            restore_weights(trainer.model, self.saved["weights"])
            self.recorder.restore(self.saved)

    def on_train_begin(self, args: Any, state: Any, control: Any, **objects: Any) -> None:
        """Restore all but the random numbers."""
        if self.saved is None:
            return
        restore_weights(objects["model"], self.saved["weights"])
        objects["optimizer"].load_state_dict(self.saved["optimiser"])
        objects["lr_scheduler"].load_state_dict(self.saved["scheduler"])
        state.global_step = self.done
        self.recorder.progress.skip(self.done)
        self.trainer._globalstep_last_logged = self.saved["last_logged"]
        self.trainer._tr_loss += self.saved["loss"]
        self.recorder.restore(self.saved)

    def on_step_begin(self, args: Any, state: Any, control: Any, **objects: Any) -> None:
        """Between two steps: restore the random numbers, or save if it is time to.

        Raises:
            Stopped: the process was asked to stop, and the state is saved.
        """
        if self.saved is not None:
            restore_random(self.saved["random"])
            self.saved = None
        elif state.global_step:
            self.recorder.clock.pause()
            self.checkpoint.keep(self.state)
            self.recorder.clock.go_on()

    def on_train_end(self, args: Any, state: Any, control: Any, **objects: Any) -> None:
        """Save the end, so that a candidate learning rate is not trained twice."""
        self.checkpoint.save(self.state())

    def state(self) -> dict[str, Any]:
        """All that the next step, and the record, depend on."""
        trainer, recorder = self.trainer, self.recorder
        return {
            "step": trainer.state.global_step,
            "weights": trained_weights(trainer.model),
            "optimiser": trainer.optimizer.state_dict(),
            "scheduler": trainer.lr_scheduler.state_dict(),
            "last_logged": trainer._globalstep_last_logged,
            "loss": trainer._tr_loss,
            "history": recorder.history,
            **recorder.clock.spent(),
            "random": random_state(),
        }
