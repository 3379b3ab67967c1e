"""Rows from the Hugging Face hub by `datasets.load_dataset`, at a commit that is resolved first and recorded."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ...base.errors import ConfigError, nearest
from ...base.hub import advice
from ...config import Data
from ..parts.columns import Hub
from ..task import Task
from .layouts import Raw, SourceSplit


def commit_of(source: Hub) -> str | None:
    """The commit that `source.revision` (or the newest) stands for; None for a folder, or without a network."""
    if Path(source.repository).is_dir():
        return None
    from huggingface_hub import HfApi

    try:
        return HfApi().dataset_info(source.repository, revision=source.revision, timeout=20).sha
    except Exception:  # offline, or the cache must do: load_dataset then says what is wrong, if anything is
        return None


def read(task: Task, source: Hub, data: Data) -> tuple[dict[str, SourceSplit], dict[str, Any]]:
    """Rows of each split, all of them whatever `data` caps, and the repository, configuration and commit that they come from.

    Raises:
        ConfigError: the data set, its configuration or a split cannot be loaded.
    """
    commit = commit_of(source)
    splits = {"test": source.test} if task.trained_with is not None else {"train": source.train, "test": source.test}
    readings = {}
    for split, name in splits.items():
        rows = load(source, commit or source.revision, name)
        commit = commit or commit_in_cache(rows)
        readings[split] = convert(task, source, rows, f"{source.repository}/{source.config or 'default'}/{name}")
    return readings, {"repository": source.repository, "config": source.config, "commit": commit, "splits": splits}


def load(source: Hub, revision: str | None, split: str) -> Any:
    """One split as a `datasets.Dataset`.

    Raises:
        ConfigError: it cannot be loaded; the message says what to do without a network.
    """
    import datasets

    try:
        return datasets.load_dataset(source.repository, source.config, revision=revision, split=split)
    except Exception as error:  # datasets, huggingface_hub and httpx each raise kinds of their own
        first = next(iter(str(error).strip().splitlines()), "")
        if "script" in first.lower():
            help_ = "The repository still holds a loading script; set revision: refs/convert/parquet in the task's file"
        elif known := advice(error, revision):
            help_ = known[0].upper() + known[1:]
        else:
            help_ = "Without a network set data.source to local or microworld; with HF_HUB_OFFLINE=1 the data set must be in the cache"
        raise ConfigError(
            f"sources.hub: cannot load {source.repository} ({source.config or 'default'}, {split}, revision {revision or 'newest'}): "
            f"{type(error).__name__}: {first}. {help_}."
        ) from None


def commit_in_cache(rows: Any) -> str | None:
    """The commit in the path of a cached data set (its folder is named so), where the hub could not be asked."""
    for file in rows.cache_files:
        if found := re.search(r"/([0-9a-f]{40})/", str(file.get("filename", ""))):
            return found.group(1)
    return None


def convert(task: Task, source: Hub, rows: Any, where: str) -> SourceSplit:
    """The rows of a `datasets.Dataset`, with integer class labels mapped to canonical ones.

    Raises:
        ConfigError: a column is missing, or the task's file orders the classes otherwise than the data set does.
    """
    label = source.label
    if isinstance(label, str) and "." not in label and task.layout != "record" and label not in rows.column_names:
        raise ConfigError(
            f"{where}: no column {label!r}{nearest(label, rows.column_names)} Found: {', '.join(rows.column_names)}."
        )
    columns = source.model_copy(update={"labels": class_labels(task, source, rows.features.get(label), where)})
    return SourceSplit([Raw(f"{where}:{i}", values) for i, values in enumerate(rows)], columns)


def class_labels(task: Task, source: Hub, feature: Any, where: str) -> dict[str, str]:
    """Class number -> canonical label: as the task's file says, checked against the data set's own class names.

    GLUE's own names are sometimes words (`acceptable`), sometimes the canonical labels; only the latter can be checked.

    Raises:
        ConfigError: file and data set disagree.
    """
    names = [str(name).lower() for name in getattr(feature, "names", None) or []]
    if not names or not set(names) <= set(task.labels):
        return source.labels
    official = {str(number): name for number, name in enumerate(names)}
    stated = {number: source.labels.get(number, number) for number in official}
    if source.labels and stated != official:
        raise ConfigError(f"task {task.name}: sources.hub.labels: {stated}, but {where} has {official}")
    return official
