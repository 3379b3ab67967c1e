"""`bits: portable`: a short run of every method on this processor and, emulated, on an Intel and an AMD processor with AVX2.

Every method trains for a few steps on the microworld and answers a few rows: on this machine, and under QEMU's user
emulation, whose processors have AVX2 and no AVX-512. Digests of weights and answers must be the same everywhere; where one
is not, the program ends with status 1. Then one SFT and one PPO run of the default's budget say what portable bits cost here.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import statistics
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import measure

EMULATED = {"Haswell (Intel, emulated)": "Haswell", "EPYC Milan (AMD, emulated)": "EPYC-Milan"}
"""Machines by name -> as `qemu-x86_64 -cpu` knows their processors."""

HERE = "this processor"

SHORT: dict[str, Any] = {
    "name": "short",
    "data": {"source": "microworld", "train_rows": 24, "validation_rows": 2, "test_rows": 2},
    "rationales": {"max_tokens": 16},
    "prompting": {"shots": [1]},
    "sft": {"prompts": 16, "batch_size": 8},
    "ppo": {"prompts": 8, "batch_size": 4, "minibatch_size": 4, "epochs": 2},
    "grpo": {"prompts": 2, "batch_size": 1, "minibatch_size": 4, "epochs": 2},
    "raft": {"prompts": 2, "batch_size": 1, "minibatch_size": 4, "epochs": 2},
    "encoder": {"prompts": 16, "batch_size": 8},
    "reward_encoder": {"prompts": 4, "validation_prompts": 2, "rankings": 8, "batch_size": 4},
    "ppo_rm": {"prompts": 4, "batch_size": 4, "minibatch_size": 4, "epochs": 2},
    "sft_rationale": {"prompts": 16, "batch_size": 8},
    "pairs": {"prompts": 8, "validation_prompts": 2},
    "reward_model": {"pairs": 8, "batch_size": 4},
    "rllr": {"prompts": 4, "batch_size": 4, "minibatch_size": 4},
    "grid": [
        {"method": "few-shot", "models": ["micro-llama"], "tasks": ["sst2"]},
        {"method": "sft", "models": ["micro-llama", "micro-qwen2", "micro-mpt"], "mixtures": ["sst2"]},
        *({"method": name, "models": ["micro-llama"], "mixtures": ["sst2"]} for name in ("ppo", "grpo", "raft")),
        {"method": "encoder", "models": ["micro-bert-base"], "mixtures": ["sst2"]},
        *(
            {"method": name, "models": ["micro-llama"], "mixtures": ["rllr-sst2"]}
            for name in ("rlhf", "rllr", "rllr-mixed", "ppo-rationale", "ppo-rm")
        ),
    ],
}
"""Every method that computes: those that others stand on come with them."""

PRICED = {
    "name": "priced",
    "data": {"source": "microworld"},
    "grid": [{"method": name, "models": ["micro-llama"], "mixtures": ["sst2"]} for name in ("sft", "ppo")],
}
"""The default's budget for one task."""


class Workflow:
    """A folder in which a config's runs are made by the workflow's own programs, all in this process."""

    def __init__(self, folder: Path, values: dict[str, Any]) -> None:
        from rl4nlu.config import load_config
        from rl4nlu.runs.grid import open_grid

        self.folder, self.file, self.config = folder, folder / "config.json", load_config(values)
        self.file.write_text(json.dumps(values))
        self.grid = open_grid(self.config)

    def prepare(self) -> None:
        """Rows and rationales of every task."""
        from rl4nlu.rationales.writing import write_rationales
        from rl4nlu.tasks.prepare import prepare

        data, work = self.folder / "data", self.folder / "work" / "rationales"
        runs = self.grid.runs.values()
        for task in {task.name: task for run in runs for task in (*run.train_tasks, *run.eval_tasks)}.values():
            prepare(task, self.config.data, data / task.name)
            write_rationales(task, self.config.rationales, data, work, data / task.name)

    def make(self, path: str) -> Path:
        """The folder of a run, made with what it stands on, and asked if its method answers."""
        from rl4nlu.config import METHODS, PROMPTING_METHODS
        from rl4nlu.jobs.programs import answering_program, prompting_program, training_program
        from rl4nlu.runs.spec import Address

        spec, out = self.grid.runs[Address.parse(path)], self.folder / "results" / path
        if (out / "run.json").is_file():
            return out
        for below in spec.foundations.values():
            self.make(below)
        named = {"config": self.file, "run": path, "data": self.folder / "data", "work": self.folder / "work"}
        shared = [part for name, value in named.items() for part in (f"--{name}", str(value))]
        method = METHODS[spec.method]
        if spec.method in PROMPTING_METHODS:
            prompting_program([*shared, "--out", str(out)])
            return out
        training_program(str(method.program), [*shared, "--out", str(out)])
        if method.scored:
            answering_program([*shared, "--trained", str(out), "--out", str(out / "answers")])
        return out


def digest(files: list[Path]) -> str:
    """Eight digits that name the content of files; a dash where there are none."""
    content = hashlib.sha256()
    for path in sorted(files):
        content.update(path.read_bytes())
    return content.hexdigest()[:8] if files else "-"


def short(job: dict[str, Any], clock: measure.Clock) -> dict[str, Any]:
    """Digests of weights and answers of every run, by address, and the kernels that its process recorded."""
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(sys.stderr), clock:
        flow, found, kernels = Workflow(Path(folder), job["config"]), {}, None
        flow.prepare()
        for address in flow.grid.runs:
            out = flow.make(address.path)
            answers = [*out.glob("answers/*.jsonl"), *out.glob("*.jsonl")]
            answers = [path for path in answers if path.name != "history.jsonl"]
            found[address.path] = {"weights": digest([*out.rglob("*.safetensors")]), "answers": digest(answers)}
            kernels = json.loads((out / "run.json").read_text())["environment"]["kernels"]
            measure.note(f"  {job['machine']}: {address.path}: {found[address.path]}")
    return {"digests": found, "kernels": kernels}


def priced(job: dict[str, Any], clock: measure.Clock) -> dict[str, Any]:
    """CPU-seconds of training by method, as its run records them: without imports."""
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(sys.stderr), clock:
        flow = Workflow(Path(folder), job["config"])
        flow.prepare()
        records = {a.method: json.loads((flow.make(a.path) / "run.json").read_text()) for a in flow.grid.runs}
    return {method: record["cpu_seconds"] for method, record in records.items()}


def compare(arguments: argparse.Namespace) -> None:
    """All machines side by side, then what differs, then the price."""
    if (qemu := shutil.which("qemu-x86_64")) is None:
        raise measure.Absent("qemu-x86_64 is needed: package qemu-user of the system")
    emulators = {HERE: [], **{name: [qemu, "-cpu", cpu] for name, cpu in EMULATED.items()}}
    record: dict[str, Any] = {"config": SHORT, "machines": {}}

    def train(machine: str, bits: str) -> dict[str, Any]:
        job = {"machine": machine, "config": {**SHORT, "bits": bits}}
        run = measure.run(__file__, "short", sys.executable, job, prefix=emulators[machine])
        record["machines"][f"{machine}, {bits}"] = {**run.results, "cpu_seconds": run.process}
        found: dict[str, Any] = run.results["digests"]
        return found

    with ThreadPoolExecutor() as pool:
        portable = dict(zip(emulators, pool.map(lambda name: train(name, "portable"), emulators), strict=True))
    fast = train(HERE, "fast")
    sides = {**portable, f"{HERE}, bits: fast": fast}
    lines = [
        {"run": path} | {side: " ".join(found[path].values()) for side, found in sides.items()}
        for path in portable[HERE]
    ]
    differing = [path for path in fast if len({json.dumps(found[path]) for found in portable.values()}) > 1]
    text = measure.table(lines)
    if not arguments.quick and not differing:
        record["cost"] = price(arguments.repeats)
        text += "\n\n" + measure.table(
            [{"training": method, **costs, "ratio": costs["portable, CPU-s"] / costs["fast, CPU-s"]} for method, costs in record["cost"].items()]
        )  # fmt: skip
    measure.save("portable_bits", record, text, arguments.quick)
    if differing:
        raise SystemExit(f"{len(differing)} of {len(fast)} runs differ between processors: {', '.join(differing)}")


def price(repeats: int) -> dict[str, dict[str, float]]:
    """Medians of the CPU-seconds of training, by method and bits."""
    found: dict[str, list[dict[str, float]]] = {"portable": [], "fast": []}
    for repeat in range(repeats):
        for bits in sorted(found, reverse=bool(repeat % 2)):
            job = {"config": {**PRICED, "bits": bits}}
            found[bits].append(measure.run(__file__, "priced", sys.executable, job).results)
            measure.note(f"  {bits}, repeat {repeat + 1}: {found[bits][-1]}")
    return {
        method: {f"{bits}, CPU-s": statistics.median(run[method] for run in runs) for bits, runs in found.items()}
        for method in found["fast"][0]
    }


if __name__ == "__main__":
    measure.main(__doc__, compare, {"short": short, "priced": priced})
