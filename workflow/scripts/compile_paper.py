"""Compile the paper in a scratch folder, with latexmk or tectonic, and put the PDF in its place (rule compile_paper)."""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path


def first_error(log: Path) -> str:
    """The TeX log from its first error on, some lines long."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    at = next((i for i, line in enumerate(lines) if line.startswith("!")), len(lines))
    return "\n".join(lines[at : at + 15])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", type=Path, nargs="+", help="main.tex first, then what lies beside it")
    parser.add_argument("--generated", type=Path, required=True, help="folder of tables, figures and numbers")
    parser.add_argument("--scratch", type=Path, required=True, help="folder to compile in; emptied first")
    parser.add_argument("--out", type=Path, required=True, help="PDF to write")
    arguments = parser.parse_args()
    shutil.rmtree(arguments.scratch, ignore_errors=True)
    shutil.copytree(arguments.generated, arguments.scratch)
    for source in arguments.sources:
        shutil.copy2(source, arguments.scratch)
    text = arguments.sources[0].name
    command = ["latexmk", "-pdf", "-interaction=nonstopmode", "-halt-on-error", text]
    if shutil.which("latexmk") is None:
        command = ["tectonic", "--keep-logs", text]
    done = subprocess.run(command, cwd=arguments.scratch)
    made = (arguments.scratch / text).with_suffix(".pdf")
    if done.returncode or not made.is_file():
        sys.exit(f"error: {command[0]} could not compile {text}:\n{first_error(made.with_suffix('.log'))}")
    beside = arguments.out.with_name(f".{arguments.out.name}")
    shutil.copy2(made, beside)
    beside.replace(arguments.out)


if __name__ == "__main__":
    main()
