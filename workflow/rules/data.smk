"""Rows of a task, from the hub, from official files or from the microworld.

OUTPUTS: data/<task>/{train,validation,test}.jsonl and record.json
"""


rule data:
    """Rows of every task of the config, in one schema."""
    input:
        [f"<data>/{task}/record.json" for task in TASKS],


rule prepare:
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
    """Read a task's rows, carve validation from train, cap, and write them in one schema."""

    # rows from the hub are read where there is a network
    localrule: any((task.source or SETTINGS.data.source) == "hub" for task in TASKS.values())
    conda:
        ENVIRONMENT
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        command=command("prepare_data.py", online=True),
        out=subpath(output.record, parent=True),
        read=lambda w: digest_of(prepare.values_read(TASKS[w.task], SETTINGS.data)),
        code=lambda w: code_digest(*prepare.code_of(TASKS[w.task], SETTINGS.data)),
    shell:
        "{params.command} --task {wildcards.task:q} --out {params.out:q} > {log:q} 2>&1"
