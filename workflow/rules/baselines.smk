"""Prompting baselines: majority, random, zero-shot and few-shot.

REQUIRED INPUTS: data/<task>/*.jsonl of every task that is evaluated
OUTPUTS: results/<model>/<method>/none/<variant>/seed<k>/{run.json, answers/<task>.jsonl, answers/<task>.json}
"""


rule baselines:
    """Majority, random, zero-shot and few-shot."""
    input:
        scores_of(*PROMPTING_METHODS),


rule prompt:
    """Ask the untouched model every task of its arm."""
    input:
        rows=prompting_rows,
        model=model_files,
        judges=lambda w: judge_files(spec_of(w).answering_judges),
    output:
        record="<results>/{model}/{method}/none/{variant}/seed{seed}/run.json",
        answers=directory("<results>/{model}/{method}/none/{variant}/seed{seed}/answers"),
    log:
        "<logs>/{model}/{method}/none/{variant}/seed{seed}.prompt.log",
    benchmark:
        "<benchmarks>/{model}/{method}/none/{variant}/seed{seed}.prompt.tsv"
    wildcard_constraints:
        method="|".join(map(re.escape, PROMPTING_METHODS)),
    conda:
        ENVIRONMENT
    threads: SETTINGS.threads
    resources:
        gpu=estimate("gpu", "evaluating"),
        mem_mb=estimate("mem_mb", "evaluating"),
        runtime=estimate("runtime", "evaluating"),
    params:
        command=command("prompting.py", f"--data {below('data')}", f"--work {below('work')}"),
        out=subpath(output.record, parent=True),
        run=lambda w: address_of(w).path,
        digest=lambda w: spec_of(w).answers_digest,
        code=lambda w: answering_code(w.method),
    shell:
        "{params.command} --run {params.run:q} --out {params.out:q} > {log:q} 2>&1"
