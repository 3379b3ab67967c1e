"""Rows of a task, from the hub, from official files or from the microworld.

OUTPUTS: data/<task>/{train,validation,test}.jsonl and record.json
"""

from rl4nlu.tasks import prepare
from rl4nlu.tasks.available import local_files

# Rows from the hub are read on this machine, which has a network.
FROM_HUB = any((task.source or SETTINGS.data.source) == "hub" for task in TASKS.values())


rule data:
    """Rows of every task of the config, in one schema."""
    input:
        [f"<data>/{task}/record.json" for task in TASKS],


rule prepare:
    """Read a task's rows, carve validation from train, cap, and write them in one schema."""
    input:
        lambda w: local_files(TASKS[w.task], SETTINGS.data),
    output:
        multiext(
            "<data>/{task}/",
            train="train.jsonl",
            validation="validation.jsonl",
            test="test.jsonl",
            record="record.json",
        ),
    log:
        "<logs>/data/{task}.log",
    benchmark:
        "<benchmarks>/data/{task}.tsv"
    priority: 2  # rows take seconds, and everything waits for some
    localrule: FROM_HUB
    conda:
        ENVIRONMENT
    resources:
        mem_mb=grow_from(2000),
        runtime=grow_from(30),
    params:
        command=command("prepare_data.py", online=True),
        out=subpath(output.record, parent=True),
        read=lambda w: digest_of(prepare.values_read(TASKS[w.task], SETTINGS.data)),
        code=lambda w: code_digest(*prepare.code_of(TASKS[w.task], SETTINGS.data)),
    shell:
        "{params.command} --task {wildcards.task:q} --out {params.out:q} > {log:q} 2>&1"
