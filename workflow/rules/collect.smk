"""From every run's records to tidy files.

`source` in the config says from what: `run` builds whatever is missing or stale, `results` takes what is on disk
and plans no training; with `published` nothing is collected.

OUTPUTS: results/<name>.csv: metrics, means, runs, comparisons, overall, effects, data, history,
invalid, rewards, replies, candidates
"""


rule collect:
    """Join all records into tidy files: one row a number."""
    input:
        scores=scores_of(*METHODS) if SETTINGS.source == "run" else [],
        records=records_of(*METHODS) if SETTINGS.source == "run" else [],
    output:
        **{name: f"<results>/{name}.csv" for name in COLLECTED},
    log:
        "<logs>/collect.log",
    benchmark:
        "<benchmarks>/collect.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    params:
        command=command("collect.py", f"--results {below('results')}", f"--data {below('data')}"),
        out=subpath(output.metrics, parent=True),
        listed=on_disk() if SETTINGS.source == "results" else "",
        runs=digest_of([[a.path, spec.evaluation_digest] for a, spec in RUNS.items()]),
        tasks=digest_of([[t.name, t.suite, t.title, t.reported] for t in TASKS.values()]),
        code=code_digest("scores.collect", "scores.comparisons", "scores.tuning"),
    shell:
        "{params.command} --out {params.out:q} > {log:q} 2>&1"
