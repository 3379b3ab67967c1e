"""The paper's source fits what the programs write: every file, macro, citation and label it names exists."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from synthetic import collected_folder, inputs

from rl4nlu.report.figures import FIGURES
from rl4nlu.report.macros import build_macros
from rl4nlu.report.tables import TABLES


@pytest.fixture(scope="module")
def source(root: Path) -> str:
    return re.sub(r"(?<!\\)%.*", "", (root / "paper" / "main.tex").read_text())


def test_every_file_that_is_read_is_made(source: str) -> None:
    made = {
        "numbers.tex",
        "tables/task-notes.tex",
        *(f"tables/{name}.tex" for name in TABLES),
        *(f"figures/{name}.pdf" for name in FIGURES),
    }
    read = set(re.findall(r"\\(?:input|includegraphics(?:\[[^]]*\])?)\{([^}]+)\}", source))
    assert read == made


def test_every_number_is_defined(source: str) -> None:
    used = set(re.findall(r"\\n([A-Z][A-Za-z]+)", source))
    assert used <= set(build_macros(inputs(False)))
    assert len(used) > 60


def test_every_citation_and_label_exists(source: str, root: Path) -> None:
    entries = set(re.findall(r"@\w+\{(\w+),", (root / "paper" / "refs.bib").read_text()))
    cited = {key.strip() for keys in re.findall(r"\\cite[tp]?\{([^}]+)\}", source) for key in keys.split(",")}
    assert cited <= entries
    labels = set(re.findall(r"\\label\{([^}]+)\}", source)) | {
        f"tab:{name}" for name in TABLES if name not in ("variants", "other-tasks")
    }
    assert set(re.findall(r"\\ref\{([^}]+)\}", source)) <= labels


def test_captions_of_the_report_exist(root: Path) -> None:
    assert {path.stem for path in (root / "workflow/report/tables").glob("*.rst")} == set(TABLES)
    assert {path.stem for path in (root / "workflow/report/figures").glob("*.rst")} == set(FIGURES)


@pytest.mark.slow
@pytest.mark.parametrize("reproduced", [True, False])
def test_the_paper_compiles_within_its_margins(root: Path, tmp_path: Path, reproduced: bool) -> None:
    if shutil.which("latexmk") is None:
        pytest.skip("latexmk is not on the PATH")
    made = ["--metrics", str(collected_folder() / "metrics.csv")] if reproduced else []
    for program, out in (("tables", "tables"), ("figures", "figures"), ("text_numbers", "numbers.tex")):
        script = root / "workflow" / "scripts" / f"{program}.py"
        subprocess.run(
            [sys.executable, script, *made, "--note", "50 % of nothing_", "--out", tmp_path / out],
            check=True,
            capture_output=True,
        )
    command = [
        "latexmk",
        "-pdf",
        "-interaction=nonstopmode",
        "-halt-on-error",
        f"-outdir={tmp_path / 'pdf'}",
        "main.tex",
    ]
    done = subprocess.run(
        command, cwd=root / "paper", env={**os.environ, "TEXINPUTS": f"{tmp_path}:"}, capture_output=True, text=True
    )
    log = (tmp_path / "pdf" / "main.log").read_text(errors="replace")
    assert done.returncode == 0, done.stdout[-3000:]
    assert (tmp_path / "pdf" / "main.pdf").stat().st_size > 50_000
    for fault in ("Overfull", "undefined", "multiply defined"):
        assert fault not in log, [line for line in log.splitlines() if fault in line]
