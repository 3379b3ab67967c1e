"""What the papers print beside what the runs gave: tables, figures, numbers of the text, and the compiled paper.

With `source: published` in the config they show the printed numbers alone.

REQUIRED INPUTS: results/*.csv; resources/published/*.csv; paper/main.tex, paper/refs.bib
OUTPUTS: paper/generated/{tables,figures}/ and numbers.tex; paper/main.pdf
"""


rule tables:
    """Tables as LaTeX, CSV and Markdown."""
    input:
        tables_files(),


rule figures:
    """Figures as PDF and PNG."""
    input:
        figures_files(),


rule paper:
    """The compiled paper."""
    input:
        paper_files(),


rule audit:
    """Each known discrepancy of the papers with and without: table, figure and paper (config/audit.yaml)."""
    input:
        audit_files,


rule make_tables:
    """Tables, the reproduced beside the published numbers."""
    input:
        **report_inputs(),
    output:
        [in_report("Tables", "tables", name, "csv") for name in TABLES],
        multi("tables", TABLES, ("tex", "md")),
        notes="<paper>/generated/tables/task-notes.tex",
    log:
        "<logs>/tables.log",
    benchmark:
        "<benchmarks>/tables.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    params:
        command=report_command("tables.py"),
        out=subpath(output.notes, parent=True),
        says=[SETTINGS.name, SETTINGS.note],
        shown=digest_of(values_shown("query", "note")),
        code=code_digest("report.tables"),
    shell:
        "{params.command} --out {params.out:q} > {log:q} 2>&1"


rule make_figures:
    """Figures, as vectors and as pixels."""
    input:
        **report_inputs(),
    output:
        [in_report("Figures", "figures", name, "png") for name in FIGURES],
        multi("figures", list(FIGURES)[1:], ("pdf",)),
        first=f"<paper>/generated/figures/{next(iter(FIGURES))}.pdf",
    log:
        "<logs>/figures.log",
    benchmark:
        "<benchmarks>/figures.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    params:
        command=report_command("figures.py"),
        out=subpath(output.first, parent=True),
        says=[SETTINGS.name, SETTINGS.note],
        shown=digest_of(values_shown("colour")),
        code=code_digest("report.figures"),
    shell:
        "{params.command} --out {params.out:q} > {log:q} 2>&1"


rule make_numbers:
    """Every number of the paper's text, as macros."""
    input:
        **report_inputs(),
    output:
        "<paper>/generated/numbers.tex",
    log:
        "<logs>/numbers.log",
    benchmark:
        "<benchmarks>/numbers.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    params:
        command=report_command("text_numbers.py"),
        says=[SETTINGS.name, SETTINGS.note],
        shown=digest_of(values_shown()),
        code=code_digest("report.macros"),
    shell:
        "{params.command} --out {output:q} > {log:q} 2>&1"


rule compile_paper:
    """Compile the paper with latexmk or tectonic."""
    input:
        sources=PAPER_SOURCES,
        tables=tables_files(),
        notes="<paper>/generated/tables/task-notes.tex",
        figures=figures_files(),
        numbers="<paper>/generated/numbers.tex",
    output:
        report("<paper>/main.pdf", category="Paper", caption="../report/paper.rst"),
    log:
        "<logs>/paper.log",
    benchmark:
        "<benchmarks>/paper.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    params:
        program=lambda w, input: f"{PROGRAMS}/compile_paper.py",
        generated=subpath(input.numbers, parent=True),
        scratch=lambda w, input: below("work/paper"),
    shell:
        "python {params.program:q} --generated {params.generated:q} --scratch {params.scratch:q}"
        " --out {output:q} {input.sources:q} > {log:q} 2>&1"
