"""Prompting baselines: majority, random, zero-shot and few-shot.

REQUIRED INPUTS: data/<task>/*.jsonl of every task that is evaluated
OUTPUTS: results/<model>/<method>/none/<variant>/seed<k>/{run.json, evaluation/<task>/{predictions.jsonl,metrics.json}}
"""


def prompting_rows(wildcards):
    """Test rows of every evaluated task; demonstrations and validation come from the task that it follows."""
    tasks = spec_of(wildcards).eval_tasks
    return sorted(
        {f"<data>/{name}/record.json" for t in tasks for name in (t.name, t.trained_with or t.name)}
    )


rule prompt:
    """Score the untouched model on every task of its arm."""
    input:
        rows=prompting_rows,
        model=model_files,
    output:
        record="<results>/{model}/{method}/none/{variant}/seed{seed}/run.json",
        scores=directory("<results>/{model}/{method}/none/{variant}/seed{seed}/evaluation"),
    log:
        "<logs>/{model}/{method}/none/{variant}/seed{seed}.log",
    benchmark:
        "<benchmarks>/{model}/{method}/none/{variant}/seed{seed}.tsv"
    wildcard_constraints:
        method="|".join(PROMPTING_METHODS),
    conda:
        ENVIRONMENT
    resources:
        gpu=gpus,
        mem_mb=4000,
        runtime=240,
    params:
        run=lambda w: address_of(w).path,
        digest=lambda w: spec_of(w).evaluation_digest,
        code=code_digest("prompting", "evaluate"),
    shell:
        "python {PROGRAMS}/prompting.py --config {CONFIG_FILE:q} --run {params.run:q}"
        " --data {FOLDER:q}/data --out $(dirname {output.record:q}) > {log:q} 2>&1"
