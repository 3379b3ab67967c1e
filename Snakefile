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
include: "workflow/rules/report_files.smk"
include: "workflow/rules/checks.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/models.smk"
include: "workflow/rules/rationales.smk"
include: "workflow/rules/pretrain.smk"
include: "workflow/rules/baselines.smk"
include: "workflow/rules/sft.smk"
include: "workflow/rules/ppo.smk"
include: "workflow/rules/rllr.smk"
include: "workflow/rules/ppo_rm.smk"
include: "workflow/rules/rlgf.smk"
include: "workflow/rules/encoder.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/collect.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/simulation.smk"


rule all:
    """Everything: tables, figures and, where TeX is at hand, the paper."""
    default_target: True
    input:
        tables_files(),
        figures_files(),
        paper_files(),
