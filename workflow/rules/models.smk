"""Models from the hub, brought into its cache before any job needs them: compute nodes often have no network.

OUTPUTS: models/<model>.json, with commit and checksums
"""

from rl4nlu.runs.grid import hub_models


rule models:
    """Models of the grid that lie on the hub, in its cache."""
    input:
        [f"<models>/{name}.json" for name in hub_models(GRID)],


rule fetch_model:
    """Download one hub model's files, check them and record what they are."""
    output:
        "<models>/{model}.json",
    log:
        "<logs>/models/{model}.log",
    benchmark:
        "<benchmarks>/models/{model}.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    params:
        program=lambda w, input: f"{PROGRAMS}/fetch_model.py",
        path=lambda w: MODELS[w.model].path,
        revision=lambda w: MODELS[w.model].revision,
        code=code_digest("models.fetch"),
    shell:
        "python {params.program} --model {wildcards.model:q} --out {output:q} > {log:q} 2>&1"
