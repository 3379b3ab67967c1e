"""A digest of the code that a stage runs, blind to comments, docstrings and layout.

Snakemake does not track imported modules. Rules therefore carry `params: code=code_digest("ppo")`: an edit
to the logic of `ppo.py`, or of any module of this package that it imports, reruns the stage, and a new
comment reruns nothing.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def _path_of(module: str) -> Path | None:
    """File of a dotted module below this package ('' is the package itself), if there is one."""
    base = PACKAGE.joinpath(*module.split(".")) if module else PACKAGE
    for candidate in (base.with_suffix(".py"), base / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def _statements(tree: ast.Module) -> Iterator[ast.AST]:
    """The module and all of its statements, down to the innermost: only they hold docstrings and imports."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for block in ("body", "orelse", "finalbody", "handlers", "cases"):
            waiting += getattr(node, block, ())


def _tree(module: str) -> ast.Module:
    """A module of this package, parsed, without its docstrings."""
    path = _path_of(module)
    assert path is not None
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in _statements(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [
                part
                for part in node.body
                if not (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant) and isinstance(part.value.value, str))
            ]  # fmt: skip
    return tree


def _imports(tree: ast.Module, module: str, is_package: bool) -> set[str]:
    """Dotted names, below this package, that a module imports anywhere in its text."""
    found: set[str] = set()
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            found |= {a.name.removeprefix("rl4nlu.") for a in node.names if a.name.startswith("rl4nlu.")}
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                parts = module.split(".") if module else []
                parts = parts[: len(parts) - node.level + (1 if is_package else 0)]
                base = ".".join([*parts, *(node.module.split(".") if node.module else [])])
            elif node.module == "rl4nlu" or (node.module or "").startswith("rl4nlu."):
                base = (node.module or "").removeprefix("rl4nlu").removeprefix(".")
            else:
                continue
            found |= {base} | {f"{base}.{a.name}".removeprefix(".") for a in node.names}
    return {name for name in found if _path_of(name) is not None}


@cache
def _parsed(module: str) -> tuple[str, set[str]]:
    """A module's logic, as text, and what it imports; each file is read once however many stages reach it."""
    tree = _tree(module)
    is_package = _path_of(f"{module}.__init__".removeprefix(".")) is not None
    return ast.dump(tree), _imports(tree, module, is_package)


@cache
def modules_of(stage: str) -> tuple[str, ...]:
    """The stage's module and every module of this package that it reaches by imports, in order of name.

    Raises:
        FileNotFoundError: there is no such module.
    """
    if _path_of(stage) is None:
        raise FileNotFoundError(f"rl4nlu has no module {stage!r}")
    reached, waiting = set(), [stage]
    while waiting:
        module = waiting.pop()
        if module in reached:
            continue
        reached.add(module)
        waiting += _parsed(module)[1]
    return tuple(sorted(reached))


@cache
def code_digest(*stages: str) -> str:
    """Sixteen hexadecimal digits that change when the logic of any of the stages' modules changes."""
    digest = hashlib.sha256()
    for module in sorted({m for stage in stages for m in modules_of(stage)}):
        digest.update(f"{module}\0{_parsed(module)[0]}\0".encode())
    return digest.hexdigest()[:16]
