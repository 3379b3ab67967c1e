"""Answers of a trained run to its own tasks, to those that follow them, or to tasks that it never saw; and scores of any run.

Asking and scoring are two steps: another metric, interval or parser asks no model again.

REQUIRED INPUTS: the run's adapter or model; data/<task>/test.jsonl of every evaluated task
OUTPUTS: in results/<model>/<method>/<mixture>/<variant>/seed<k>/
  answers/: <task>.jsonl, an answer a row; <task>.json, its demonstrations; answers.json, what was asked
  evaluation/: <task>/{predictions.jsonl,metrics.json}
"""


rule evaluate:
    """Scores of every run."""
    input:
        scores_of(*METHODS),


rule answer_run:
    """Ask one trained run all of its tasks."""
    input:
        rows=lambda w: [f"<data>/{task.name}/test.jsonl" for task in spec_of(w).eval_tasks],
        record="<results>/{model}/{method}/{mixture}/{variant}/seed{seed}/run.json",
        weights=lambda w: paths_of([address_of(w)], METHODS[w.method].leaves[-1]),
        model=model_files,
        judges=lambda w: judge_files(spec_of(w).answering_judges),
        stands_on=lambda w: [f"<results>/{path}/run.json" for path in spec_of(w).stands_on.values()],
    output:
        answers=directory("<results>/{model}/{method}/{mixture}/{variant}/seed{seed}/answers"),
    log:
        "<logs>/{model}/{method}/{mixture}/{variant}/seed{seed}.answer.log",
    benchmark:
        "<benchmarks>/{model}/{method}/{mixture}/{variant}/seed{seed}.answer.tsv"
    wildcard_constraints:
        method="|".join(re.escape(m) for m in METHODS if m not in PROMPTING_METHODS),
    conda:
        ENVIRONMENT
    threads: SETTINGS.threads
    resources:
        gpu=estimate("gpu", "evaluating"),
        mem_mb=estimate("mem_mb", "evaluating"),
        runtime=estimate("runtime", "evaluating"),
    params:
        command=command("answer.py", f"--data {below('data')}", f"--work {below('work')}"),
        trained=subpath(input.record, parent=True),
        run=lambda w: address_of(w).path,
        digest=lambda w: spec_of(w).answers_digest,
        code=lambda w: answering_code(w.method),
    shell:
        "{params.command} --run {params.run:q} --trained {params.trained:q} --out {output.answers:q} > {log:q} 2>&1"


rule score_run:
    """Score the answers of one run: about a second, so that it is not submitted."""
    input:
        rows=lambda w: [f"<data>/{task.name}/test.jsonl" for task in spec_of(w).eval_tasks],
        answers="<results>/{model}/{method}/{mixture}/{variant}/seed{seed}/answers",
    output:
        scores=directory("<results>/{model}/{method}/{mixture}/{variant}/seed{seed}/evaluation"),
    log:
        "<logs>/{model}/{method}/{mixture}/{variant}/seed{seed}.score.log",
    benchmark:
        "<benchmarks>/{model}/{method}/{mixture}/{variant}/seed{seed}.score.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    params:
        command=command("score.py", f"--data {below('data')}", f"--work {below('work')}"),
        run=lambda w: address_of(w).path,
        digest=lambda w: spec_of(w).evaluation_digest,
        code=lambda w: scoring_code(spec_of(w)),
    shell:
        "{params.command} --run {params.run:q} --answers {input.answers:q} --out {output.scores:q} > {log:q} 2>&1"
