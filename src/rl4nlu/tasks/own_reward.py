"""A user's own reward: a Python function that a task's file or a config names as `module:function`.

It has one signature, `def <name>(rows, texts, readings)`, and gives one finite number an answer: of a batch's answers to
one task, the rows (`Row`), what the model wrote, and what the parser read in it (`Reading`). `config/example_reward.py` is
one. The module is a file below the checkout's root, or below a folder of PYTHONPATH: `config.example_reward` is
`config/example_reward.py`. Runs that the function judges depend on that file, and on no other that it may import.
"""

from __future__ import annotations

import ast
import math
import os
import sys
from collections.abc import Callable, Sequence
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from ..base.errors import ConfigError, nearest
from ..base.files import REPOSITORY, file_digest
from .reading import Reading
from .rows import Row

Rule = Callable[[Sequence[Row], Sequence[str], Sequence[Reading]], list[float]]
"""`(rows, texts, readings) -> rewards`, all of one length: of one task, what the model wrote and what the parser read."""

PARAMETERS = ["rows", "texts", "readings"]


def find_module(name: str, key: str) -> Path:
    """The file that holds the function `name` (module:function).

    Raises:
        ConfigError: there is none; the message begins with `key`.
    """
    module = Path(*name.partition(":")[0].split(".")).with_suffix(".py")
    folders = [REPOSITORY, *map(Path, filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)))]
    for folder in folders:
        if (folder / module).is_file():
            return folder / module
    raise ConfigError(
        f"{key}: {name}: no file {module} in {', '.join(map(str, folders))} (the checkout and PYTHONPATH)"
    )


def check_function(name: str, key: str) -> str:
    """The digest of the file that holds the function `name`, which is read but not run.

    Raises:
        ConfigError: file or function are missing, or its parameters are others; the message begins with `key`.
    """
    path = find_module(name, key)
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise ConfigError(f"{key}: {name}: {path} is no Python: line {error.lineno}: {error.msg}") from None
    functions = {node.name: node.args for node in tree.body if isinstance(node, ast.FunctionDef)}
    function = name.partition(":")[2]
    if function not in functions:
        known = ", ".join(functions) or "none"
        raise ConfigError(
            f"{key}: {path} has no function {function!r}{nearest(function, list(functions))} Found: {known}."
        )
    found = ast.unparse(functions[function])
    if [argument.arg for argument in ast.walk(functions[function]) if isinstance(argument, ast.arg)] != PARAMETERS:
        raise ConfigError(f"{key}: {name} takes ({found}); allowed: ({', '.join(PARAMETERS)})")
    return file_digest(path)


def load_function(name: str, key: str) -> Rule:
    """The function `name`, whose numbers are checked whenever it is called.

    Raises:
        ConfigError: see `check_function`; when called, it gives other than one finite number an answer.
    """
    check_function(name, key)
    module, _, function = name.partition(":")
    origin = spec_from_file_location(f"own_reward.{module}", find_module(name, key))
    assert origin is not None
    assert origin.loader is not None
    loaded = sys.modules[origin.name] = module_from_spec(origin)  # data classes look their module up
    origin.loader.exec_module(loaded)

    def judge(rows: Sequence[Row], texts: Sequence[str], readings: Sequence[Reading]) -> list[float]:
        found = getattr(loaded, function)(rows, texts, readings)
        try:
            rewards = [float(reward) for reward in found]
        except (TypeError, ValueError):
            raise ConfigError(f"{key}: {name} gave {found!r}; allowed: a list of one finite number an answer") from None
        if len(rewards) != len(rows):
            raise ConfigError(
                f"{key}: {name} gave {len(rewards)} numbers for {len(rows)} answers; allowed: one an answer"
            )
        for row, text, reward in zip(rows, texts, rewards, strict=True):
            if not math.isfinite(reward):
                raise ConfigError(f"{key}: {name} gave {reward} for {text!r} (row {row.id}); allowed: finite numbers")
        return rewards

    return judge
