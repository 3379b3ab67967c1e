"""All that a config runs: its tasks that have rows, and every run of its grid, resolved."""

from __future__ import annotations

from dataclasses import dataclass

from ..base.errors import ConfigError
from ..base.files import REPOSITORY
from ..config import (
    METHODS,
    SUPPORTING_METHODS,
    TRAINED_METHODS,
    VADER,
    Config,
    Data,
    Model,
    RewardEncoder,
    load_models,
)
from ..config.experiment import MAIN
from ..tasks.available import at_source, source_of, why_absent
from ..tasks.task import Task, expand, load_tasks
from .resolve import add_followers, check_name, resolve, training_tasks
from .spec import Address, RunSpec


def available_tasks(data: Data, tasks: dict[str, Task]) -> tuple[dict[str, Task], dict[str, str]]:
    """The tasks that have rows in this config's source, with its lengths, and why the others have none (by name).

    Raises:
        ConfigError: files are absent, and data.skip_absent does not allow it.
    """
    absent: dict[str, str] = {}
    for name, task in tasks.items():
        if (line := why_absent(task, data)) is not None:
            if source_of(task, data)[1] is not None and not data.skip_absent:
                raise ConfigError(f"{line} (data.skip_absent: true leaves such tasks out)")
            absent[name] = f"{line.removesuffix('.')}; it is left out"
    for name, task in tasks.items():
        if task.trained_with in absent and name not in absent:
            absent[name] = f"task {name} is left out: it is trained with {task.trained_with}, which is left out"
    return {name: at_source(task, data) for name, task in tasks.items() if name not in absent}, absent


@dataclass(frozen=True)
class Grid:
    """All that a config runs: tasks with rows, those left out (with the reason), and every run resolved."""

    tasks: dict[str, Task]
    absent: dict[str, str]
    models: dict[str, Model]
    runs: dict[Address, RunSpec]


def open_grid(config: Config) -> Grid:
    """The config's grid, resolved against the task and model files of the checkout.

    Raises:
        ConfigError: a name is unknown, or something does not fit.
    """
    models, (tasks, absent) = load_models(), available_tasks(config.data, load_tasks())
    evaluated = list_runs(config, models, tasks, tuple(absent))
    return Grid(tasks, absent, models, {a: resolve(config, models, tasks, a, names) for a, names in evaluated.items()})


def list_runs(
    config: Config, models: dict[str, Model], tasks: dict[str, Task], absent: tuple[str, ...] = ()
) -> dict[Address, list[str]]:
    """Every run of the grid with the names of the tasks that it is evaluated on; duplicates are joined.

    A run brings what it starts from, stands on or takes its learning rate from into the grid. Tasks in `absent` are passed over.

    Raises:
        ConfigError: a name in the grid is unknown, or does not fit its method.
    """
    for name in config.judges:
        check_name(name, dict.fromkeys([*tasks, *absent]), f"{config.name}: judges")
    runs: dict[Address, list[str]] = {}
    for index, arm in enumerate(config.grid):
        where = f"{config.name}: grid.{index}"
        for model in arm.models:
            check_name(model, models, f"{where}.models")
            kind = models[model].kind
            unfit = (arm.method == "encoder") != (kind == "encoder") and arm.method in TRAINED_METHODS
            if unfit or kind == "classifier":
                raise ConfigError(f"{where}: method {arm.method} does not fit {model}, whose kind is {kind}")
        for variant in arm.variants:
            check_name(variant, {"main": MAIN, **config.variants}, f"{where}.variants")
        named = expand([t for t in arm.tasks if t not in absent], tasks) if arm.tasks else None
        for mixture in arm.mixtures:
            if mixture in absent:
                continue
            trained = [t.name for t in training_tasks(mixture, tasks)]
            able = [name for name, task in tasks.items() if task.answer != "text" or METHODS[arm.method].texts]
            evaluated = named or add_followers(trained, tasks) or able
            if arm.method in SUPPORTING_METHODS:
                evaluated = []
            for model in arm.models:
                for variant in arm.variants:
                    for seed in arm.seeds:
                        known = runs.setdefault(Address(model, arm.method, mixture, variant, seed), [])
                        known += [name for name in evaluated if name not in known]
    waiting = list(runs)
    while waiting:
        spec = resolve(config, models, tasks, waiting.pop(0), [])
        for path in spec.foundations.values():
            needed = Address.parse(path)
            if needed not in runs:
                own = needed.method not in SUPPORTING_METHODS
                runs[needed] = add_followers([t.name for t in spec.train_tasks], tasks) if own else []
                waiting.append(needed)
    return runs


def tasks_with_rationales(grid: Grid) -> list[str]:
    """Tasks of the runs that give a rationale before the label: those that they train on, or are shown."""
    runs = [spec for spec in grid.runs.values() if spec.protocol.response == "rationale"]
    names = {task.trained_with or task.name for spec in runs for task in spec.train_tasks or spec.eval_tasks}
    return sorted(name for name in names if grid.tasks[name].labels)


def hub_models(grid: Grid) -> list[str]:
    """Models that runs load and that lie in no folder of this repository."""
    used = {spec.model for spec in grid.runs.values() if METHODS[spec.method].loads is not None}
    used |= {spec.settings.encoder for spec in grid.runs.values() if isinstance(spec.settings, RewardEncoder)}
    judges = {
        judge
        for spec in grid.runs.values()
        for judge in (*spec.training_judges.values(), *spec.answering_judges.values())
    }
    used |= {name for name, model in grid.models.items() if model in judges and model.path != VADER}
    used |= {str(spec.guide_name) for spec in grid.runs.values() if spec.guide_spec is not None}
    return [name for name in sorted(used) if not (REPOSITORY / grid.models[name].path).is_dir()]
