"""What a run's programs said, and who of them held its lease: Snakemake deletes a job's log when it starts it again."""

import os
import re
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

from rl4nlu.base.leases import read_holder


class Watch(threading.Thread):
    """Reads, five times a second until `stop`, the logs of training runs and the leases on them.

    It lets programs make no step more as soon as they have saved a state, until Slurm's signals wake them: a program
    lasts a few seconds, and a test that looks itself may come too late.
    """

    def __init__(self, folder: Path, runs: dict[str, str], freeze: dict[str, int]) -> None:
        """`folder` is the workflow's; by method: addresses of `runs`, and how many of its programs to `freeze`, the first ones."""
        super().__init__(daemon=True)
        self.folder, self.runs, self.freeze = folder, runs, freeze
        self.frozen = dict.fromkeys(runs, 0)
        self.said: dict[str, list[str]] = {method: [] for method in runs}
        self.since = dict.fromkeys(runs, 0.0)
        self.holders: dict[str, list[int]] = {method: [] for method in runs}
        self._done = threading.Event()
        self.start()

    def run(self) -> None:
        while not self._done.wait(0.2):
            self.look()
            for method, run in self.runs.items():
                nth = len(self.said[method])
                if nth == self.frozen[method] + 1 <= self.freeze[method] and self.on_its_way(method):
                    for process in programs(self.folder, run):
                        with suppress(ProcessLookupError):  # it ended meanwhile
                            os.kill(process, signal.SIGSTOP)
                    self.frozen[method] = nth

    def stop(self) -> None:
        self._done.set()
        self.join()
        self.look()

    def look(self) -> None:
        for method, run in self.runs.items():
            self.look_at(method, self.folder / "logs" / f"{run}.train.log")
        for path in (self.folder / "work" / "leases").glob("*.lease"):
            holder = read_holder(path)
            for method, run in self.runs.items():
                if holder and (holder.what, holder.run) == ("training", run):
                    held = self.holders[method]
                    if held[-1:] != [holder.process]:
                        held.append(holder.process)

    def look_at(self, method: str, log: Path) -> None:
        """Keep what the log holds now; one that does not go on from what was kept last is another process's."""
        said, text = self.said[method], ""
        with suppress(FileNotFoundError):  # it is deleted before every start
            text = log.read_text(errors="replace")
        if "process " not in text:
            return
        if said and text.startswith(said[-1]):
            said[-1] = text
        else:
            said.append(text)
            self.since[method] = time.time()

    def on_its_way(self, method: str) -> bool:
        """Whether the run's latest program has saved a state, and was not stopped."""
        newest = 0.0
        with suppress(FileNotFoundError):  # the last but one is dropped while they are looked at
            newest = max((p.stat().st_mtime for p in self.folder.glob(f"work/{method}/*.state/*/*.pt")), default=0.0)
        said = self.said[method]
        return bool(said) and "stopped" not in said[-1] and newest > self.since[method]

    def processes(self, method: str) -> list[int]:
        """Process ids of the run's programs, in their order, as their logs begin."""
        return [int(re.search(r"process (\d+)", text)[1]) for text in self.said[method]]

    def stretches(self, method: str, end: int) -> list[tuple[int, int]]:
        """First step less one and last step that each process trained; the last one ended at `end`."""
        begun = [re.search(r"going on after step (\d+)", text) for text in self.said[method]]
        stopped = [re.search(r"stopped by SIGTERM after step (\d+): saved", text) for text in self.said[method]]
        assert stopped[-1] is None, self.said[method][-1]
        ends = [int(found[1]) if found else -1 for found in stopped[:-1]]
        return list(zip((int(found[1]) if found else 0 for found in begun), [*ends, end], strict=True))


def programs(folder: Path, run: str) -> list[int]:
    """Process ids of the program that works on a run of the checkout `folder`, and of the shell around it."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended meanwhile
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if f"--run {run} " in words and (entry / "cwd").resolve() == folder.resolve():
                found.append(int(entry.name))
    return found
