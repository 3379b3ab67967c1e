"""What every stage's program does around its own work: arguments, threads, the record, whole outputs.

The programs in `workflow/scripts/` are the rules' commands and run by hand alike:
`python workflow/scripts/sft.py --config config/config.yaml --run micro-llama/sft/cola/main/seed0 ...`.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .code import code_digest
from .config import REPOSITORY, Config, ConfigError, load_config, read_yaml
from .records import digest_of, environment, file_digest, peak_memory_mb, read_json, write_json
from .runs import Address, RunSpec, open_grid, resolve

if TYPE_CHECKING:
    from collections.abc import Callable

KEPT = {
    "sft": ("history.jsonl", "adapter"),
    "ppo": ("history.jsonl", "adapter"),
    "grpo": ("history.jsonl", "adapter"),
    "encoder": ("history.jsonl", "model"),
    "merging": ("model",),
    "pairs": (*(f"{kind}.{split}.jsonl" for kind in ("label", "rationale") for split in ("train", "validation")), "statistics.json"),
    "reward_model": ("history.jsonl", "adapter"),
    "rllr": ("history.jsonl", "adapter"),
}  # fmt: skip
"""What a training stage leaves in its run's folder, beside run.json."""

STAGE = {
    "sft-rationale": "sft", "merged-backbone": "merging", "reward-label": "reward_model", "reward-rationale": "reward_model",
    "rlhf": "rllr", "rllr": "rllr", "rllr-mixed": "rllr",
}  # fmt: skip
"""Program and module that train a method, where they don't bear its name."""


def run_arguments(description: str, argv: list[str] | None = None, **extra: str) -> argparse.Namespace:
    """Arguments that all stages share (`--config`, `--run`, `--data`, `--out`) and `extra` path options by name and help."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--config", type=Path, default=REPOSITORY / "config" / "config.yaml", help="config file (YAML or JSON)"
    )
    parser.add_argument("--run", required=True, help="address: <model>/<method>/<mixture>/<variant>/seed<k>")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of prepared rows")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    for name, text in extra.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=Path, default=None, help=text)
    return parser.parse_args(argv)


def load_run(config_file: Path, run: str) -> tuple[Config, RunSpec]:
    """The config and the resolved run that its grid (or an address outside of it) names."""
    config = load_config(read_yaml(config_file), config_file.name)
    grid, address = open_grid(config), Address.parse(run)
    return config, grid.runs.get(address) or resolve(config, grid.models, grid.tasks, address)


def data_digest(spec: RunSpec, data: Path) -> str:
    """Names the rows that a run trains on and selects with.

    Raises:
        ConfigError: a task's rows were not prepared.
    """
    records = {}
    for task in spec.train_tasks:
        path = data / task.name / "record.json"
        if not path.is_file():
            raise ConfigError(f"{path}: no prepared rows of task {task.name}; `snakemake data` makes them")
        digests = read_json(path)["digests"]
        records[task.name] = [digests["train"], digests["validation"]]
        if spec.method in ("sft-rationale", "pairs"):
            records[task.name].append(rationales_digest(data, task.name))
    return digest_of(records)


def rationales_digest(data: Path, task: str) -> str:
    """Names a task's rationales.

    Raises:
        ConfigError: there are none.
    """
    path = data / task / "rationales.jsonl"
    if not path.is_file():
        raise ConfigError(f"{path}: no rationales of task {task}; `snakemake rationales` makes them")
    return file_digest(path)


def standing(spec: RunSpec, results: Path | None) -> dict[str, Path]:
    """Folders of the runs that a run stands on, by their role there.

    Raises:
        ConfigError: they are asked for and `--results` is not given, or one is not finished.
    """
    if spec.stands_on and results is None:
        raise ConfigError(
            f"run {spec.address.path} stands on {', '.join(spec.stands_on.values())}: give --results, their folder"
        )
    folders = {role: Path(results or ".") / path for role, path in spec.stands_on.items()}
    for folder in folders.values():
        if not (folder / "run.json").is_file():
            raise ConfigError(f"{folder}: holds no finished run (no run.json), and {spec.address.path} stands on it")
    return folders


def header(spec: RunSpec) -> None:
    """First lines of a job's log: host, scheduler's job id, device, command."""
    facts = environment(REPOSITORY)
    print(
        f"rl4nlu {spec.method} {spec.address.path}",
        f"host {facts['host']} · slurm job {facts['slurm_job_id'] or '-'}",
        sep="\n",
    )
    print(f"command: {shlex.join([Path(sys.executable).name, *sys.argv])}", flush=True)


def limit_threads(threads: int) -> None:
    """Hold torch to the run's number of threads, so that its numbers do not depend on the host's cores."""
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import torch

    torch.set_num_threads(threads)


def run_record(spec: RunSpec, facts: dict[str, Any], started: float) -> dict[str, Any]:
    """The record of a run: what was asked for, what it ran with, what it cost."""
    return {
        "run": spec.address.path,
        "digest": spec.digest,
        "evaluation_digest": spec.evaluation_digest,
        "spec": spec.model_dump(mode="json"),
        "facts": facts,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "wall_seconds": round(time.monotonic() - started, 2),
        "cpu_seconds": round(time.process_time(), 2),
        "peak_memory": peak_memory_mb(),
        "environment": environment(REPOSITORY),
    }


def training_program(stage: str, train: Callable[..., dict[str, Any]], argv: list[str] | None = None) -> None:
    """Train one run: into `work/` first, and into its place in `results/` once it is whole.

    A run that was finished but not yet put in place (its job was killed in between) is put in place, not
    trained again: it is found by the digest of its settings, rows, starting adapter and code.
    """
    arguments = run_arguments(
        f"Train one {stage} run.",
        argv,
        work="folder of unfinished runs (default: work)",
        start="adapter folder to start from",
        results="folder of the runs that this one stands on, by their addresses",
        tensorboard="folder for TensorBoard's events (ppo)",
    )
    started = time.monotonic()
    _, spec = load_run(arguments.config, arguments.run)
    if (own := STAGE.get(spec.method, spec.method)) != stage:
        raise ConfigError(f"run {arguments.run!r} is trained by {own}.py, not by {stage}.py")
    header(spec)
    start = read_json(arguments.start.parent / "run.json")["key"] if arguments.start else None
    rows = data_digest(spec, arguments.data)
    stands_on = standing(spec, arguments.results)
    beneath = {role: read_json(folder / "run.json")["key"] for role, folder in stands_on.items()}
    key = digest_of([spec.digest, rows, start, beneath, code_digest(stage)])
    work = (arguments.work or Path("work")) / stage
    finished, partial = work / key, work / f"{key}.partial"
    if not (finished / "run.json").is_file():
        limit_threads(spec.threads)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        more: dict[str, Any] = {"start_adapter": arguments.start} if arguments.start else {}
        if stands_on:
            more["stands_on"] = stands_on
        if arguments.tensorboard:
            more["tensorboard"] = arguments.tensorboard
        facts = train(spec, arguments.data, partial, **more)
        record = {"key": key, "data_digest": rows, "start": start, **run_record(spec, facts, started)}
        write_json(partial / "run.json", record)
        shutil.rmtree(finished, ignore_errors=True)
        partial.rename(finished)
    put_in_place(finished, arguments.out, KEPT[stage])


def put_in_place(finished: Path, out: Path, names: tuple[str, ...]) -> None:
    """Move a finished run's files to `out`, `run.json` last, and drop what is left of it in `work/`."""
    out.mkdir(parents=True, exist_ok=True)
    for name in (*names, "run.json"):
        source, target = finished / name, out / name
        beside = out / f".{name}.{os.getpid()}"
        if source.is_dir():
            shutil.copytree(source, beside)
            shutil.rmtree(target, ignore_errors=True)
        else:
            shutil.copy2(source, beside)
        beside.replace(target)
    shutil.rmtree(finished)


def main_of(program: Callable[[], None]) -> None:
    """Run a program; faults of the input end in one message and exit status 2, without a traceback."""
    try:
        program()
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
