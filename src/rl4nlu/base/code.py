"""A digest of the logic that a stage runs, so that an edit reruns the stages that it can change, and no others.

Snakemake does not track imported modules. Rules therefore carry `params: code=code_digest("methods.rl.ppo")`: the logic of
that module, and of every module of this package that it reaches by imports, in functions, too. A module that a stage
picks by name, such as the reader of a task's source, is named as a stage of its own beside it.

What can't change a result is not part of the logic: comments, layout, docstrings, annotations, imports that nothing but
annotations (or `if TYPE_CHECKING:`) needs, and the modules of `DIGESTED_AS_VALUES` and `WITHOUT_EFFECT`.
"""

from __future__ import annotations

import ast
import hashlib
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TypeGuard

PACKAGE = Path(__file__).resolve().parents[1]

DIGESTED_AS_VALUES = ("config", "runs", "tasks.task")
"""What they read, check and resolve reaches a stage as values, whose own digests stand beside the code's."""

WITHOUT_EFFECT = ("base",)
"""Files, digests, states that are saved, leases, progress, messages: by design no number depends on them."""


def _path_of(module: str) -> Path | None:
    """File of a dotted module below this package ('' is the package itself), if there is one."""
    base = PACKAGE.joinpath(*module.split(".")) if module else PACKAGE
    for candidate in (base.with_suffix(".py"), base / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def _counts(module: str) -> bool:
    """Whether a module's logic is part of digests."""
    return not any(f"{module}.".startswith(f"{name}.") for name in (*DIGESTED_AS_VALUES, *WITHOUT_EFFECT))


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _is_for_types(node: ast.AST) -> TypeGuard[ast.If]:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def _without_annotation(node: ast.AnnAssign, in_class: bool) -> list[ast.stmt]:
    """An annotated assignment without its type; in a class the bare name stays, because a data class makes a field of it."""
    if in_class:
        node.annotation = ast.Constant(None)
        return [node]
    return [ast.Assign([node.target], node.value)] if node.value else []


@dataclass
class _Logic:
    """What is left of a module without docstrings, annotations and what only these need; imports are put aside."""

    imports: list[ast.Import | ast.ImportFrom] = field(default_factory=list)

    def of(self, block: list[ast.stmt], in_class: bool = False) -> list[ast.stmt]:
        """The logic of a block of statements, down to the innermost."""
        found: list[ast.stmt] = []
        for node in block:
            if isinstance(node, ast.Import | ast.ImportFrom):
                self.imports.append(node)
            elif isinstance(node, ast.AnnAssign):
                found += _without_annotation(node, in_class)
            elif _is_for_types(node):
                found += self.of(node.orelse, in_class)
            elif not _is_text(node):
                self._reduce(node)
                found.append(node)
        return found

    def _reduce(self, node: ast.AST) -> None:
        """Reduce a statement, an exception handler or a case to its logic, in place."""
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
            for part in ast.walk(node.args):
                if isinstance(part, ast.arg):
                    part.annotation = None
        for name in ("body", "orelse", "finalbody"):
            if isinstance(block := getattr(node, name, None), list):
                setattr(node, name, self.of(block, isinstance(node, ast.ClassDef)))
        for name in ("handlers", "cases"):
            for part in getattr(node, name, ()):
                self._reduce(part)


def _exported(tree: ast.Module) -> set[str]:
    """Names in the module's `__all__`: a package may import them for others."""
    return {
        part.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        for part in ast.walk(node.value)
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    }


def _needed_modules(node: ast.Import | ast.ImportFrom, module: str, is_package: bool) -> set[str]:
    """Dotted names, below this package, of modules that an import reads."""
    if isinstance(node, ast.Import):
        found = {alias.name.removeprefix("rl4nlu.") for alias in node.names if alias.name.startswith("rl4nlu.")}
    else:
        if node.level:
            parts = module.split(".") if module else []
            parts = parts[: len(parts) - node.level + (1 if is_package else 0)]
            base = ".".join([*parts, *(node.module.split(".") if node.module else [])])
        elif node.module == "rl4nlu" or (node.module or "").startswith("rl4nlu."):
            base = (node.module or "").removeprefix("rl4nlu").removeprefix(".")
        else:
            return set()
        found = {base} | {f"{base}.{alias.name}".removeprefix(".") for alias in node.names}
    return {name for name in found if _path_of(name) is not None and _counts(name)}


@cache
def _parsed(module: str) -> tuple[str, set[str]]:
    """A module's logic, as text, and the modules that it imports; each file is read once however many stages reach it."""
    path = _path_of(module)
    assert path is not None
    tree, logic = ast.parse(path.read_text(encoding="utf-8")), _Logic()
    tree.body = logic.of(tree.body)
    text = ast.dump(tree)
    used = set(re.findall(r"\bName\(id='(\w+)'", text)) | _exported(tree)
    needed: set[str] = set()
    for node in logic.imports:
        node.names = [alias for alias in node.names if (alias.asname or alias.name.split(".")[0]) in used]
        if node.names:
            needed |= _needed_modules(node, module, path.name == "__init__.py")
            text += ast.dump(node)
    return text, needed


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
