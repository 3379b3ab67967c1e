"""Leases: no piece of work is done twice at once, on one machine or on many that share a folder.

A lease is a small file, named after the work's key, that says who holds it. It appears whole by a hard link, which
is atomic on NFS, too, and is touched by a thread as long as its holder lives. A holder is dead when its process is gone
(seen from the same host), or when its file was not touched for `PATIENCE` seconds (seen from another host). Ages are
taken between two files of the folder, so that clocks of hosts need not agree.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from .errors import LeaseLost

BEAT = 20.0
"""Seconds between two touches of a lease."""

PATIENCE = 300.0
"""Seconds without a touch after which a holder on another host counts as dead."""

_numbers = itertools.count()


def process_birth(process: int) -> str | None:
    """When a process of this host began (in ticks after the boot; a reused id has another); None where it is gone or defunct."""
    try:
        text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name before it may hold anything
    return None if fields[0] in "ZX" else fields[19]


def this_host() -> str:
    """Names what process ids are unique in: the host and, as containers have their own, the namespace of its ids."""
    with suppress(OSError):
        return f"{socket.gethostname()} {os.readlink('/proc/self/ns/pid')}"
    return socket.gethostname()


@dataclass(frozen=True)
class Holder:
    """Who holds a lease, for what, and since when."""

    run: str
    what: str
    host: str
    process: int
    birth: str | None
    slurm_job_id: str | None
    since: str

    @classmethod
    def me(cls, run: str, what: str) -> Holder:
        """This process."""
        return cls(
            run=run,
            what=what,
            host=this_host(),
            process=os.getpid(),
            birth=process_birth(os.getpid()),
            slurm_job_id=os.environ.get("SLURM_JOB_ID"),
            since=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def __str__(self) -> str:
        job = f" of Slurm job {self.slurm_job_id}" if self.slurm_job_id else ""
        return f"process {self.process}{job} on {self.host.split()[0]} (since {self.since})"

    def is_dead(self, age: float) -> bool:
        """Whether the holder is gone; `age` is the time since its lease was last touched, in seconds."""
        if self.birth is None or self.host != this_host():
            return age > PATIENCE
        return process_birth(self.process) != self.birth


def read_holder(path: Path) -> Holder | None:
    """The holder that a lease names; None where there is no lease."""
    try:
        return Holder(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):  # left broken by a crash of its host: it expires by its age
        return Holder("a run", "work on", "an unknown host", 0, None, None, "an unknown time")


class Lease:
    """A held lease; `release` ends it."""

    def __init__(self, path: Path, holder: Holder) -> None:
        self.path, self.holder = path, holder
        self._released = threading.Event()
        threading.Thread(target=self._beat, name=f"lease {path.name}", daemon=True).start()

    def _beat(self) -> None:
        while not self._released.wait(BEAT):
            with suppress(OSError):  # a file server may be away for a while
                if read_holder(self.path) == self.holder:
                    os.utime(self.path)

    def check(self) -> None:
        """Make sure that the lease is still held.

        Raises:
            LeaseLost: it is not; what was made meanwhile must not be put anywhere.
        """
        found = read_holder(self.path)
        if found != self.holder:
            raise LeaseLost(f"the lease on {self.holder.what} {self.holder.run} was taken over by {found or 'nobody'}")

    def release(self) -> None:
        """Give the lease up, once; one that was taken over stays with its new holder."""
        if self._released.is_set():
            return
        self._released.set()
        with _guard(self.path.parent):
            if read_holder(self.path) == self.holder:
                self.path.unlink()


@contextmanager
def _guard(folder: Path) -> Iterator[None]:
    """Only one process of the folder at a time removes leases; the lock ends with its process, however it ends."""
    with (folder / ".guard").open("w") as handle:
        with suppress(OSError):  # a file system without locks: two takers in the same instant may then both win
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def lease_age(path: Path) -> float:
    """Seconds since a lease was touched, by the clock of this host: for people, who may look without writing anything."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _age(path: Path, now: Path) -> float:
    """Seconds from the last touch of `path` to that of `now`, by the clock of the file server."""
    try:
        return now.stat().st_mtime - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def take(folder: Path, key: str, run: str, what: str) -> Lease | Holder:
    """The lease on `key`, or who holds it.

    Args:
        folder: of leases.
        key: names the work.
        run: address of the run, for people.
        what: is done with it ("training"), for people.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, mine = folder / f"{key}.lease", Holder.me(run, what)
    beside = folder / f".{key}.{socket.gethostname()}.{os.getpid()}.{next(_numbers)}"
    beside.write_text(json.dumps(asdict(mine)), encoding="utf-8")
    try:
        while not _link(beside, path):
            os.utime(beside)
            found = read_holder(path)
            if found is None:
                continue  # given up this very moment
            if not found.is_dead(_age(path, beside)):
                return found
            with _guard(folder):
                if read_holder(path) == found and found.is_dead(_age(path, beside)):
                    print(f"the lease on {found.what} {found.run} has expired: {found} is gone", flush=True)
                    path.unlink()
    finally:
        beside.unlink(missing_ok=True)
    return Lease(path, mine)


def _link(beside: Path, path: Path) -> bool:
    """Make the lease appear; whether it did (NFS may repeat a request that succeeded and report that it failed)."""
    try:
        os.link(beside, path)
    except FileExistsError:
        return beside.stat().st_nlink == 2
    return True


def wait_for(
    folder: Path, key: str, run: str, what: str, say: Callable[[str], None] = lambda line: print(line, flush=True)
) -> Lease:
    """The lease on `key`, as soon as its holder gives it up or dies; who it is waited for is said once each."""
    told: Holder | None = None
    pause = 0.1
    while isinstance(got := take(folder, key, run, what), Holder):
        if got != told:
            say(f"waiting: {what} {run} is in the hands of {got}")
            told = got
        time.sleep(pause)
        pause = min(2 * pause, 2.0)
    if told is not None:
        say("the wait is over")
    return got
