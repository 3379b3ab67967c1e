"""Rationales for gold and wrong labels of a task's rows, from the source that config names.

REQUIRED INPUTS: data/<task>/{train,validation,test}.jsonl
OUTPUTS: data/<task>/rationales.jsonl and rationales-record.json; answers of models stay in work/rationales/
"""

from rl4nlu.rationales import writing
from rl4nlu.runs.grid import tasks_with_rationales


rule rationales:
    """Rationales of every task that a run of the grid gives reasons for."""
    input:
        [f"<data>/{task}/rationales.jsonl" for task in tasks_with_rationales(GRID)],


rule rationales_of_task:
    """Ask for rationales, keep those that argue for their label, and count the others."""
    input:
        rows=multiext("<data>/{task}/", "train.jsonl", "validation.jsonl", "test.jsonl", "record.json"),
        supplied=lambda w: (
            SETTINGS.rationales.supplied.format(task=w.task)
            if SETTINGS.rationales.source == "supplied"
            else []
        ),
    output:
        rationales="<data>/{task}/rationales.jsonl",
        record="<data>/{task}/rationales-record.json",
    log:
        "<logs>/rationales/{task}.log",
    benchmark:
        "<benchmarks>/rationales/{task}.tsv"
    priority: 1
    conda:
        ENVIRONMENT
    resources:
        gpu=int(SETTINGS.rationales.source == "chat" and SETTINGS.rationales.chat.dtype != "float32"),
        mem_mb=grow_from(4000),
        runtime=grow_from(720),
    params:
        command=command("rationales.py", f"--data {below('data')}", f"--work {below('work')}"),
        out=subpath(output.record, parent=True),
        read=lambda w: digest_of(writing.values_read(TASKS[w.task], SETTINGS.rationales)),
        code=code_digest(*writing.code_of(SETTINGS.rationales)),
    shell:
        "{params.command} --task {wildcards.task:q} --out {params.out:q} > {log:q} 2>&1"
