"""What must hold before the first job: the profile's name, the machine's GPUs, the cluster's settings, TeX."""

import shutil
import sys
from collections import Counter

from snakemake.logging import logger

from rl4nlu.base.machine import visible_gpus
from rl4nlu.jobs import preflight

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


NO_TEX = "no PDF: neither latexmk nor tectonic is on the PATH (Debian: apt-get install latexmk texlive-latex-extra)"


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
