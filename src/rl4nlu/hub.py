"""Everything that a run needs from the Hugging Face hub, brought here before it starts.

Compute nodes often have no way out. `fetch_model` runs where the workflow runs (a local rule): it brings a model's
files into the hub's own cache (`HF_HOME`, which compute nodes must see) and records commit and checksums. Jobs then
run with `HF_HUB_OFFLINE=1` and read the cache. A token comes from `HF_TOKEN` alone, and is never printed or recorded.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Any

from .config import ConfigError, Model
from .records import write_json

DESCRIBING = ["*.json", "*.txt", "*.model", "*.jinja"]
"""Files beside the weights: settings, vocabulary, chat template. No code: nothing from the hub is executed."""

WEIGHTS = ["*.safetensors"]
OLD_WEIGHTS = ["pytorch_model*.bin"]
"""Weights of repositories that have no safetensors."""

UNREACHABLE = {
    "ConnectError",
    "ConnectTimeout",
    "ConnectionError",
    "LocalEntryNotFoundError",
    "OfflineModeIsEnabled",
    "ProxyError",
    "ReadTimeout",
}


def advice(error: BaseException, revision: str | None) -> str | None:
    """What a user can do about a fault of the hub, told by the kinds of `error` and its causes; None for other faults."""
    kinds: set[str] = set()
    status: int | None = None
    cause: BaseException | None = error
    while cause is not None:
        kinds |= {kind.__name__ for kind in type(cause).__mro__}
        status = status or getattr(getattr(cause, "response", None), "status_code", None)
        cause = cause.__cause__ or cause.__context__
    token = bool(os.environ.get("HF_TOKEN"))
    # datasets hides the cause of its own kind of error; its words remain
    rows, said = "DatasetNotFoundError" in kinds, str(error)
    if "GatedRepoError" in kinds or (rows and "gated" in said):
        if token:
            return (
                "it is gated, and the account of the token in HF_TOKEN has no access: accept its licence on its page of "
                "the hub with that account, and wait until access is granted"
            )
        return (
            "it is gated: accept its licence on its page of the hub, make an access token in your account's settings, "
            "and set it where the workflow is started: export HF_TOKEN=..."
        )
    if "RevisionNotFoundError" in kinds or (rows and said.startswith("Revision")):
        return f"it has no revision {revision!r}"
    if "RepositoryNotFoundError" in kinds or rows:
        return "there is no such hub repository, or it is private: check its name" + (
            ", or whether the account of the token in HF_TOKEN may read it" if token else ", or set HF_TOKEN"
        )
    if status == 401:
        return (
            "the hub refuses the token in HF_TOKEN: make a new one" if token else "the hub wants a token: set HF_TOKEN"
        )
    if UNREACHABLE & kinds:
        return (
            "the hub cannot be reached and the files are not in its cache: fetch them where there is a network "
            "(`snakemake models data`), with an HF_HOME that this machine sees too, or name a folder"
        )
    return None


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
