"""Files that appear whole or not at all, digests, and the facts of the machine that a record holds."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    pass


def write_text(path: Path, text: str) -> None:
    """Write `text` beside `path`, then rename: a reader sees the old file or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("w", encoding="utf-8") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        beside.replace(path)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
    finally:
        beside.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically; NaN and infinity are refused."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_jsonl(path: Path, rows: Iterable[Any]) -> None:
    """Write one JSON value a line, atomically; NaN and infinity are refused."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows))


def read_json(path: Path) -> Any:
    """The JSON value of a file; a broken file is named in the error."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not valid JSON (line {error.lineno}): {error.msg}") from None


def read_jsonl(path: Path) -> list[Any]:
    """The JSON values of a JSON-lines file; a broken line is named in the error."""
    rows = []
    with path.open(encoding="utf-8") as handle:
        for number, line in enumerate(handle, 1):
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise ValueError(f"{path}: line {number}: not valid JSON: {error.msg}") from None
    return rows


def digest_of(value: Any) -> str:
    """Sixteen hexadecimal digits that name a JSON value, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_digest(path: Path) -> str:
    """Sixteen hexadecimal digits that name the content of a file."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()[:16]


def local_weights(path: str) -> list[list[Any]]:
    """Names, sizes and times of a foundation model's weight files, where it lies in a folder: others are other weights."""
    folder = next((folder for folder in (REPOSITORY / path, Path(path)) if folder.is_dir()), None)
    files = sorted(folder.glob("*.safetensors")) if folder else []
    return [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]


REPOSITORY = Path(__file__).resolve().parents[3]
"""Root of the checkout: task files, model files and shipped weights are found from here."""
