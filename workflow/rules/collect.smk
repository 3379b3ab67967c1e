"""From every run's records to tidy files, and from these to what the paper prints.

`source` in the config says from what: `run` builds whatever is missing or stale, `results` takes what is on disk
and plans no training, `published` takes the papers' print alone.

OUTPUTS: results/{metrics,runs,comparisons,data,history,invalid}.csv; paper/generated/{tables,figures}/ and numbers.tex
"""


localrules:
    collect,
    make_tables,
    make_figures,
    make_numbers,


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
    conda:
        ENVIRONMENT
    params:
        command=command("collect.py", f"--results {below('results')}", f"--data {below('data')}"),
        out=subpath(output.metrics, parent=True),
        listed=on_disk() if SETTINGS.source == "results" else "",
        runs=digest_of([[a.path, spec.evaluation_digest] for a, spec in RUNS.items()]),
        code=code_digest("scores.collect", "scores.comparisons"),
    shell:
        "{params.command} --out {params.out:q} > {log:q} 2>&1"


rule make_tables:
    """Tables, the reproduced beside the published numbers."""
    input:
        **collected_files(),
        published=PUBLISHED,
    output:
        [in_report("Tables", "tables", name, "csv") for name in TABLES],
        multi("tables", TABLES, ("tex", "md")),
        notes="<paper>/generated/tables/task-notes.tex",
    log:
        "<logs>/tables.log",
    benchmark:
        "<benchmarks>/tables.tsv"
    conda:
        ENVIRONMENT
    params:
        command=reporting("tables.py"),
        out=subpath(output.notes, parent=True),
        says=[SETTINGS.name, SETTINGS.note],
        code=code_digest("report.tables.records"),
    shell:
        "{params.command} --out {params.out:q} > {log:q} 2>&1"


rule make_figures:
    """Figures, as vectors and as pixels."""
    input:
        **collected_files(),
        published=PUBLISHED,
    output:
        [in_report("Figures", "figures", name, "png") for name in FIGURES],
        multi("figures", FIGURES[1:], ("pdf",)),
        first=f"<paper>/generated/figures/{FIGURES[0]}.pdf",
    log:
        "<logs>/figures.log",
    benchmark:
        "<benchmarks>/figures.tsv"
    conda:
        ENVIRONMENT
    params:
        command=reporting("figures.py"),
        out=subpath(output.first, parent=True),
        says=[SETTINGS.name, SETTINGS.note],
        code=code_digest("report.figures"),
    shell:
        "{params.command} --out {params.out:q} > {log:q} 2>&1"


rule make_numbers:
    """Every number of the paper's text, as macros."""
    input:
        **collected_files(),
        published=PUBLISHED,
    output:
        "<paper>/generated/numbers.tex",
    log:
        "<logs>/numbers.log",
    benchmark:
        "<benchmarks>/numbers.tsv"
    conda:
        ENVIRONMENT
    params:
        command=reporting("text_numbers.py"),
        says=[SETTINGS.name, SETTINGS.note],
        code=code_digest("report.macros"),
    shell:
        "{params.command} --out {output:q} > {log:q} 2>&1"
