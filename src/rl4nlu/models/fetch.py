"""Everything that a run needs from the Hugging Face hub, brought here before it starts.

Compute nodes often have no way out. `fetch_model` runs where the workflow runs (a local rule): it brings a model's
files into the hub's own cache (`HF_HOME`, which compute nodes must see) and records commit and checksums. Jobs then
run with `HF_HUB_OFFLINE=1` and read the cache. A token comes from `HF_TOKEN` alone, and is never printed or recorded.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from ..base.errors import ConfigError
from ..base.files import write_json
from ..base.hub import advice
from ..config import Model

DESCRIBING = ["*.json", "*.txt", "*.model", "*.jinja"]
"""Files beside the weights: settings, vocabulary, chat template. No code: nothing from the hub is executed."""

WEIGHTS = ["*.safetensors"]
OLD_WEIGHTS = ["pytorch_model*.bin"]
"""Weights of repositories that have no safetensors."""


def fetch_model(name: str, model: Model, out: Path) -> dict[str, Any]:
    """Bring a hub model's files into the cache, check them, and record what they are in the file `out`.

    With `HF_HUB_OFFLINE=1`, or without a network, what the cache holds must do.

    Returns:
        The record: repository, revision asked for, commit, size and SHA-256 of each file.

    Raises:
        ConfigError: they cannot be had, or a file in the cache is not what the hub says that it is.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    try:
        for weights in (WEIGHTS, OLD_WEIGHTS):
            folder = Path(
                snapshot_download(
                    model.path,
                    revision=model.revision,
                    allow_patterns=DESCRIBING + weights,
                    ignore_patterns=["*/*"],
                )
            )
            if any(file.match(pattern) for file in folder.iterdir() for pattern in weights):
                break
        else:
            raise ConfigError(f"model {name}: {model.path!r} holds no weights ({', '.join(WEIGHTS + OLD_WEIGHTS)})")
    except OSError as error:
        what = advice(error, model.revision) or f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
        raise ConfigError(f"model {name}: {model.path!r} cannot be fetched: {what}") from None
    record = {
        "model": name,
        "repository": model.path,
        "revision": model.revision,
        "commit": folder.name,
        "files": {file.name: checked(name, file) for file in sorted(folder.iterdir()) if file.is_file()},
    }
    write_json(out, record)
    return record


def checked(name: str, file: Path) -> dict[str, Any]:
    """Size and SHA-256 of a cached file; the cache names large files by the checksum that the hub states.

    Raises:
        ConfigError: the file is damaged.
    """
    with file.open("rb") as handle:
        found = hashlib.file_digest(handle, "sha256").hexdigest()
    stated = file.resolve().name
    if re.fullmatch(r"[0-9a-f]{64}", stated) and stated != found:
        raise ConfigError(
            f"model {name}: {file.resolve()} is damaged (its SHA-256 is {found}): delete it and fetch again"
        )
    return {"bytes": file.stat().st_size, "sha256": found}


def cached_commit(model: Model) -> str | None:
    """The commit that a job reads from the cache for a hub model; None for a folder, or where nothing is cached."""
    from huggingface_hub import try_to_load_from_cache

    try:
        path = try_to_load_from_cache(model.path, "config.json", revision=model.revision)
    except ValueError:  # a folder's path is no repository's name
        return None
    return Path(path).parent.name if isinstance(path, str) else None
