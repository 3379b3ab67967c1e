"""The code digest: a stage's own logic counts, and what can't change a result does not."""

import shutil

import pytest

from rl4nlu.base import code
from rl4nlu.config import METHODS

CACHES = (code._parsed, code.modules_of, code.code_digest)
STAGE = "methods.rl.ppo"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A small package that a test may edit; its stage is `stage`."""
    files = {
        "__init__.py": "",
        "stage.py": (
            "from __future__ import annotations\n"
            "from typing import TYPE_CHECKING\n"
            "from .helper import double\n"
            "from . import other\n"
            "from .base import leases\n"
            "if TYPE_CHECKING:\n    from .types_only import T\n"
            "class Row:\n    size: int = 1\n"
            "def train(x: T) -> int:\n    from .lazy import more\n    return double(x) + more(other.one) + leases.BEAT\n"
        ),
        "helper.py": "def double(x):\n    return 2 * x\n",
        "other.py": "one = 1\n",
        "lazy.py": "def more(x):\n    return x\n",
        "types_only.py": "T = int\n",
        "apart.py": "def nothing():\n    pass\n",
        "config/__init__.py": "",
        "base/__init__.py": "",
        "base/leases.py": "BEAT = 20.0\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(code, "PACKAGE", tmp_path)
    forget()
    yield tmp_path
    forget()


def forget():
    for cached in CACHES:
        cached.cache_clear()


def changes(package, name: str, old: str, new: str) -> bool:
    """Whether an edit changes the digest of `stage`."""
    forget()
    before = code.code_digest("stage")
    path = package / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    forget()
    return code.code_digest("stage") != before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("stage.py", "return double(x)", "return 1 + double(x)"),
        ("stage.py", "size: int = 1", "size: int = 2"),
        ("stage.py", "size: int = 1", "size: int = 1\n    more: int"),
        ("helper.py", "2 * x", "3 * x"),
        ("lazy.py", "return x", "return -x"),
        ("other.py", "one = 1", "one = 2"),
        ("stage.py", "from .helper import double", "from .apart import nothing as double"),
    ],
)
def test_logic_counts(package, name, old, new):
    assert changes(package, name, old, new)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("helper.py", "    return", "    # a comment\n\n    return"),
        ("helper.py", "    return", '    """What it does."""\n    return'),
        ("stage.py", "size: int", "size: float"),
        ("stage.py", "x: T) -> int", "x: T | None) -> float"),
        ("stage.py", "    return", "    y: int\n    return"),
        ("helper.py", "def", "from .apart import nothing\ndef"),
        ("helper.py", "def double(x)", "from collections.abc import Sequence\ndef double(x: Sequence)"),
        ("stage.py", "types_only import T", "apart import nothing as T"),
        ("stage.py", "types_only import T", "types_only import T\n    Label = int"),
        ("base/leases.py", "20.0", "30.0"),
        ("apart.py", "pass", "return 1"),
    ],
)  # fmt: skip
def test_what_changes_no_result_does_not_count(package, name, old, new):
    assert not changes(package, name, old, new)


def test_an_annotated_variable_counts_by_its_value(package):
    assert not changes(package, "other.py", "one = 1", "one: int = 1")
    assert changes(package, "other.py", "one: int = 1", "one: int = 2")


def test_stages_reach_what_they_run_and_no_more():
    assert {"tasks.reading", "methods.rl.rewards", "methods.rl.update"} <= set(code.modules_of(STAGE))
    assert "methods.rl.rewards" not in code.modules_of("methods.sft")
    assert STAGE not in code.modules_of("methods.sft")


@pytest.mark.parametrize("stage", sorted({str(m.module) for m in METHODS.values() if m.module} | {"tasks.prepare"}))
def test_no_stage_reaches_settings_housekeeping_jobs_or_the_readers_of_other_sources(stage):
    packages = {module.split(".")[0] for module in code.modules_of(stage)}
    assert packages.isdisjoint({"base", "config", "runs", "jobs", "microworld", "scores", "report", "planner"})
    assert "tasks.sources.hub" not in code.modules_of(stage)


def test_the_package_can_be_copied_and_keeps_its_digest(tmp_path, monkeypatch):
    before = code.code_digest(STAGE)
    shutil.copytree(code.PACKAGE, tmp_path / "rl4nlu", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code, "PACKAGE", tmp_path / "rl4nlu")
    forget()
    assert code.code_digest(STAGE) == before
    forget()


def test_an_unknown_stage_is_named():
    with pytest.raises(FileNotFoundError, match="no module 'pppo'"):
        code.code_digest("pppo")
