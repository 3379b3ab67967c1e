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
RUNS = {
    "sft": "micro-llama/sft/sst2/main/seed0",
    "ppo": "micro-llama/ppo/sst2/main/seed0",
    "grpo": "micro-llama/grpo/sst2/main/seed0",
    "encoder": "micro-bert-base/encoder/sst2/main/seed0",
    "reward_model": "micro-llama/reward-label/rllr-sst2/main/seed0",
    "rllr": "micro-llama/rllr-mixed/rllr-sst2/main/seed0",
    "pretrain": "pretrained/micro-llama",
    "answer": "micro-llama/sft/sst2/main/seed0",
    "prompting": "micro-llama/few-shot/none/main/seed0",
}
STAGES = tuple(RUNS)
CHAIN = {
    # what a reward model and PPO against it stand on, and the programs that make it
    "micro-llama/sft-rationale/rllr-sst2/main/seed0": "sft",
    "micro-llama/merged-backbone/rllr-sst2/main/seed0": "merging",
    "micro-llama/pairs/rllr-sst2/main/seed0": "pairs",
    "micro-llama/reward-label/rllr-sst2/main/seed0": "reward_model",
    "micro-llama/reward-rationale/rllr-sst2/main/seed0": "reward_model",
}
LONGER: dict[str, Any] = {
    # config/smoke.yaml, long enough for a kill to find something saved, and with two candidates where one takes little
    "save_every_seconds": 0.3,
    "batch": False,
    "data": {"source": "microworld", "train_rows": 300, "validation_rows": 40, "test_rows": 400},
    "sft": {"prompts": 640, "learning_rates": [3e-3, 1e-2], "lora": {"dropout": 0.1}},
    "ppo": {"prompts": 512, "batch_size": 32, "minibatch_size": 32, "epochs": 2, "evaluate_every": 5},
    "grpo": {"prompts": 96, "batch_size": 8, "minibatch_size": 32, "epochs": 2},
    "encoder": {"prompts": 640},
    "reward_model": {"pairs": 480, "batch_size": 16},
    "rllr": {"prompts": 256, "batch_size": 32, "minibatch_size": 32, "evaluate_every": 3},
    "evaluation": {"bootstrap": 200, "batch_tokens": 1024},
}
PRETRAINED = ["--tokens", "60000", "--probe-every", "25000", "--probe-rows", "5", "--save-every-seconds", "0.3"]
TIMES = {"seconds", "cpu_seconds", "wall_seconds", "samples_per_second", "samples_per_cpu_second"}


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def program(name: str, *options: str) -> list[str]:
    """Command of one of the workflow's programs."""
    return [sys.executable, str(ROOT / "workflow" / "scripts" / f"{name}.py"), *options]


@dataclass(frozen=True)
class Place:
    """Where a stage's run works and what it leaves."""

    stage: str
    folder: Path
    shared: Path

    @property
    def run(self) -> Path:
        """Folder of the run."""
        return self.folder / "results" / RUNS[self.stage]

    @property
    def out(self) -> Path:
        """What the stage makes."""
        return self.run / "answers" if self.stage == "answer" else self.run

    @property
    def command(self) -> list[str]:
        """The stage's program, as its rule runs it."""
        if self.stage == "pretrain":
            options = ["--model", Path(RUNS["pretrain"]).name, *PRETRAINED]
        else:
            options = ["--config", str(self.shared / "config.yaml"), "--run", RUNS[self.stage]]
            options += ["--data", str(self.shared / "data")]
        options += ["--work", str(self.folder / "work"), "--out", str(self.out)]
        if self.stage == "answer":
            options += ["--trained", str(self.shared / "sft" / "results" / RUNS["sft"])]
        return program(self.stage, *options)

    def start(self) -> subprocess.Popen[bytes]:
        """A process of the run; its log grows."""
        for foundation in CHAIN:
            there, here = self.shared / "results" / foundation, self.folder / "results" / foundation
            if there.is_dir() and here != self.run and not here.exists():
                here.parent.mkdir(parents=True, exist_ok=True)
                here.symlink_to(there)
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(self.command, stdout=log, stderr=log, env=ENVIRONMENT, cwd=self.folder)

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
        work = self.folder / "work"
        try:
            return any(
                True
                for pattern in ("*/*.state/**/*.pt", "answering/*.jsonl", "prompting/*.jsonl")
                for _ in work.glob(pattern)
            )
        except FileNotFoundError:  # a folder was dropped while it was read
            return False

    def results(self) -> dict[str, Any]:
        """All that the run left, without clocks, by file."""
        found: dict[str, Any] = {}
        for path in sorted(self.out.rglob("*")):
            name = str(path.relative_to(self.out))
            if path.name == "answers.json":
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

    def resumed(self) -> str:
        """Steps (of all candidates), or rows, that the last process did not repeat; "all" where only the outputs were not in place."""
        last = self.log.rpartition("command: ")[2]
        if "nothing to do" in last:
            return "all"
        found = re.findall(r"going on after step (\d+)", last) + re.findall(r"(\d+) rows were answered", last)
        return str(sum(map(int, found)))


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
    """Steps (of all candidates) of the undisturbed run; 0 for stages that answer rows."""
    if place.stage in ("answer", "prompting"):
        return 0
    if place.stage == "pretrain":
        return int(json.loads((place.out / "record.json").read_text())["steps"])
    lines = (place.out / "history.jsonl").read_text().splitlines()
    candidates = json.loads((place.out / "run.json").read_text())["facts"].get("candidates", [None])
    return int(json.loads(lines[-1])["step"]) * len(candidates)


def prepare(shared: Path, chain: bool) -> None:
    """Config, rows and, for `chain`, what the second paper's stages stand on, made once below `shared`."""
    config = yaml.safe_load((ROOT / "config" / "smoke.yaml").read_text()) | LONGER | {"folder": str(shared)}
    (shared / "config.yaml").write_text(yaml.safe_dump(config))
    common, data, work = ["--config", str(shared / "config.yaml")], shared / "data", str(shared / "work")
    for task in ("sst2", "rllr-sst2") if chain else ("sst2",):
        made = program("prepare_data", *common, "--task", task, "--out", str(data / task))
        subprocess.run(made, check=True, env=ENVIRONMENT)
    if not chain:
        return
    common += ["--data", str(data), "--work", work]
    made = program("rationales", *common, "--task", "rllr-sst2", "--out", str(data / "rllr-sst2"))
    subprocess.run(made, check=True, env=ENVIRONMENT)
    for address, stage in CHAIN.items():
        made = program(stage, *common, "--run", address, "--out", str(shared / "results" / address))
        done = subprocess.run(made, env=ENVIRONMENT, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{address} failed:\n{done.stdout}{done.stderr}")


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
        prepare(shared, chain=bool({"reward_model", "rllr"} & set(arguments.stages)))
        needed = [s for s in STAGES if s in arguments.stages or (s == "sft" and "answer" in arguments.stages)]
        expected, spans, totals = {}, {}, {}
        for stage in needed:
            place = Place(stage, shared / stage, shared)
            spans[stage] = undisturbed(place)
            expected[stage], totals[stage] = place.results(), work_of(place)
            told = "first saved after {:.1f} s of processor time, done after {:.1f} s, ended after {:.1f} s"
            print(f"{stage}: undisturbed: {told.format(*spans[stage])}", flush=True)

        print(f"\n{'':4}{'stage':13}{'killed after':>13}{'not repeated':>18}  result")
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
            print(f"{number + 1:<4}{stage:13}{hit:>11.2f} s{place.resumed():>7} {unit:<11} {told}", flush=True)
            shutil.rmtree(place.folder)
    print(f"\n{identical} of {arguments.kills} identical")
    return 0 if identical == arguments.kills else 1


if __name__ == "__main__":
    sys.exit(main())
