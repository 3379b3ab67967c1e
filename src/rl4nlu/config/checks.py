"""From YAML to checked settings: one message that names file, key, what was found, what is allowed, the nearest name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from ..base.errors import ConfigError, nearest

T = TypeVar("T", bound=BaseModel)


def _fields_at(model: type[BaseModel], path: tuple[Any, ...]) -> list[str]:
    """Names of the fields that are allowed at `path` below `model` (empty where that cannot be told)."""
    for part in path:
        if isinstance(part, int) or part not in model.model_fields:
            continue
        annotation = model.model_fields[part].annotation
        inner = [a for a in (annotation, *get_args(annotation)) if isinstance(a, type) and issubclass(a, BaseModel)]
        if not inner:
            return []
        model = inner[0]
    return list(model.model_fields)


def explain(error: ValidationError, model: type[BaseModel], where: str) -> ConfigError:
    """One line a fault: file, key path, what was found, what is allowed, the nearest name."""
    lines = []
    for fault in error.errors():
        path = ".".join(str(part) for part in fault["loc"]) or "(top level)"
        if fault["type"] == "extra_forbidden":
            key, known = str(fault["loc"][-1]), _fields_at(model, fault["loc"][:-1])
            lines.append(f"{where}: {path}: unknown key{nearest(key, known)} Allowed: {', '.join(known)}.")
        elif fault["type"] == "missing":
            lines.append(f"{where}: {path}: is missing.")
        else:
            found, allowed = fault.get("input"), fault["msg"].removeprefix("Value error, ")
            guess = (
                nearest(
                    found,
                    str(fault.get("ctx", {}).get("expected", "")).replace("'", "").replace(" or ", ", ").split(", "),
                )
                if isinstance(found, str)
                else ""
            )
            shown = "" if isinstance(found, dict) else f" (found {json.dumps(found, default=str)})"
            lines.append(f"{where}: {path}: {allowed}{shown}{guess}")
    return ConfigError("\n".join(lines))


def check(model: type[T], values: Any, where: str) -> T:
    """`model` made from `values`, or a `ConfigError` that a user can act on."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise explain(error, model, where) from None


LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's, ten times as fast, where PyYAML was built with it."""


def read_yaml(path: Path) -> Any:
    """The parsed YAML file, with syntax errors turned into a `ConfigError` that names file and line."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=LOADER) or {}
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: no such file{nearest(path.name, [p.name for p in path.parent.glob('*.yaml')])}"
        ) from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from None


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`base` with `over` laid on it, dict by dict; lists and scalars are replaced."""
    out = dict(base)
    for key, value in over.items():
        out[key] = merge(out[key], value) if isinstance(value, dict) and isinstance(out.get(key), dict) else value
    return out
