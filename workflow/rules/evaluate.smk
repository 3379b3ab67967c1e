"""Scores of a trained run: on its own tasks, on those that follow them, or on tasks that it never saw.

REQUIRED INPUTS: the run's adapter or model; data/<task>/test.jsonl of every evaluated task
OUTPUTS: results/<model>/<method>/<mixture>/<variant>/seed<k>/evaluation/<task>/{predictions.jsonl,metrics.json}
"""


rule evaluate:
    """Scores of every run."""
    input:
        scores_of(*METHODS),


rule evaluate_run:
    """Score one trained run on all of its tasks."""
    input:
        rows=lambda w: [f"<data>/{task.name}/test.jsonl" for task in spec_of(w).eval_tasks],
        record="<results>/{model}/{method}/{mixture}/{variant}/seed{seed}/run.json",
        weights=lambda w: paths_of([address_of(w)], METHODS[w.method].leaves[-1]),
        model=model_files,
        stands_on=lambda w: stands_on(w.method)(w),
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
    threads: SETTINGS.threads
    resources:
        gpu=planned("gpu", "evaluating"),
        mem_mb=planned("mem_mb", "evaluating"),
        runtime=planned("runtime", "evaluating"),
    params:
        command=command("evaluate.py", f"--data {below('data')}", f"--work {below('work')}"),
        trained=subpath(input.record, parent=True),
        run=lambda w: address_of(w).path,
        digest=lambda w: spec_of(w).evaluation_digest,
        code=code_digest("scores.evaluate"),
    shell:
        "{params.command} --run {params.run:q} --trained {params.trained:q} --out {output.scores:q} > {log:q} 2>&1"
