"""The config, checked and resolved into runs; helpers that the rules' inputs and params are written with."""

import os
import shlex
import shutil
import sys
from collections import Counter
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from rl4nlu.base.code import code_digest
from rl4nlu.base.errors import ConfigError
from rl4nlu.base.files import REPOSITORY, digest_of, write_json
from rl4nlu.base.machine import visible_gpus
from rl4nlu.config import METHODS, PROMPTING_METHODS, RATIONALE_METHODS, load_config
from rl4nlu.jobs import preflight
from rl4nlu.planner.estimate import Plan
from rl4nlu.runs.grid import open_grid
from rl4nlu.runs.spec import Address
from rl4nlu.tasks.prepare import local_files

try:
    SETTINGS = load_config(dict(config))
    GRID = open_grid(SETTINGS)
except ConfigError as error:
    raise WorkflowError(str(error)) from None

MODELS, TASKS, RUNS = GRID.models, GRID.tasks, GRID.runs
PROGRAMS = os.path.relpath(REPOSITORY / "workflow" / "scripts")
ENVIRONMENT = REPOSITORY / "envs" / "rl4nlu.yaml"

PUBLISHED = Path(os.path.relpath(REPOSITORY / "resources" / "published" / "ppo_for_nlu.csv"))

COLLECTED = ["metrics", "runs", "comparisons", "data", "history", "invalid", "rewards", "replies"]
TABLES = [
    "glue",
    "superglue",
    "other-models",
    "cost",
    "validation",
    "budgets",
    "comparisons",
    "invalid",
    "variants",
]
TABLES += ["rllr", "rllr-differences", "reward-models", "ppo-rm"]
TABLES += ["other-tasks", "averages", "published-transfer", "published-other", "data"]
FIGURES = ["scores", "curves", "gains", "invalid", "over-optimisation", "thresholds"]
PAPER_SOURCES = [os.path.relpath(REPOSITORY / "paper" / name) for name in ("main.tex", "refs.bib")]
MICRO_MODELS = [name for name, model in MODELS.items() if model.path.startswith("resources/micro/")]

# The merged config, command line included, as the one file that every program reads.
CONFIG_FILE = Path(below("work")) / f"config-{digest_of(dict(config))}.json"
if not CONFIG_FILE.is_file():
    write_json(CONFIG_FILE, dict(config))


if workflow.is_main_process:
    looked_in = [Path(workflow.workdir_init), REPOSITORY]
    if fault := preflight.profile_fault(sys.argv, looked_in):
        raise WorkflowError(fault)


onstart:
    check_machine()
    for line in GRID.absent.values():
        print(line, file=sys.stderr)
    if not tex_program():
        print(NO_TEX, file=sys.stderr)


# A signal reaches the program itself rather than the shell around it, which would end before the program can save.
shell.prefix("set -euo pipefail; exec ")


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


def check_machine():
    """Stop before the first job where this machine, or the cluster's settings, cannot do what is about to start."""
    jobs = list(workflow.dag.needrun_jobs())
    faults, warnings = [], []
    if workflow.local_exec:
        asked = Counter(job.rule.name for job in jobs if job.resources.get("gpu"))
        faults = [preflight.gpu_fault(asked, visible_gpus())]
    elif workflow.executor_plugin.name == "slurm":
        faults, warnings = check_slurm([job for job in jobs if not job.is_local], workflow.executor_settings)
    for line in warnings:
        logger.warning(f"WARNING: {line}")
    if found := [fault for fault in faults if fault]:
        raise WorkflowError("\n".join(found))


def check_slurm(jobs, chosen):
    """Faults and warnings of a run on Slurm with the executor's settings `chosen`."""
    if fault := preflight.missing_slurm():
        return [fault], []
    faults, warnings = preflight.slurm_faults(
        preflight.slurm_facts(),
        chosen.status_command,
        chosen.init_seconds_before_status_checks,
        chosen.status_attempts,
        workflow.remote_execution_settings.max_status_checks_per_second,
        sacct=shutil.which("sacct") is not None,
    )
    if not (chosen.partition_config or os.environ.get("SNAKEMAKE_SLURM_PARTITIONS")):
        names = ("slurm_partition", "runtime")
        asked = {
            (job.rule.name, *(job.resources.get(name) for name in names))
            for job in jobs
            if not job.is_group()
        }
        faults.append(preflight.runtime_fault(asked, preflight.partition_minutes()))
    extras = {(job.rule.name, job.resources.get("slurm_extra")) for job in jobs if not job.is_group()}
    if warning := preflight.unwarned(extras):
        warnings.append(warning)
    return [*faults, preflight.token_fault(workflow.output_settings.verbose, os.environ)], warnings


def paths_of(addresses, name):
    return [f"<results>/{address.path}/{name}" for address in addresses]


def records_of(*methods):
    """run.json of every run of the grid by one of `methods`."""
    return paths_of([a for a in RUNS if a.method in methods], "run.json")


def scores_of(*methods):
    """Evaluation folder of every run of the grid by one of `methods` that answers tasks."""
    return paths_of(
        [a for a in RUNS if a.method in methods and METHODS[a.method].scored], "evaluation"
    )


def training_rows(method):
    """Input function: rows that a run is trained and selected on."""
    return lambda w: [
        f"<data>/{task.name}/{split}.jsonl"
        for task in spec_of(w, method).train_tasks
        for split in ("train", "validation")
    ]


def loads_model(wildcards):
    """Whether a rule's program loads its model: guesses by label frequencies need none."""
    method = getattr(wildcards, "method", None)
    return method is None or METHODS[method].loads is not None


def weights_of(model):
    """Weights of a model that lies in a folder, or the record of a hub model's."""
    folder = REPOSITORY / MODELS[model].path
    if not folder.is_dir():
        return f"<models>/{model}.json"
    return [os.path.relpath(folder / name) for name in ("config.json", "model.safetensors")]


def model_files(wildcards):
    """Weights of the rule's model; none where no model is asked."""
    return weights_of(wildcards.model) if loads_model(wildcards) else []


def encoder_files(wildcards):
    """Weights of the encoder that becomes a reward model."""
    return weights_of(spec_of(wildcards, "reward-encoder").settings.encoder)


def fetched_models():
    """Records of the hub models that the grid's runs load."""
    used = {address.model for address in RUNS if loads_model(address)}
    used |= {spec.settings.encoder for spec in RUNS.values() if spec.method == "reward-encoder"}
    return [f"<models>/{name}.json" for name in sorted(used) if not (REPOSITORY / MODELS[name].path).is_dir()]


PLAN = Plan(Path(below("data")))


def grown(amount, attempt):
    """Half as much again at every further attempt; attempts are a profile's `retries`."""
    return round(amount * 1.5 ** (attempt - 1))


def growing(amount):
    """Resource function: a fixed amount that grows with the attempt."""
    return lambda wildcards, attempt: grown(amount, attempt)


def planned(resource, stage, method=None):
    """Resource function: `gpu`, `mem_mb` or `runtime` of a run's job ("training" or "evaluating"), as the planner estimates
    it for the first attempt."""

    def amount(wildcards, attempt):
        estimate = PLAN.resources(stage, spec_of(wildcards, method))[resource]
        return estimate if resource == "gpu" else grown(estimate, attempt)

    return amount


def command(program, *options, online=False):
    """Start of a rule's command line. A function of `input` is no rerun trigger, which a path must not be.

    Jobs read what local rules brought from the hub, and never ask it: their nodes may have no network.
    """
    python = ["python"] if online else ["env HF_HUB_OFFLINE=1 python"]
    return lambda wildcards, input: " ".join(
        [*python, f"{PROGRAMS}/{program}", f"--config {CONFIG_FILE}", *options]
    )


def tex_program():
    return shutil.which("latexmk") or shutil.which("tectonic")


NO_TEX = "no PDF: neither latexmk nor tectonic is on the PATH (Debian: apt-get install latexmk texlive-latex-extra)"


def source_files(wildcards):
    """Official files of a task, where rows come from a folder."""
    return local_files(TASKS[wildcards.task], SETTINGS.data)


def prompting_rows(wildcards):
    """Test rows of every evaluated task; demonstrations and validation come from the task that it follows."""
    spec = spec_of(wildcards)
    files = {f"<data>/{name}/record.json" for name in spec.scored_from}
    if spec.method == "few-shot" and spec.protocol.response == "rationale":  # demonstrations show them
        files |= {f"<data>/{task.trained_with or task.name}/rationales.jsonl" for task in spec.eval_tasks}
    return sorted(files)


def reasoned_tasks():
    """Tasks of the grid's runs that give a rationale before the label: those that they train on, or are shown."""
    runs = [spec for spec in RUNS.values() if spec.protocol.response == "rationale"]
    chosen = {task.trained_with or task.name for spec in runs for task in spec.train_tasks or spec.eval_tasks}
    return sorted(name for name in chosen if TASKS[name].labels)


def supplied_rationales(wildcards):
    """The user's file of a task's rationales, where config says that they are supplied."""
    settings = SETTINGS.rationales
    return settings.supplied.format(task=wildcards.task) if settings.source == "supplied" else []


def start_adapter(method):
    """Input function: adapter that a run starts from, none for runs from the foundation model."""

    def adapter(wildcards):
        start = spec_of(wildcards, method).start
        return f"<results>/{start}/adapter" if start else []

    return adapter


def rationale_files(method):
    """Input function: rationales of the tasks that a run trains on."""
    return lambda w: [f"<data>/{task.name}/rationales.jsonl" for task in spec_of(w, method).train_tasks]


def stands_on(method):
    """Input function: records of the runs that a run stands on (each is written last, when its files are whole)."""
    return lambda w: [f"<results>/{path}/run.json" for path in spec_of(w, method).stands_on.values()]


def run_files(method):
    """Outputs of a run's rule: its record and what its method leaves; names without a suffix are folders."""
    names = METHODS[method].leaves
    folder = f"<results>/{{model}}/{method}/{{mixture}}/{{variant}}/seed{{seed}}"
    keys = {name: name.removesuffix(".jsonl").removesuffix(".json").replace(".", "_") for name in names}
    named = {
        keys[name]: f"{folder}/{name}" if "." in name else directory(f"{folder}/{name}") for name in names
    }
    return {"record": f"{folder}/run.json", **named}


def run_params(method):
    """Parameters of a run's rule: its command line and the digests of settings and code that rerun it; `start` names the
    adapter that it starts from, if its inputs have one."""
    folders = [f"--{name} {below(name)}" for name in ("data", "work")]
    return {
        "command": command(f"{METHODS[method].program}.py", *folders),
        "out": subpath(output.record, parent=True),
        "run": lambda w: address_of(w, method).path,
        "digest": lambda w: spec_of(w, method).digest,
        "start": lambda w, input: f"--start {input.start}" if input.get("start") else "",
        "code": code_digest(METHODS[method].module),
    }


def run_resources(method):
    """Resources of a run's training, as the planner estimates them."""
    return {name: planned(name, "training", method) for name in ("gpu", "mem_mb", "runtime")}


def evaluated_rows(wildcards):
    return [f"<data>/{task.name}/test.jsonl" for task in spec_of(wildcards).eval_tasks]


def trained_weights(wildcards):
    """Weights of the run that is scored."""
    return paths_of([address_of(wildcards)], METHODS[wildcards.method].leaves[-1])


def tables_files():
    return multi("tables", TABLES, ("tex", "csv", "md"))


def figures_files():
    return multi("figures", FIGURES, ("pdf", "png"))


def multi(kind, names, suffixes):
    return [f"<paper>/generated/{kind}/{name}.{suffix}" for name in names for suffix in suffixes]


def in_report(category, kind, name, suffix):
    """A file that `snakemake --report` shows, with the caption of its own name."""
    caption, path = f"../report/{kind}/{name}.rst", f"<paper>/generated/{kind}/{name}.{suffix}"
    return report(path, category=category, caption=caption, labels={kind.removesuffix("s"): name})


def on_disk():
    """Names the scores that lie in results/, so that tables made from them follow them."""
    found = sorted(Path(below("results")).glob("*/*/*/*/seed*/evaluation/*/metrics.json"))
    return digest_of([[str(path), path.stat().st_mtime_ns] for path in found])


def collected_files():
    """The collected files, metrics first: none where only the print is wanted."""
    return {} if SETTINGS.source == "published" else {name: f"<results>/{name}.csv" for name in COLLECTED}


def reporting(program):
    """Command line of a program that makes what the paper prints."""
    options = ["--published", PUBLISHED.parent, "--scale", SETTINGS.name, "--note", SETTINGS.note]
    fixed = shlex.join(["python", f"{PROGRAMS}/{program}", *map(str, options)])
    return lambda wildcards, input: f"{fixed} --metrics {input.metrics}" if input.get("metrics") else fixed


def paper_files():
    """The PDF, where something can make it; its generated parts in any case."""
    return ["<paper>/main.pdf"] if tex_program() else ["<paper>/generated/numbers.tex"]
