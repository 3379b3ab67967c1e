"""Scores of a trained run: on its own tasks, on those that follow them, or on tasks that it never saw.

REQUIRED INPUTS: the run's adapter or model; data/<task>/test.jsonl of every evaluated task
OUTPUTS: results/<model>/<method>/<mixture>/<variant>/seed<k>/evaluation/<task>/{predictions.jsonl,metrics.json}
"""


def evaluated_rows(wildcards):
    return [f"<data>/{task.name}/test.jsonl" for task in spec_of(wildcards).eval_tasks]


def trained_files(wildcards):
    """Record and weights of the run that is scored."""
    weights = "model" if wildcards.method == "encoder" else "adapter"
    return paths_of([address_of(wildcards)], "run.json") + paths_of([address_of(wildcards)], weights)


rule evaluate_run:
    """Score one trained run on all of its tasks."""
    input:
        rows=evaluated_rows,
        trained=trained_files,
        model=model_files,
    output:
        scores=directory("<results>/{model}/{method}/{mixture}/{variant}/seed{seed}/evaluation"),
    log:
        "<logs>/{model}/{method}/{mixture}/{variant}/seed{seed}.evaluate.log",
    benchmark:
        "<benchmarks>/{model}/{method}/{mixture}/{variant}/seed{seed}.evaluate.tsv"
    wildcard_constraints:
        method="|".join(m for m in METHODS if m not in PROMPTING_METHODS),
    conda:
        ENVIRONMENT
    resources:
        gpu=gpus,
        mem_mb=4000,
        runtime=240,
    params:
        run=lambda w: address_of(w).path,
        digest=lambda w: spec_of(w).evaluation_digest,
        code=code_digest("evaluate"),
    shell:
        "python {PROGRAMS}/evaluate.py --config {CONFIG_FILE:q} --run {params.run:q} --data {FOLDER:q}/data"
        " --trained $(dirname {input.trained[0]:q}) --out {output.scores:q} > {log:q} 2>&1"
