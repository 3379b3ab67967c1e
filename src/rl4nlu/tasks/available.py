"""Which source a task's rows come from, and whether it has any there; nothing is read."""

from __future__ import annotations

from pathlib import Path

from ..base.errors import ConfigError, nearest
from ..base.files import REPOSITORY
from ..config import Data
from .parts.columns import Hub, Local, Microworld
from .task import Task


def source_of(task: Task, data: Data) -> tuple[str, Hub | Local | Microworld | None]:
    """Name and settings of the source that a task's rows come from; None where the task has no rows there."""
    name = task.source or data.source
    return name, getattr(task.sources, name)


def at_source(task: Task, data: Data) -> Task:
    """The task with the lengths that its source states."""
    source = source_of(task, data)[1]
    return task.model_copy(update=source.lengths) if source else task


def folder_of(source: Local, data: Data) -> Path:
    """Folder that the source's paths start from.

    Raises:
        ConfigError: neither the task nor the config names one.
    """
    if source.root is not None:
        return REPOSITORY / source.root
    if data.data_root is None:
        raise ConfigError("data.data_root: is missing; source local needs the folder of the files")
    return Path(data.data_root)


def files_of(source: Local, data: Data) -> dict[str, list[Path]]:
    """Split -> files of a task, several where they stand side by side; a task that another one trains for has no train file."""
    folder = folder_of(source, data)
    train = list(source.train.values()) if isinstance(source.train, dict) else [source.train]
    names = {"train": [name for name in train if name is not None], "test": [source.test]}
    return {split: [folder / name for name in found] for split, found in names.items() if found}


def local_files(task: Task, data: Data) -> list[Path]:
    """Files that a task's rows are read from; none when they do not come from files."""
    _, source = source_of(task, data)
    return [path for paths in files_of(source, data).values() for path in paths] if isinstance(source, Local) else []


def why_absent(task: Task, data: Data) -> str | None:
    """One line saying why a task has no rows in its source; None when it has, as far as can be told without a network."""
    name, source = source_of(task, data)
    if source is None:
        return f"task {task.name}: no rows in source {name}. {task.note}".strip()
    for path in local_files(task, data):
        if not path.is_file():
            others = [other.name for other in path.parent.glob("*")] if path.parent.is_dir() else []
            return f"task {task.name}: no file {path}{nearest(path.name, others)}"
    return None
