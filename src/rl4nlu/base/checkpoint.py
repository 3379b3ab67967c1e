"""Work that survives a kill at any moment: the state of a training run, and the rows that a model already answered.

Both lie in `work/` under a digest of all that they depend on (settings, rows, code, weights), so that a state is never
taken for another's, and both are checked when they are read. Saving does not change what is computed: a run that was
stopped and started again ends, on the CPU, with the same bits as one that was not.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import Stopped
from .files import digest_of, file_digest

if TYPE_CHECKING:
    import torch


_asked_to_stop = threading.Event()


def stop_on_sigterm() -> None:
    """From now on SIGTERM lets the step that is running end; its work is saved, and `Stopped` raised.

    A scheduler sends SIGTERM when it cancels or requeues a job, and before the job's time limit where it is told to.
    """
    signal.signal(signal.SIGTERM, lambda number, frame: _asked_to_stop.set())


# ------------------------------------------------------------------------------------------------------ training state


class Checkpoint:
    """The state of one training run: numbered files `<folder>/<number>-<checksum>.pt`, of which the last two are kept.

    A file appears whole or not at all. One that is damaged or belongs to another run is put aside with a line in the
    log, and the one before it is used.
    """

    def __init__(self, folder: Path | None, digest: str = "", every: float = 300.0) -> None:
        """Nothing is saved without a `folder`; `digest` names what the run depends on; `every` is in seconds."""
        self.folder, self.digest, self.every = folder, digest, every
        self._saved = time.monotonic()

    def part(self, name: str) -> Checkpoint:
        """The state of a part of the run that is trained on its own: a candidate learning rate."""
        return Checkpoint(self.folder and self.folder / name, digest_of([self.digest, name]), self.every)

    def load(self) -> dict[str, Any] | None:
        """The newest good state, its tensors on the CPU, or None."""
        import torch

        if self.folder is None:
            return None
        for path in reversed(self._files()):
            if file_digest(path) != path.stem.partition("-")[2]:
                fault = "is damaged (its checksum is not that of its name)"
            else:
                found = torch.load(path, map_location="cpu", weights_only=True)
                if found["digest"] == self.digest:
                    state: dict[str, Any] = found["state"]
                    print(f"{path}: going on after step {state['step']}", flush=True)
                    return state
                fault = f"belongs to another run (digest {found['digest']}, not {self.digest})"
            path.rename(path.with_suffix(".bad"))
            print(f"{path}: {fault}; the state before it is used, if there is one", flush=True)
        return None

    def save(self, state: dict[str, Any]) -> None:
        """Write a state (plain values and tensors; `step` is its number of finished steps) and drop the last but one.

        One whose `weights` are not all finite is not written, with a line in the log: a later process would go on from it.

        Raises:
            OSError: it cannot be written; the states before it are left as they were.
        """
        import torch

        if self.folder is None:
            return
        weights = state.get("weights", [])
        tensors = weights.values() if isinstance(weights, dict) else weights
        if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors):
            print(f"step {state['step']}: weights are no longer finite; this state is not saved", flush=True)
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        before = self._files()
        number = int(before[-1].name.partition("-")[0]) + 1 if before else 0
        beside = self.folder / f".{number}.{os.getpid()}"
        try:
            with beside.open("wb") as handle:
                hashed = _Hashed(handle)
                torch.save({"digest": self.digest, "state": state}, hashed)  # type: ignore[arg-type]
                hashed.close()
            beside.rename(self.folder / f"{number:06d}-{hashed.digest}.pt")
        except OSError as error:
            error.filename = error.filename or str(beside)
            raise
        finally:
            beside.unlink(missing_ok=True)
        for path in before[:-1]:
            path.unlink()
        self._saved = time.monotonic()

    def keep(self, state: Callable[[], dict[str, Any]]) -> None:
        """To be called after every step: saves where it is time to, or where the process is asked to stop.

        Raises:
            Stopped: the process was asked to stop.
        """
        asked = _asked_to_stop.is_set()
        if asked or (self.folder is not None and time.monotonic() - self._saved >= self.every):
            now = state()
            self.save(now)
            if asked:
                where = f"saved in {self.folder}; start it again to go on" if self.folder else "nothing is saved"
                raise Stopped(f"stopped by SIGTERM after step {now['step']}: {where}")

    def remove(self) -> None:
        """Drop the state, once what was made from it stands."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*-*.pt")) if self.folder else []


NOT_SAVED = Checkpoint(None)
"""For a run that nobody wants to resume."""


class _Hashed:
    """A file for `torch.save`, which aborts the process if a write raises: the error is kept for `close`."""

    def __init__(self, handle: Any) -> None:
        self.handle, self.sha256 = handle, hashlib.sha256()
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        if self.error is None:
            try:
                self.handle.write(data)
                self.sha256.update(data)
            except OSError as error:
                self.error = error
        return len(data)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        if self.error is not None:
            raise self.error
        self.handle.flush()
        os.fsync(self.handle.fileno())

    @property
    def digest(self) -> str:
        return self.sha256.hexdigest()[:16]


def random_state(*generators: torch.Generator) -> dict[str, Any]:
    """Every source of random numbers: Python's, NumPy's, torch's on CPU and GPUs, and `generators`; plain values and tensors."""
    import numpy as np
    import torch

    kind, key, *rest = np.random.get_state(legacy=True)
    return {
        "python": random.getstate(),
        "numpy": (kind, [int(word) for word in key], *rest),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "generators": [generator.get_state() for generator in generators],
    }


def restore_random(state: dict[str, Any], *generators: torch.Generator) -> None:
    """Put every source of random numbers back to what `random_state` of the same generators read."""
    import numpy as np
    import torch

    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    if len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
    for generator, numbers in zip(generators, state["generators"], strict=True):
        generator.set_state(numbers)


def trained_weights(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The weights that training changes, by name: an adapter's, a head's, or all of an encoder's."""
    return {name: weight.detach() for name, weight in module.named_parameters() if weight.requires_grad}


def put_back(parameters: Sequence[torch.nn.Parameter], weights: Sequence[torch.Tensor]) -> None:
    """Copy weights into parameters, in their order."""
    for parameter, weight in zip(parameters, weights, strict=True):
        parameter.detach().copy_(weight)


def restore_weights(module: torch.nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Copy `trained_weights` back into a module of the same make."""
    for name, weight in trained_weights(module).items():
        weight.copy_(weights[name])
