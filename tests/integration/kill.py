"""`kill -9` at random moments: does every run end with the numbers of an undisturbed one?

    python tests/integration/kill.py --kills 20 --seed 0

Every stage is run once undisturbed. Then a fresh run of a stage is killed at a moment drawn by the seed, and started again
with the same command until it ends; its weights, history, facts and scores are compared with the undisturbed run's,
bit by bit (clocks apart). Prints a table; exits with status 1 where anything differs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
STAGES = ("sft", "ppo", "encoder", "evaluate", "prompting")
RUNS = {
    "sft": "micro-llama/sft/sst2/main/seed0",
    "ppo": "micro-llama/ppo/sst2/main/seed0",
    "encoder": "micro-bert-base/encoder/sst2/main/seed0",
    "evaluate": "micro-llama/sft/sst2/main/seed0",
    "prompting": "micro-llama/few-shot/none/main/seed0",
}
LONGER: dict[str, Any] = {
    # config/smoke.yaml, long enough for a kill to find something saved, and with two candidates where one takes little
    "save_every_seconds": 0.3,
    "data": {"source": "microworld", "train_rows": 300, "validation_rows": 40, "test_rows": 400},
    "sft": {"prompts": 640, "learning_rates": [3e-3, 1e-2], "lora": {"dropout": 0.1}},
    "ppo": {"prompts": 512, "batch_size": 32, "minibatch_size": 32, "epochs": 2, "evaluate_every": 5},
    "encoder": {"prompts": 640},
    "evaluation": {"bootstrap": 200, "batch_tokens": 1024},
}
TIMES = {"seconds", "cpu_seconds", "samples_per_second", "samples_per_cpu_second"}


@dataclass(frozen=True)
class Place:
    """Where a stage's run works and what it leaves."""

    stage: str
    folder: Path
    shared: Path

    @property
    def command(self) -> list[str]:
        """The stage's program, as its rule runs it."""
        out = self.folder / ("out/evaluation" if self.stage == "evaluate" else "out")
        command = [sys.executable, str(ROOT / "workflow" / "scripts" / f"{self.stage}.py")]
        command += ["--config", str(self.shared / "config.yaml"), "--run", RUNS[self.stage]]
        command += ["--data", str(self.shared / "data"), "--work", str(self.folder / "work"), "--out", str(out)]
        return command + (["--trained", str(self.shared / "sft" / "out")] if self.stage == "evaluate" else [])

    def start(self) -> subprocess.Popen[bytes]:
        """A process of the run; its log grows."""
        self.folder.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(self.command, stdout=log, stderr=log, env=environment, cwd=self.folder)

    def finish(self) -> None:
        """Run to the end."""
        if self.start().wait() != 0:
            raise SystemExit(f"{self.stage} failed:\n{self.log}")

    @property
    def log(self) -> str:
        """What all processes of the run printed."""
        return (self.folder / "log").read_text(errors="replace")

    def saved(self) -> bool:
        """Whether a state, or an answered row, lies in work/."""
        return any(
            True for pattern in ("*/*.state/*/*.pt", "evaluate/*.jsonl") for _ in (self.folder / "work").glob(pattern)
        )

    def results(self) -> dict[str, Any]:
        """All that the run left, without clocks, by file."""
        found: dict[str, Any] = {}
        for path in sorted((self.folder / "out").rglob("*")):
            name = str(path.relative_to(self.folder / "out"))
            if path.name == "scores.json":
                continue  # says when and by which process the scores were made
            if path.suffix == ".json":
                value = json.loads(path.read_text())
                if "target_modules" in value:
                    value["target_modules"].sort()  # a set, in PEFT
                found[name] = without_times(value["facts"] if name == "run.json" else value)
            elif path.name == "history.jsonl":
                found[name] = [without_times(json.loads(line)) for line in path.read_text().splitlines()]
            elif path.is_file():
                found[name] = path.read_bytes()
        left = [p.name for p in (self.folder / "work").glob("*/*")]
        return {**found, "left in work/": left}

    def resumed(self) -> int:
        """Steps (of all candidates), or rows, that the last process did not repeat."""
        last = self.log.rpartition("command: ")[2]
        return sum(
            map(int, re.findall(r"going on after step (\d+)", last) + re.findall(r"(\d+) rows were answered", last))
        )


def without_times(value: Any) -> Any:
    """A record without what a clock says."""
    if isinstance(value, dict):
        return {key: without_times(inner) for key, inner in value.items() if key not in TIMES}
    return [without_times(inner) for inner in value] if isinstance(value, list) else value


def cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    """Processor time of a running process: on a busy machine the same work takes the same of it (Linux)."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def undisturbed(place: Place) -> tuple[float, float, float]:
    """Run to the end; processor time until something was saved, until the saved was dropped, and until the end."""
    process, saved, last = place.start(), [], 0.0
    while process.poll() is None:
        last = cpu_seconds(process)
        if place.saved():
            saved.append(last)
        time.sleep(0.005)
    if process.returncode != 0:
        raise SystemExit(f"{place.stage} failed:\n{place.log}")
    return min(saved, default=last), max(saved, default=last), last


def killed(place: Place, when: float, saved: bool) -> float | None:
    """Kill a fresh run `when` seconds of processor time behind its start, or (`saved`) behind what it saves first.

    Returns the processor time that it had; None where it ended before.
    """
    process, since = place.start(), None if saved else 0.0
    while process.poll() is None:
        now = cpu_seconds(process)
        if since is None and place.saved():
            since = now
        if since is not None and now - since >= when:
            process.send_signal(signal.SIGKILL)
            return now if process.wait() == -signal.SIGKILL else None
        time.sleep(0.005)
    return None


def work_of(place: Place) -> int:
    """Steps of all candidates, or rows asked, of the undisturbed run."""
    facts = place.folder / "out" / "run.json"
    if place.stage in ("sft", "ppo", "encoder"):
        lines = (place.folder / "out" / "history.jsonl").read_text().splitlines()
        return int(json.loads(lines[-1])["step"]) * len(json.loads(facts.read_text())["facts"]["candidates"])
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run, kill, compare, print; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    arguments = parser.parse_args(argv)
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory(prefix="rl4nlu-kill-") as name:
        shared = Path(name)
        config = yaml.safe_load((ROOT / "config" / "smoke.yaml").read_text()) | LONGER | {"folder": name}
        (shared / "config.yaml").write_text(yaml.safe_dump(config))
        prepare = [sys.executable, str(ROOT / "workflow" / "scripts" / "prepare_data.py")]
        prepare += ["--config", str(shared / "config.yaml"), "--task", "sst2", "--out", str(shared / "data" / "sst2")]
        subprocess.run(prepare, check=True, env={**os.environ, "PYTHONPATH": str(ROOT / "src")})

        needed = [s for s in STAGES if s in arguments.stages or (s == "sft" and "evaluate" in arguments.stages)]
        expected, spans, totals = {}, {}, {}
        for stage in needed:
            place = Place(stage, shared / stage, shared)
            spans[stage] = undisturbed(place)
            expected[stage], totals[stage] = place.results(), work_of(place)
            told = "first saved after {:.1f} s of processor time, done after {:.1f} s, ended after {:.1f} s"
            print(f"{stage}: undisturbed: {told.format(*spans[stage])}", flush=True)

        print(f"\n{'':4}{'stage':11}{'killed after':>13}{'not repeated':>18}  result")
        identical = 0
        for number in range(arguments.kills):
            stage = arguments.stages[number % len(arguments.stages)]
            place, hit = Place(stage, shared / f"kill{number}", shared), None
            while hit is None:  # ended before the moment came: another moment
                shutil.rmtree(place.folder, ignore_errors=True)
                first, done, end = spans[stage]
                saved = rng.random() >= 1 / 8  # seven in eight while there is something to lose
                hit = killed(place, rng.uniform(0, done - first if saved else end), saved)
            place.finish()
            found = place.results()
            differing = sorted(
                n for n in found.keys() | expected[stage].keys() if found.get(n) != expected[stage].get(n)
            )
            identical += not differing
            unit = f"of {totals[stage]} steps" if totals[stage] else "rows"
            told = "identical" if not differing else f"DIFFERS in {', '.join(differing)}"
            print(f"{number + 1:<4}{stage:11}{hit:>11.2f} s{place.resumed():>7} {unit:<11} {told}", flush=True)
            shutil.rmtree(place.folder)
    print(f"\n{identical} of {arguments.kills} identical")
    return 0 if identical == arguments.kills else 1


if __name__ == "__main__":
    sys.exit(main())
