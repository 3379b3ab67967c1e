"""The paper: hand-written text, generated tables, figures and numbers, compiled in a scratch folder.

REQUIRED INPUTS: paper/main.tex, paper/refs.bib, paper/generated/
OUTPUTS: paper/main.pdf
"""


localrules:
    compile_paper,


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
    conda:
        ENVIRONMENT
    params:
        program=lambda w, input: f"{PROGRAMS}/compile_paper.py",
        generated=subpath(input.numbers, parent=True),
        scratch=lambda w, input: below("work/paper"),
    shell:
        "python {params.program:q} --generated {params.generated:q} --scratch {params.scratch:q}"
        " --out {output:q} {input.sources:q} > {log:q} 2>&1"
