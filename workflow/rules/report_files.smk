"""Files that are collected from the runs and printed in the paper, by the names that the package gives them."""

import shlex
import shutil

from rl4nlu.report.figures import FIGURES
from rl4nlu.report.inputs import COLLECTED, values_shown
from rl4nlu.report.names import DISCREPANCIES
from rl4nlu.report.published import published_files
from rl4nlu.report.tables import TABLES

PUBLISHED = Path(os.path.relpath(REPOSITORY / "resources" / "published"))
PAPER_SOURCES = [os.path.relpath(REPOSITORY / "paper" / name) for name in ("main.tex", "refs.bib")]


def on_disk():
    """Names the scores that lie in results/, so that tables made from them follow them."""
    found = sorted(Path(below("results")).glob("*/*/*/*/seed*/evaluation/*/metrics.json"))
    return digest_of([[str(path), path.stat().st_mtime_ns] for path in found])


def report_inputs():
    """Inputs of what is printed: the printed numbers, and the collected files unless only the print is wanted."""
    collected = (
        {} if SETTINGS.source == "published" else {name: f"<results>/{name}.csv" for name in COLLECTED}
    )
    return {**collected, "published": published_files(PUBLISHED)}


def report_command(program):
    """Command line of a program that makes what the paper prints."""
    options = ["--published", PUBLISHED, "--scale", SETTINGS.name, "--note", SETTINGS.note]
    fixed = shlex.join(["python", f"{PROGRAMS}/{program}", *map(str, options)])
    return lambda wildcards, input: f"{fixed} --metrics {input.metrics}" if input.get("metrics") else fixed


def multi(kind, names, suffixes):
    return [f"<paper>/generated/{kind}/{name}.{suffix}" for name in names for suffix in suffixes]


def tables_files():
    return multi("tables", TABLES, ("tex", "csv", "md"))


def figures_files():
    return multi("figures", FIGURES, ("pdf", "png"))


def in_report(category, kind, name, suffix):
    """A file that `snakemake --report` shows, with the caption of its own name."""
    caption, path = f"../report/{kind}/{name}.rst", f"<paper>/generated/{kind}/{name}.{suffix}"
    return report(path, category=category, caption=caption, labels={kind.removesuffix("s"): name})


def audit_files(wildcards):
    """What shows the effects of the papers' discrepancies, where the config runs any."""
    if not any(address.variant in DISCREPANCIES for address in RUNS):
        raise WorkflowError(
            f"audit: config {SETTINGS.name!r} runs no known discrepancy; add --configfile config/audit.yaml"
        )
    return [
        "<results>/effects.csv",
        *multi("tables", ["effects"], ("tex", "csv", "md")),
        *multi("figures", ["effects"], ("pdf", "png")),
        *paper_files(),
    ]


def tex_program():
    return shutil.which("latexmk") or shutil.which("tectonic")


def paper_files():
    """The PDF, where something can make it; its generated parts in any case."""
    return ["<paper>/main.pdf"] if tex_program() else ["<paper>/generated/numbers.tex"]
