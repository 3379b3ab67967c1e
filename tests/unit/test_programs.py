"""The rules' programs load heavy packages only where they compute with them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from synthetic import collected_folder, write_tree

from rl4nlu.config import METHODS
from rl4nlu.tasks.task import load_tasks

PROGRAMS = Path(__file__).resolve().parents[2] / "workflow" / "scripts"
HEAVY = {"torch", "transformers", "datasets", "peft", "trl", "sklearn", "scipy", "matplotlib"}


def imported(program: str, *arguments: object) -> set[str]:
    """Packages that a program has imported by its end, by Python's own account."""
    command = [sys.executable, "-X", "importtime", str(PROGRAMS / program), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    found = {name.split(".")[0] for name in re.findall(r"^import time:.*\| *(\S+)$", done.stderr, re.MULTILINE)}
    assert "argparse" in found
    return found


@pytest.mark.parametrize("program", sorted(path.name for path in PROGRAMS.glob("*.py")))
def test_arguments_are_parsed_before_anything_heavy_is_imported(program: str) -> None:
    assert imported(program, "--help") & HEAVY == set()


def test_collecting_imports_nothing_heavy(tmp_path: Path) -> None:
    write_tree(tmp_path / "results", load_tasks(), [("micro-llama", "sft", "cola", "main", [0, 1], ["cola"])])
    found = imported("collect.py", "--results", tmp_path / "results", "--draws", 20, "--out", tmp_path / "collected")
    assert (tmp_path / "collected" / "metrics.csv").is_file()
    assert found & HEAVY <= {"scipy"}  # for the t distribution


@pytest.mark.parametrize(
    ("program", "needed"), [("tables.py", set()), ("text_numbers.py", set()), ("figures.py", {"matplotlib"})]
)
def test_reporting_imports_no_torch(program: str, needed: set[str], tmp_path: Path) -> None:
    found = imported(program, "--metrics", collected_folder() / "metrics.csv", "--out", tmp_path / "out")
    assert found & HEAVY == needed


def test_preparing_rows_imports_no_torch(tmp_path: Path) -> None:
    found = imported("prepare_data.py", "--task", "rte", "--out", tmp_path / "rte")
    assert (tmp_path / "rte" / "train.jsonl").is_file()
    assert found & HEAVY == set()


@pytest.mark.parametrize("method", [name for name in METHODS if METHODS[name].module])
def test_a_program_names_the_module_that_trains_and_its_rules(method: str) -> None:
    said = (PROGRAMS / f"{METHODS[method].program}.py").read_text().split('"""')[1]
    assert f"rl4nlu.{METHODS[method].module}" in said
    assert re.search(rf"train_{method.replace('-', '_').replace('++', '_pp')}\b", said)
