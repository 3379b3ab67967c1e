"""The config, checked and resolved into runs; helpers that the rules' inputs and params are written with."""

import os
import re
from pathlib import Path

from snakemake.exceptions import WorkflowError

from rl4nlu.base.code import code_digest
from rl4nlu.base.errors import ConfigError
from rl4nlu.base.files import REPOSITORY, digest_of, write_json
from rl4nlu.config import METHODS, PROMPTING_METHODS, RATIONALE_METHODS, VADER, load_config
from rl4nlu.planner.resources import JobResources
from rl4nlu.runs.grid import open_grid
from rl4nlu.runs.keys import answering_code, scoring_code
from rl4nlu.runs.spec import Address

try:
    SETTINGS = load_config(dict(config))
    GRID = open_grid(SETTINGS)
except ConfigError as error:
    raise WorkflowError(str(error)) from None

MODELS, TASKS, RUNS = GRID.models, GRID.tasks, GRID.runs
RESOURCES = JobResources(Path(below("data")))
PROGRAMS = os.path.relpath(REPOSITORY / "workflow" / "scripts")
ENVIRONMENT = REPOSITORY / "envs" / "rl4nlu.yaml"

# The merged config, command line included, as the one file that every program reads.
CONFIG_FILE = Path(below("work")) / f"config-{digest_of(dict(config))}.json"
if not CONFIG_FILE.is_file():
    write_json(CONFIG_FILE, dict(config))


# A signal reaches the program itself rather than the shell around it, which would end before the program can save.
shell.prefix("set -euo pipefail; exec ")


wildcard_constraints:
    model="|".join(sorted(MODELS)),
    method="|".join(map(re.escape, METHODS)),
    mixture=r"[a-z0-9-]+",
    variant=r"[a-z0-9-]+",
    seed=r"\d+",
    task=r"[a-z0-9-]+",


# 1. Runs: a rule names its method, or has it as a wildcard.


def address_of(wildcards, method=None):
    """Address of the run that a rule's wildcards name."""
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
    """Evaluation folder of every run of the grid by one of `methods` that answers tasks."""
    return paths_of([a for a in RUNS if a.method in methods and METHODS[a.method].scored], "evaluation")


# 2. Inputs of a run's rule.


def run_inputs(method):
    """Inputs of a run's training that its resolved settings name: rows, rationales of gold answers, a guide, judges, what other runs left.

    The last are the adapter that it starts from, and the records of the runs that it stands on or takes its learning rate
    from (each is written last, when its files are whole).
    """

    def rows(wildcards):
        tasks = spec_of(wildcards, method).train_tasks
        return [f"<data>/{task.name}/{split}.jsonl" for task in tasks for split in ("train", "validation")]

    def start(wildcards):
        found = spec_of(wildcards, method).start
        return f"<results>/{found}/adapter" if found else []

    def stands_on(wildcards):
        needed = spec_of(wildcards, method).foundations
        return [f"<results>/{path}/run.json" for role, path in needed.items() if role != "start"]

    def gold(wildcards):
        spec = spec_of(wildcards, method)
        return rationale_files(method)(wildcards) if spec.reads_gold and spec.reads_rationales else []

    def guide(wildcards):
        spec = spec_of(wildcards, method)
        return weights_of(spec.guide_name) if spec.guide_spec else []

    def judges(wildcards):
        return judge_files(spec_of(wildcards, method).training_judges)

    return {
        "rows": rows,
        "start": start,
        "stands_on": stands_on,
        "gold": gold,
        "guide": guide,
        "judges": judges,
    }


def rationale_files(method):
    """Input function: rationales of the tasks that a run trains on."""
    return lambda w: [f"<data>/{task.name}/rationales.jsonl" for task in spec_of(w, method).train_tasks]


def weights_of(model):
    """Weights of a model that lies in a folder, or the record of a hub model's."""
    folder = REPOSITORY / MODELS[model].path
    if not folder.is_dir():
        return f"<models>/{model}.json"
    return [os.path.relpath(folder / name) for name in ("config.json", "model.safetensors")]


def judge_files(judges):
    """Weights of what judges texts, by task; a lexicon has none."""
    names = {SETTINGS.judges[task] for task, model in judges.items() if model.path != VADER}
    found = [weights_of(name) for name in sorted(names)]
    return [file for files in found for file in ([files] if isinstance(files, str) else files)]


def model_files(wildcards):
    """Weights of the rule's model; none for guesses by label frequencies, which need no model."""
    method = getattr(wildcards, "method", None)
    return [] if method and METHODS[method].loads is None else weights_of(wildcards.model)


def prompting_rows(wildcards):
    """Test rows of every evaluated task; demonstrations and validation come from the task that it follows."""
    spec = spec_of(wildcards)
    files = {f"<data>/{name}/record.json" for name in spec.scored_from}
    if spec.method == "few-shot" and spec.protocol.response == "rationale":  # demonstrations show them
        files |= {f"<data>/{task.trained_with or task.name}/rationales.jsonl" for task in spec.eval_tasks}
    return sorted(files)


# 3. Outputs, logs, resources and params of a run's rule.


def run_files(method):
    """Outputs: the run's record and what its method leaves; names without a suffix are folders."""
    names = METHODS[method].leaves
    folder = f"<results>/{{model}}/{method}/{{mixture}}/{{variant}}/seed{{seed}}"
    keys = {name: name.removesuffix(".jsonl").removesuffix(".json").replace(".", "_") for name in names}
    named = {
        keys[name]: f"{folder}/{name}" if "." in name else directory(f"{folder}/{name}") for name in names
    }
    return {"record": f"{folder}/run.json", **named}


def run_log(method):
    """Log of a run's training."""
    return f"<logs>/{{model}}/{method}/{{mixture}}/{{variant}}/seed{{seed}}.train.log"


def run_benchmark(method):
    """Time and memory of a run's training, as Snakemake measures them."""
    return f"<benchmarks>/{{model}}/{method}/{{mixture}}/{{variant}}/seed{{seed}}.train.tsv"


def grow(amount, attempt):
    """Half as much again at every further attempt; attempts are a profile's `retries`."""
    return round(amount * 1.5 ** (attempt - 1))


def grow_from(amount):
    """Resource function: a fixed amount that grows with the attempt."""
    return lambda wildcards, attempt: grow(amount, attempt)


def estimate(resource, stage, method=None):
    """Resource function: `gpu`, `mem_mb` or `runtime` of a run's job ("training" or "evaluating"), as the planner has it."""

    def amount(wildcards, attempt):
        needed = RESOURCES.of(stage, spec_of(wildcards, method))[resource]
        return needed if resource == "gpu" else grow(needed, attempt)

    return amount


def run_resources(method):
    """Resources of a run's training, as the planner estimates them."""
    return {name: estimate(name, "training", method) for name in ("gpu", "mem_mb", "runtime")}


def command(program, *options, online=False):
    """Start of a rule's command line. A function of `input` is no rerun trigger, which a path must not be.

    Jobs read what local rules brought from the hub, and never ask it: their nodes may have no network.
    """
    python = ["python"] if online else ["env HF_HUB_OFFLINE=1 python"]
    return lambda wildcards, input: " ".join(
        [*python, f"{PROGRAMS}/{program}", f"--config {CONFIG_FILE}", *options]
    )


def run_params(method):
    """Command line (`start`: the adapter that it starts from, if any), and digests of the settings and code that rerun a run."""
    folders = [f"--{name} {below(name)}" for name in ("data", "work")]
    return {
        "command": command(f"{METHODS[method].program}.py", *folders),
        "out": subpath(output.record, parent=True),
        "run": lambda w: address_of(w, method).path,
        "digest": lambda w: spec_of(w, method).digest,
        "start": lambda w, input: f"--start {input.start}" if input.get("start") else "",
        "code": code_digest(METHODS[method].module),
    }
