"""Which source a task's rows come from, and whether it has any there; nothing is read."""

from __future__ import annotations

from pathlib import Path

from ...base.errors import ConfigError, nearest
from ...base.files import REPOSITORY
from ...config import Data
from ..task import Task
from .columns import Hub, Local, Microworld


def source_of(task: Task, data: Data) -> tuple[str, Hub | Local | Microworld | None]:
    """Name and settings of the source that a task's rows come from; None where the task has no rows there."""
    name = task.source or data.source
    return name, getattr(task.sources, name)


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


def files_of(source: Local, data: Data) -> dict[str, Path]:
    """Split -> file of a task; a task that another one trains for has no train file."""
    folder = folder_of(source, data)
    names = {"train": source.train, "test": source.test}
    return {split: folder / name for split, name in names.items() if name is not None}


def local_files(task: Task, data: Data) -> list[Path]:
    """Files that a task's rows are read from; none when they do not come from files."""
    _, source = source_of(task, data)
    return list(files_of(source, data).values()) if isinstance(source, Local) else []


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
