"""Pieces of work: each is made once, by one process at a time, appears whole in `work/` and is then put in its place.

A process makes its own piece and, where a batch is wanted, goes on warm with others that are ready: start-up
(interpreter, imports, model) is then paid once. What it made for others waits in `work/`, by key, until their own jobs
put it in place, for which nothing heavy is imported. The process's own piece is put in place at its end, because
Snakemake deletes the outputs of a job that is stopped.
"""

from __future__ import annotations

import os
import random
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..base.checkpoint import stop_on_sigterm
from ..base.errors import Stopped
from ..base.files import read_json, write_json
from ..base.leases import Holder, Lease, take, wait_for
from ..base.machine import free_memory, peak_memory_mb, reset_peak_memory
from ..base.progress import duration


@dataclass(frozen=True)
class Piece:
    """One piece of work.

    what: is done, for people ("training").
    run: the run's address.
    key: names the result: settings, rows, what it is made from, code.
    folder: where it appears whole, in `work/`.
    out: its place.
    make: writes a folder's files, all but `proof`, and returns what `proof` records beside the cost.
    proof: JSON file that names the key; it is put in place last.
    kept: names of the other files and folders that are put in place; None: all.
    seed: of everything random that `make` does not seed by itself.
    size: how much work it is, compared with other pieces of its kind.
    then: another piece that can be made from this one at once.
    """

    what: str
    run: str
    key: str
    folder: Path
    out: Path
    make: Callable[[Path], dict[str, Any]]
    proof: str = "run.json"
    kept: tuple[str, ...] | None = None
    seed: int = 0
    size: int = 0
    then: Callable[[], Piece | None] = lambda: None

    def is_finished(self) -> bool:
        """Whether it waits in `work/` to be put in place."""
        return (self.folder / self.proof).is_file()

    def is_in_place(self) -> bool:
        """Whether just this piece stands in its place."""
        path = self.out / self.proof
        return path.is_file() and read_json(path).get("key") == self.key

    @property
    def leases(self) -> Path:
        """Folder of leases."""
        return self.folder.parent.parent / "leases"


@dataclass
class Clock:
    """What a piece alone costs: wall and CPU seconds since the clock was made."""

    wall: float = field(default_factory=time.monotonic)
    cpu: float = field(default_factory=time.process_time)

    def cost(self) -> dict[str, Any]:
        """End, wall seconds, CPU seconds, peak memory."""
        return {
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "wall_seconds": round(time.monotonic() - self.wall, 2),
            "cpu_seconds": round(time.process_time() - self.cpu, 2),
            "peak_memory": peak_memory_mb(),
        }


def work_through(own: Piece, others: Callable[[], Iterable[Piece]] | None, warm_up: Callable[[], None]) -> None:
    """Make `own`, unless it is there already, and put it in place; before that, go on with `others`.

    While another process makes `own`, this one makes others, and only waits when there is none.

    Args:
        own: the piece that this process was started for.
        others: pieces that are ready, in the order in which they should be made; asked again after each. None: no batch.
        warm_up: whatever making needs that putting in place does not: the device, heavy imports.

    Raises:
        LeaseLost: another process took the piece over.
    """
    making = _Making(own, others, warm_up)
    lease = take(own.leases, own.key, own.run, own.what)
    while isinstance(lease, Holder) and making.one_of_the_others():
        lease = take(own.leases, own.key, own.run, own.what)
    if isinstance(lease, Holder):
        lease = wait_for(own.leases, own.key, own.run, own.what)
    try:
        if own.is_finished():
            print(f"{own.what}: nothing to do, {_story(own.folder / own.proof)}", flush=True)
        elif own.is_in_place():
            print(f"{own.what}: nothing to do, it is in place: {_story(own.out / own.proof)}", flush=True)
            return
        else:
            making.own(lease)
            while making.one_of_the_others():
                pass
        put_in_place(own)
    finally:
        lease.release()


def _story(proof: Path) -> str:
    """By which process and when a piece was made."""
    made = read_json(proof)
    job = made.get("job", {})
    slurm = f" (Slurm job {job['slurm_job_id']})" if job.get("slurm_job_id") else ""
    return (
        f"made by process {job.get('process', '?')} on {job.get('host', '?')}{slurm} in the job of {job.get('run', '?')}, "
        f"finished {made.get('finished', '?')}, {duration(made.get('wall_seconds', 0))}"
    )


def _seed(seed: int) -> None:
    """Start every random generator afresh, so that a run does not depend on what its process did before."""
    random.seed(seed)
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed(seed % 2**32)
    if (torch := sys.modules.get("torch")) is not None:
        torch.manual_seed(seed)


class _Making:
    """What one process makes: its own piece, and others that nobody has made or is making."""

    def __init__(self, own: Piece, others: Callable[[], Iterable[Piece]] | None, warm_up: Callable[[], None]) -> None:
        self.piece, self.others, self.warm_up = own, others, warm_up
        self.is_warm = False
        self.tried = {own.key}

    def own(self, lease: Lease) -> None:
        """Make the process's own piece and, in a batch, what can be made from it at once."""
        self._make(self.piece, lease)
        if self.others is not None:
            self._follow(self.piece)

    def one_of_the_others(self) -> bool:
        """Make the first of them that was not tried yet; False where there is none. One that fails is left to its own job."""
        for piece in self.others() if self.others is not None else ():
            if piece.key not in self.tried and not piece.is_finished() and not piece.is_in_place():
                self.tried.add(piece.key)
                if self._try(piece, follow=True):
                    return True
        return False

    def _follow(self, piece: Piece) -> None:
        """Make what can be made from `piece` at once, while its lease keeps its folder where it is."""
        more = piece.then()
        if more is not None and not more.is_finished():
            self._try(more, follow=False)

    def _try(self, piece: Piece, follow: bool) -> bool:
        """Whether it was this process that took the piece up."""
        lease = take(piece.leases, piece.key, piece.run, piece.what)
        if isinstance(lease, Holder):
            return False
        job = self.piece.run
        try:
            if piece.is_finished() or piece.is_in_place():
                return False
            print(f"--- batch of {job}: {piece.what} {piece.run}, whose own job will find it done", flush=True)
            self._make(piece, lease)
            if follow:
                self._follow(piece)
        except Stopped:
            raise
        except Exception as error:
            said = (str(error).strip().splitlines() or [""])[0]
            print(f"--- left to its own job: {piece.what} {piece.run} ({type(error).__name__}: {said})", flush=True)
        finally:
            lease.release()
            free_memory()
        return True

    def _make(self, piece: Piece, lease: Lease) -> None:
        if not self.is_warm:
            self.warm_up()
            stop_on_sigterm()
            self.is_warm = True
        partial = piece.folder.with_name(f"{piece.key}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        _seed(piece.seed)
        reset_peak_memory()
        clock = Clock()
        made = piece.make(partial)
        me = {
            "run": self.piece.run,
            "host": socket.gethostname(),
            "process": os.getpid(),
            "slurm_job_id": os.environ.get("SLURM_JOB_ID"),
        }
        cost = clock.cost()
        write_json(partial / piece.proof, {"key": piece.key, **made, **cost, "job": me})
        lease.check()
        partial.rename(piece.folder)
        seconds = f"{duration(cost['wall_seconds'])}, {cost['cpu_seconds']:.1f} CPU-seconds"
        print(f"{piece.what} {piece.run}: done in {seconds}", flush=True)


def put_in_place(piece: Piece) -> None:
    """Move a finished piece's files to their place, the proof last, and drop what is left of it in `work/`, its state too."""
    piece.out.mkdir(parents=True, exist_ok=True)
    names = piece.kept or sorted(path.name for path in piece.folder.iterdir() if path.name != piece.proof)
    for name in (*names, piece.proof):
        source, target = piece.folder / name, piece.out / name
        beside = piece.out / f".{name}.{os.getpid()}"
        try:
            if source.is_dir():
                shutil.copytree(source, beside)
                shutil.rmtree(target, ignore_errors=True)
            else:
                shutil.copy2(source, beside)
            beside.replace(target)
        except BaseException:  # a full disk
            shutil.rmtree(beside, ignore_errors=True) if source.is_dir() else beside.unlink(missing_ok=True)
            raise
    shutil.rmtree(piece.folder.with_name(f"{piece.key}.state"), ignore_errors=True)
    done = piece.folder.with_name(f"{piece.key}.placed")  # a folder half removed must not look finished
    shutil.rmtree(done, ignore_errors=True)
    piece.folder.rename(done)
    shutil.rmtree(done)
