"""What every stage's program does around its own work: arguments, threads, the record, whole outputs.

The programs in `workflow/scripts/` are the rules' commands and run by hand alike:
`python workflow/scripts/sft.py --config config/config.yaml --run micro-llama/sft/cola/main/seed0 ...`.
"""

from __future__ import annotations

import argparse
import os
import shlex
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.checkpoint import Checkpoint
from ..base.errors import ConfigError
from ..base.files import REPOSITORY, read_json
from ..base.machine import claim_device, describe_device, environment
from ..config import METHODS, Config, load_config, read_yaml
from ..models.fetch import cached_commit
from ..runs.grid import Grid, open_grid
from ..runs.keys import data_digest, evaluation_key, folders_of, keys_of, prompting_key, training_key
from ..runs.resolve import resolve
from ..runs.spec import Address, RunSpec
from .failures import explained
from .pieces import Piece, work_through

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


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
    """One GPU for a model in half precision, the run's number of threads for torch, and then the imports of `modules`.

    The number of threads is part of the run, so that its numbers do not depend on the host's cores.
    """
    if spec.model_spec.dtype != "float32" and (device := claim_device()) is not None:
        print(f"device: GPU {device} of those visible, claimed until this process ends", flush=True)
    os.environ.setdefault("OMP_NUM_THREADS", str(spec.threads))
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import torch

    torch.set_num_threads(spec.threads)
    for module in modules:
        import_module(f"rl4nlu.{module}")


def run_record(spec: RunSpec, facts: dict[str, Any]) -> dict[str, Any]:
    """The record of a run: what was asked for and what it ran with; the key and the cost are added by `pieces`."""
    return {
        "run": spec.address.path,
        "digest": spec.digest,
        "evaluation_digest": spec.evaluation_digest,
        "spec": spec.model_dump(mode="json"),
        "model_commit": cached_commit(spec.model_spec),
        **({"encoder_commit": cached_commit(spec.encoder_spec)} if spec.encoder_spec else {}),
        "facts": facts,
        "environment": environment(REPOSITORY),
    }


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


def others_of(
    config: Config,
    grid: Grid,
    spec: RunSpec,
    place: Place,
    piece: Callable[[RunSpec, Path], Piece | None],
    *methods: str,
) -> Callable[[], Iterator[Piece]] | None:
    """What a process goes on with when its own run is done: other runs of the grid of the same model and method.

    The longest come first, so that processes side by side end at about the same time.

    Args:
        config: says whether a batch is wanted.
        grid: of the config.
        spec: the process's own run.
        place: folders; without results/ there is no batch.
        piece: of a run and its folder in results/; None or ConfigError where it is not ready.
        methods: that may share a process; default: the run's own.
    """
    results = place.results
    if not config.batch or results is None:
        return None
    runs = [r for a, r in grid.runs.items() if a.model == spec.model and a.method in (methods or (spec.method,))]

    def ready() -> Iterator[Piece]:
        found = []
        for run in runs:
            with suppress(ConfigError, OSError, KeyError):
                found.append(piece(run, results / run.address.path))
        yield from sorted((p for p in found if p is not None), key=lambda p: -p.size)

    return ready


# Training ----------------------------------------------------------------------------------------------------------


def training_program(
    stage: str, train: Callable[..., dict[str, Any]] | None = None, argv: list[str] | None = None
) -> None:
    """The whole program of a training stage; with `batch` in the config it goes on with other runs of its model and method.

    A new stage is a module `rl4nlu.<stage>` (its name is the method's) with
    `train(spec: RunSpec, data: Path, out: Path, start_adapter: Path | None = None, checkpoint: Checkpoint = NOT_SAVED)`,
    which writes the files that `KEPT` names into `out`, depends on its arguments alone, goes on from `checkpoint` and saves
    there, and returns the facts that `run.json` is to hold. Then
    `workflow/scripts/<stage>.py` is `main_of(lambda: training_program("<stage>"))`: the module is only imported where
    something is to be trained. Further trained runs that it stands on are added to `keys.foundations`.

    Args:
        stage: the method.
        train: in place of the module's own, where another module trains it.
        argv: arguments; default: the command line's.

    Raises:
        ConfigError: the run, its rows or what it stands on cannot be used.
    """
    arguments = run_arguments(
        f"Train one {stage} run.",
        argv,
        work="folder of unfinished runs and of finished ones that are not in place (default: work)",
        start="adapter folder to start from",
        tensorboard="folder for TensorBoard's events (ppo)",
    )
    config, grid, spec = load_run(arguments.config, arguments.run)
    if METHODS[spec.method].program != stage:
        raise ConfigError(f"run {arguments.run!r} is made by {METHODS[spec.method].program}.py, not by {stage}.py")
    header(f"{spec.method} {spec.address.path}")
    place = Place.of(arguments, config, spec, arguments.out)
    given = {"start": arguments.start.parent} if arguments.start else {}
    given |= {role: place.standing(spec, path) for role, path in spec.stands_on.items()}
    more = {"tensorboard": arguments.tensorboard} if arguments.tensorboard else {}
    own = training_piece(spec, place, given, arguments.out, train, more)

    def piece(run: RunSpec, out: Path) -> Piece | None:
        assert place.results is not None
        stands_on = folders_of(run, grid, place.data, place.results)
        return None if stands_on is None else training_piece(run, place, stands_on, out, train)

    modules = () if train else (str(METHODS[spec.method].module),)
    work_through(own, others_of(config, grid, spec, place, piece), lambda: warm_up(spec, *modules))


def training_piece(
    spec: RunSpec,
    place: Place,
    stands_on: dict[str, Path],
    out: Path,
    train: Callable[..., dict[str, Any]] | None = None,
    more: dict[str, Path] | None = None,
) -> Piece:
    """The training of a run; its scores can be made at once.

    Args:
        spec: the run.
        place: folders.
        stands_on: folders of the runs that it stands on, by their roles.
        out: folder of the run.
        train: see `training_program`.
        more: further arguments of `train`.
    """
    key = training_key(spec, place.data, stands_on)
    folder = place.work / spec.method / key

    def make(partial: Path) -> dict[str, Any]:
        trainer = train or import_module(f"rl4nlu.{METHODS[spec.method].module}").train
        given: dict[str, Any] = {"start_adapter": stands_on["start"] / "adapter"} if "start" in stands_on else {}
        if spec.stands_on:
            given["stands_on"] = stands_on
        if spec.method == "pairs":
            given["cache"] = place.work / "verdicts"  # beside the answers that rationales were made of
        checkpoint = Checkpoint(folder.with_name(f"{key}.state"), key, place.save_every)
        facts = trainer(spec, place.data, partial, **given, **(more or {}), checkpoint=checkpoint)
        made_from = {"data_digest": data_digest(spec, place.data), "stands_on": keys_of(stands_on)}
        return {**made_from, **run_record(spec, facts)}

    def scores() -> Piece | None:
        if not METHODS[spec.method].scored:
            return None
        with suppress(ConfigError):
            return evaluation_piece(spec, place, folder, key, out / "evaluation")
        return None

    return Piece(
        "training",
        spec.address.path,
        key,
        folder,
        out,
        make,
        kept=METHODS[spec.method].leaves,
        seed=spec.seed,
        size=getattr(spec.settings, "prompts", 0),
        then=scores,
    )


# Scores ------------------------------------------------------------------------------------------------------------


def evaluation_piece(spec: RunSpec, place: Place, trained: Path, key: str, out: Path) -> Piece:
    """The scores of the trained run in the folder `trained`, whose key is `key`.

    Raises:
        ConfigError: rows are not prepared.
    """

    def make(partial: Path) -> dict[str, Any]:
        from ..scores.evaluate import evaluate_run, load_backbone_of

        backbone = None
        if "backbone" in spec.stands_on:
            from ..methods.merge import merged_model

            backbone = load_backbone_of(merged_model(spec, place.standing(spec, spec.stands_on["backbone"])))
        evaluate_run(spec, place.data, trained, partial, backbone, work=place.work)
        return {"run": spec.address.path, "trained": key, "evaluation_digest": spec.evaluation_digest}

    named = evaluation_key(spec, place.data, key)
    folder = place.work / "evaluate" / named
    return Piece("evaluation", spec.address.path, named, folder, out, make, proof="scores.json", seed=spec.seed)


def evaluation_program(argv: list[str] | None = None) -> None:
    """The whole program that scores a trained run; with `batch` in the config it goes on with others that are trained."""
    arguments = run_arguments(
        "Scores of one trained run on its tasks (rule evaluate_run).",
        argv,
        work="folder of finished scores that are not in place (default: work)",
        trained="folder of the trained run, with its adapter or model",
    )
    if arguments.trained is None:
        raise ConfigError("--trained: name the folder of the trained run")
    config, grid, spec = load_run(arguments.config, arguments.run)
    header(f"{spec.method} {spec.address.path}")
    place = Place.of(arguments, config, spec, arguments.trained)
    record = arguments.trained / "run.json"
    if not record.is_file():
        raise ConfigError(f"{record}: no such file; was the run trained?")
    own = evaluation_piece(spec, place, arguments.trained, read_json(record)["key"], arguments.out)

    def piece(run: RunSpec, folder: Path) -> Piece | None:
        made = read_json(folder / "run.json")
        if made["digest"] != run.digest:
            return None
        return evaluation_piece(run, place, folder, made["key"], folder / "evaluation")

    module = "methods.encoder" if METHODS[spec.method].loads == "encoder" else "models.load"
    work_through(own, others_of(config, grid, spec, place, piece), lambda: warm_up(spec, "scores.evaluate", module))


# Prompting ---------------------------------------------------------------------------------------------------------

ALIKE = {"majority": ("majority", "random"), "random": ("majority", "random")}
ALIKE |= {"zero-shot": ("zero-shot", "few-shot"), "few-shot": ("zero-shot", "few-shot")}
"""Prompting methods that may share a process: those without a model, and those with one."""


def prompting_program(argv: list[str] | None = None) -> None:
    """The whole program of a baseline that trains nothing; with `batch` in the config it goes on with others like it."""
    arguments = run_arguments(
        "One baseline that trains nothing: majority, random, zero-shot or few-shot (rule prompt).",
        argv,
        work="folder of finished runs that are not in place (default: work)",
    )
    config, grid, spec = load_run(arguments.config, arguments.run)
    header(f"{spec.method} {spec.address.path}")
    place = Place.of(arguments, config, spec, arguments.out)

    def piece(run: RunSpec, out: Path) -> Piece:
        return prompting_piece(run, place, out)

    def prepare() -> None:
        if spec.method in ("zero-shot", "few-shot"):  # the other two need no model
            warm_up(spec, "scores.evaluate", "models.load")

    work_through(piece(spec, arguments.out), others_of(config, grid, spec, place, piece, *ALIKE[spec.method]), prepare)


def prompting_piece(spec: RunSpec, place: Place, out: Path) -> Piece:
    """A baseline that trains nothing, scored on all of its tasks.

    Raises:
        ConfigError: rows are not prepared.
    """

    def make(partial: Path) -> dict[str, Any]:
        from ..scores.evaluate import evaluate_run

        evaluate_run(spec, place.data, None, partial / "evaluation", work=place.work)
        return run_record(spec, {})

    key = prompting_key(spec, place.data)
    folder = place.work / "prompting" / key
    return Piece("prompting", spec.address.path, key, folder, out, make, kept=("evaluation",), seed=spec.seed)


def main_of(program: Callable[[], None]) -> None:
    """Run a program; what is no fault of the code ends in one message without a traceback (`failures.explained`)."""
    try:
        program()
    except Exception as error:
        told = explained(error)
        if told is None:
            raise
        message, status = told
        print(message, file=sys.stderr)
        raise SystemExit(status) from None
