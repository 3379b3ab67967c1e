"""rl4nlu: reinforcement learning for language understanding, from raw rows to the compiled paper.

What is run is said by a config (`config/*.yaml`), how and where by a profile (`profiles/`).
Every stage is one file below workflow/rules/, and its program one file below workflow/scripts/.
"""

import os

from snakemake.utils import min_version

min_version("9.25")


# One file is one scale: the default is read only where none is named on the command line.
if "grid" not in config:

    configfile: "config/config.yaml"


# Everything that is produced lies below the config's folder.
below = lambda name: os.path.normpath(os.path.join(config.get("folder", "."), name))


pathvars:
    data=below("data"),
    models=below("models"),
    results=below("results"),
    logs=below("logs"),
    benchmarks=below("benchmarks/runs"),
    work=below("work"),
    pretrained=below("pretrained"),
    paper=below("paper"),


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/models.smk"
include: "workflow/rules/rationales.smk"
include: "workflow/rules/pretrain.smk"
include: "workflow/rules/baselines.smk"
include: "workflow/rules/sft.smk"
include: "workflow/rules/ppo.smk"
include: "workflow/rules/grpo.smk"
include: "workflow/rules/rllr.smk"
include: "workflow/rules/ppo_rm.smk"
include: "workflow/rules/encoder.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/collect.smk"
include: "workflow/rules/paper.smk"


# Targets in pipeline order: `snakemake --cores all <target>` stops at any of them.
localrules:
    all,
    data,
    models,
    rationales,
    pretrain,
    baselines,
    sft,
    ppo,
    grpo,
    rllr,
    ppo_rm,
    encoder,
    evaluate,
    tables,
    figures,
    paper,


rule all:
    """Everything: tables, figures and, where TeX is at hand, the paper."""
    default_target: True
    input:
        tables_files(),
        figures_files(),
        paper_files(),


rule data:
    """Rows of every task of the config, in one schema."""
    input:
        [f"<data>/{task}/record.json" for task in TASKS],


rule models:
    """Models of the grid that lie on the hub, in its cache."""
    input:
        fetched_models(),


rule rationales:
    """Rationales of every task that a run of the grid gives reasons for."""
    input:
        [f"<data>/{task}/rationales.jsonl" for task in reasoned_tasks()],


rule pretrain:
    """The micro models, made anew beside the shipped ones."""
    input:
        expand("<pretrained>/{model}/model.safetensors", model=MICRO_MODELS),


rule baselines:
    """Majority, random, zero-shot and few-shot."""
    input:
        scores_of(*PROMPTING_METHODS),


rule sft:
    """Supervised fine-tuning: every run, trained."""
    input:
        records_of("sft"),


rule ppo:
    """Proximal policy optimisation: every run, trained."""
    input:
        records_of("ppo"),


rule grpo:
    """Group-relative policy optimisation: every run, trained."""
    input:
        records_of("grpo"),


rule rllr:
    """Methods that give a rationale first, the second paper's chain: every run, trained."""
    input:
        records_of(*RATIONALE_METHODS),


rule ppo_rm:
    """PPO against the first paper's reward model, and its counterpart with the label's reward: every run, trained."""
    input:
        records_of("ppo-rationale", "ppo-rm"),


rule encoder:
    """BERT comparison: every run, trained."""
    input:
        records_of("encoder"),


rule evaluate:
    """Scores of every run."""
    input:
        scores_of(*METHODS),


rule tables:
    """Tables as LaTeX, CSV and Markdown."""
    input:
        tables_files(),


rule figures:
    """Figures as PDF and PNG."""
    input:
        figures_files(),


rule paper:
    """The compiled paper."""
    input:
        paper_files(),
