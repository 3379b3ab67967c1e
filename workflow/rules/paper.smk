"""The paper: hand-written text, generated tables, figures and numbers, compiled in a scratch folder.

REQUIRED INPUTS: paper/main.tex, paper/refs.bib, paper/generated/
OUTPUTS: paper/main.pdf
"""

PAPER_SOURCES = [os.path.relpath(REPOSITORY / "paper" / name) for name in ("main.tex", "refs.bib")]


def paper_files():
    """The PDF, where something can make it; its generated parts in any case."""
    return ["<paper>/main.pdf"] if tex_program() else ["<paper>/generated/numbers.tex"]


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
    shell:
        "python {PROGRAMS}/compile_paper.py --generated $(dirname {input.numbers:q}) --scratch {FOLDER:q}/work/paper"
        " --out {output:q} {input.sources:q} > {log:q} 2>&1"
