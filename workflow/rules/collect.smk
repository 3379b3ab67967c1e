"""From every run's records to tidy tables, and from these to what the paper prints.

`source` in the config says from what: `run` builds whatever is missing or stale, `results` takes what is on disk
and plans no training, `published` takes the papers' print alone.

OUTPUTS: results/{metrics,runs,comparisons,data,history,invalid}.csv; paper/generated/{tables,figures}/ and numbers.tex
"""

COLLECTED = ["metrics", "runs", "comparisons", "data", "history", "invalid"]
TABLES = [
    "glue",
    "superglue",
    "other-models",
    "cost",
    "validation",
    "budgets",
    "comparisons",
    "invalid",
    "variants",
]
TABLES += ["other-tasks", "averages", "published-transfer", "published-other", "data"]
FIGURES = ["scores", "curves", "gains", "invalid"]
PUBLISHED = os.path.relpath(REPOSITORY / "resources" / "published" / "ppo_for_nlu.csv")


def tables_files():
    return multi("tables", TABLES, ("tex", "csv", "md"))


def figures_files():
    return multi("figures", FIGURES, ("pdf", "png"))


def multi(kind, names, suffixes):
    return [f"<paper>/generated/{kind}/{name}.{suffix}" for name in names for suffix in suffixes]


def on_disk():
    """Names the scores that lie in results/, so that tables made from them follow them."""
    found = sorted(Path(FOLDER, "results").glob("*/*/*/*/seed*/evaluation/*/metrics.json"))
    return digest_of([[str(path), path.stat().st_mtime_ns] for path in found])


def collected_metrics():
    """The collected files: none where only the print is wanted."""
    return [] if SETTINGS.source == "published" else [f"<results>/{name}.csv" for name in COLLECTED]


def metrics_option(_, input):
    return f"--metrics {input.collected[0]}" if input.collected else ""


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
        multiext("<results>/", *[f"{name}.csv" for name in COLLECTED]),
    log:
        "<logs>/collect.log",
    benchmark:
        "<benchmarks>/collect.tsv"
    conda:
        ENVIRONMENT
    params:
        listed=on_disk() if SETTINGS.source == "results" else "",
        runs=digest_of([[a.path, spec.evaluation_digest] for a, spec in RUNS.items()]),
        code=code_digest("collect", "comparisons"),
    shell:
        "python {PROGRAMS}/collect.py --config {CONFIG_FILE:q} --results {FOLDER:q}/results --data {FOLDER:q}/data"
        " --out $(dirname {output[0]:q}) > {log:q} 2>&1"


rule make_tables:
    """Tables, the reproduced beside the published numbers."""
    input:
        collected=collected_metrics(),
        published=PUBLISHED,
    output:
        report(
            multi("tables", TABLES, ("csv",)),
            category="Tables",
            caption="../report/tables.rst",
        ),
        multi("tables", TABLES, ("tex", "md")),
        "<paper>/generated/tables/task-notes.tex",
    log:
        "<logs>/tables.log",
    benchmark:
        "<benchmarks>/tables.tsv"
    conda:
        ENVIRONMENT
    params:
        metrics=metrics_option,
        scale=SETTINGS.name,
        note=SETTINGS.note,
        code=code_digest("tables", "tables_records"),
    shell:
        "python {PROGRAMS}/tables.py {params.metrics} --published $(dirname {input.published:q})"
        " --scale {params.scale:q} --note {params.note:q} --out $(dirname {output[0]:q}) > {log:q} 2>&1"


rule make_figures:
    """Figures, as vectors and as pixels."""
    input:
        collected=collected_metrics(),
        published=PUBLISHED,
    output:
        report(
            multi("figures", FIGURES, ("png",)),
            category="Figures",
            caption="../report/figures.rst",
        ),
        multi("figures", FIGURES, ("pdf",)),
    log:
        "<logs>/figures.log",
    benchmark:
        "<benchmarks>/figures.tsv"
    conda:
        ENVIRONMENT
    params:
        metrics=metrics_option,
        scale=SETTINGS.name,
        note=SETTINGS.note,
        code=code_digest("figures"),
    shell:
        "python {PROGRAMS}/figures.py {params.metrics} --published $(dirname {input.published:q})"
        " --scale {params.scale:q} --note {params.note:q} --out $(dirname {output[0]:q}) > {log:q} 2>&1"


rule make_numbers:
    """Every number of the paper's text, as macros."""
    input:
        collected=collected_metrics(),
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
        metrics=metrics_option,
        scale=SETTINGS.name,
        note=SETTINGS.note,
        code=code_digest("numbers"),
    shell:
        "python {PROGRAMS}/text_numbers.py {params.metrics} --published $(dirname {input.published:q})"
        " --scale {params.scale:q} --note {params.note:q} --out {output:q} > {log:q} 2>&1"
