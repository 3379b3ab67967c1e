"""The config, checked and resolved into runs; helpers that the rules' inputs and params are written with."""

import os
import shutil
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

from rl4nlu.code import code_digest
from rl4nlu.config import METHODS, PROMPTING_METHODS, REPOSITORY, ConfigError, load_config
from rl4nlu.records import digest_of, write_json
from rl4nlu.runs import Address, local_files, open_grid

try:
    SETTINGS = load_config(dict(config))
    GRID = open_grid(SETTINGS)
except ConfigError as error:
    raise WorkflowError(str(error)) from None

MODELS, TASKS, RUNS = GRID.models, GRID.tasks, GRID.runs
FOLDER = SETTINGS.folder
PROGRAMS = os.path.relpath(REPOSITORY / "workflow" / "scripts")
ENVIRONMENT = REPOSITORY / "envs" / "rl4nlu.yaml"

# The merged config, command line included, as the one file that every program reads.
CONFIG_FILE = Path(FOLDER) / "work" / f"config-{digest_of(dict(config))}.json"
if not CONFIG_FILE.is_file():
    write_json(CONFIG_FILE, dict(config))


onstart:
    for line in GRID.absent.values():
        print(line, file=sys.stderr)
    if not tex_program():
        print(NO_TEX, file=sys.stderr)


wildcard_constraints:
    model="|".join(sorted(MODELS)),
    method="|".join(METHODS),
    mixture=r"[a-z0-9-]+",
    variant=r"[a-z0-9-]+",
    seed=r"\d+",
    task=r"[a-z0-9-]+",


def address_of(wildcards, method=None):
    """Address of the run that a rule's wildcards name; the method is the rule's own where it is no wildcard."""
    w = wildcards
    return Address(
        w.model, method or w.method, getattr(w, "mixture", "none"), getattr(w, "variant", "main"), int(w.seed)
    )


def spec_of(wildcards, method=None):
    """The resolved run, or an error that says that it is not in the grid."""
    address = address_of(wildcards, method)
    if address not in RUNS:
        raise WorkflowError(f"run {address.path} is not in the grid of config {SETTINGS.name!r}")
    return RUNS[address]


def paths_of(addresses, name):
    return [f"<results>/{address.path}/{name}" for address in addresses]


def records_of(*methods):
    """run.json of every run of the grid by one of `methods`."""
    return paths_of([a for a in RUNS if a.method in methods], "run.json")


def scores_of(*methods):
    """Evaluation folder of every run of the grid by one of `methods`."""
    return paths_of([a for a in RUNS if a.method in methods], "evaluation")


def training_rows(method):
    """Input function: rows that a run is trained and selected on."""
    return lambda w: [
        f"<data>/{task.name}/{split}.jsonl"
        for task in spec_of(w, method).train_tasks
        for split in ("train", "validation")
    ]


def model_files(wildcards):
    """Weights of a model that lies in a folder; a hub model has none here, its revision is among the params."""
    folder = REPOSITORY / MODELS[wildcards.model].path
    return (
        [os.path.relpath(folder / name) for name in ("config.json", "model.safetensors")]
        if folder.is_dir()
        else []
    )


def gpus(wildcards):
    """One GPU for models in half precision, none for the embedded ones."""
    return 0 if MODELS[wildcards.model].dtype == "float32" else 1


def tex_program():
    return shutil.which("latexmk") or shutil.which("tectonic")


NO_TEX = "no PDF: neither latexmk nor tectonic is on the PATH (Debian: apt-get install latexmk texlive-latex-extra)"
