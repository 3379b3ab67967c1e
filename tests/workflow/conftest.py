"""A copy of the checkout that a test may edit and run the real workflow in."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Checkout:
    folder: Path

    def snakemake(self, *arguments: str, fails: bool = False, before: Path | None = None) -> str:
        """Output of a snakemake command in the copy; `before`: see `environment`."""
        return self.python("-m", "snakemake", *arguments, fails=fails, before=before)

    def python(self, *arguments: str, fails: bool = False, before: Path | None = None) -> str:
        """Output of a Python program in the copy."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self.environment(before),
            capture_output=True,
            text=True,
        )
        output = done.stdout + done.stderr
        assert (done.returncode != 0) == fails, output
        return output

    def environment(self, before: Path | None = None) -> dict[str, str]:
        """In which the copy's own sources are imported (those in `before`, first)."""
        folders = [str(folder) for folder in (before, self.folder / "src") if folder]
        return {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.folder / name
        text = path.read_text()
        assert old in text, f"{name} does not hold {old!r}"
        path.write_text(text.replace(old, new, 1))


def copy_of(root: Path, folder: Path) -> Checkout:
    for name in ("Snakefile", "workflow", "src", "config", "resources", "paper", "profiles", "envs"):
        source = root / name
        if source.is_dir():
            shutil.copytree(
                source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "generated", "*.egg-info")
            )
        else:
            shutil.copy2(source, folder / name)
    return Checkout(folder)


@pytest.fixture
def checkout(root, tmp_path) -> Checkout:
    return copy_of(root, tmp_path)


def slurm_that_says(folder, *lines):
    """PATH with Slurm's programs, of which `scontrol` shows the given settings and `sbatch` takes no job."""
    folder.mkdir()
    for name in ("sbatch", "squeue", "scontrol", "sacct", "sinfo"):
        shown = [f'echo "{line}"' for line in lines] if name == "scontrol" else ["exit 1"] if name == "sbatch" else []
        (folder / name).write_text("\n".join(["#!/bin/sh", *shown, ""]))
        (folder / name).chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"
