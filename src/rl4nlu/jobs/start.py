"""What every program begins with: its arguments, its run, the lines that head its log, its device and its folders."""

from __future__ import annotations

import argparse
import os
import shlex
import socket
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from ..base.errors import ConfigError
from ..base.files import REPOSITORY
from ..base.machine import claim_device, describe_device, pin_kernels
from ..config import Config, load_config, read_yaml
from ..runs.grid import Grid, open_grid
from ..runs.resolve import resolve
from ..runs.spec import Address, RunSpec


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


def load_run(config_file: Path, run: str) -> tuple[Config, Grid, RunSpec]:
    """The config, its grid, and the resolved run that the grid (or an address outside of it) names."""
    config = load_config(read_yaml(config_file), config_file.name)
    grid, address = open_grid(config), Address.parse(run)
    return config, grid, grid.runs.get(address) or resolve(config, grid.models, grid.tasks, address)


def header(what: str) -> None:
    """First lines of a job's log: what is done, host, scheduler's job id, device, command."""
    print(
        f"rl4nlu {what}",
        f"host {socket.gethostname()} · process {os.getpid()} · slurm job {os.environ.get('SLURM_JOB_ID') or '-'}"
        f" · device {describe_device()}",
        f"command: {shlex.join([Path(sys.executable).name, *sys.argv])}",
        sep="\n",
        flush=True,
    )


def warm_up(spec: RunSpec, *modules: str) -> None:
    """One GPU for a model in half precision, the run's kernels and number of threads for torch, then the imports of `modules`.

    Kernels and threads are part of the run, so that its numbers depend neither on the host's processor nor on its cores.
    """
    pin_kernels(spec.bits)
    if spec.model_spec.dtype != "float32" and (device := claim_device()) is not None:
        print(f"device: GPU {device} of those visible, claimed until this process ends", flush=True)
    os.environ.setdefault("OMP_NUM_THREADS", str(spec.threads))
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import torch

    torch.set_num_threads(spec.threads)
    for module in modules:
        import_module(f"rl4nlu.{module}")


@dataclass(frozen=True)
class Place:
    """Folders of a workflow, and the seconds between two states that are saved on the way.

    `results` is None where a run is made by hand into a folder of its own.
    """

    data: Path
    work: Path
    results: Path | None
    save_every: float

    @classmethod
    def of(cls, arguments: argparse.Namespace, config: Config, spec: RunSpec, out: Path) -> Place:
        """The folders that the arguments name; `out` is the run's."""
        tail = Path(spec.address.path).parts
        inside = out.parts[-len(tail) :] == tail
        results = Path(*out.parts[: -len(tail)]) if inside else None
        return cls(arguments.data, arguments.work or Path("work"), results, config.save_every_seconds)

    def standing(self, spec: RunSpec, path: str) -> Path:
        """Folder of the finished run at `path` that `spec` stands on.

        Raises:
            ConfigError: the run's own folder is not inside of results/, or the other one is not finished.
        """
        if self.results is None:
            raise ConfigError(
                f"run {spec.address.path} stands on {path}: its own folder must end in its address, so that this one is found beside"
            )
        folder = self.results / path
        if not (folder / "run.json").is_file():
            raise ConfigError(f"{folder}: holds no finished run (no run.json), and {spec.address.path} stands on it")
        return folder
