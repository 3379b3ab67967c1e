"""How often the tests between methods err: equal and unequal methods, simulated.

It depends on no run, and is no part of `all`; docs/statistics.md shows what it found.

OUTPUTS: results/simulation.csv, results/simulation.md
"""


rule simulation:
    """Error rate and power of the tests, at several spreads over seeds."""
    output:
        table="<results>/simulation.csv",
        text="<results>/simulation.md",
    log:
        "<logs>/simulation.log",
    benchmark:
        "<benchmarks>/simulation.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=grow_from(1000),
        runtime=grow_from(60),
    params:
        program=f"{PROGRAMS}/simulation.py",
        out=subpath(output.table, parent=True),
        code=code_digest("scores.simulation"),
    shell:
        "python {params.program} --out {params.out:q} > {log:q} 2>&1"
