"""Models from the hub, brought into its cache before any job needs them: compute nodes often have no network.

OUTPUTS: models/<model>.json, with commit and checksums
"""


localrules:
    fetch_model,


rule fetch_model:
    """Download one hub model's files, check them and record what they are."""
    output:
        "<models>/{model}.json",
    log:
        "<logs>/models/{model}.log",
    benchmark:
        "<benchmarks>/models/{model}.tsv"
    conda:
        ENVIRONMENT
    params:
        program=lambda w, input: f"{PROGRAMS}/fetch_model.py",
        path=lambda w: MODELS[w.model].path,
        revision=lambda w: MODELS[w.model].revision,
        code=code_digest("models.fetch"),
    shell:
        "python {params.program} --model {wildcards.model:q} --out {output:q} > {log:q} 2>&1"
