"""The micro models, from the microworld's text.

The shipped ones lie in resources/micro/; this rule makes them again below pretrained/, so that nothing
shipped is overwritten. Point `path` in config/models.yaml there to use them.

OUTPUTS: pretrained/<model>/{model.safetensors,config.json,tokenizer.json,record.json}
"""


rule pretrain:
    """The micro models, made anew beside the shipped ones."""
    input:
        [
            f"<pretrained>/{name}/model.safetensors"
            for name, model in MODELS.items()
            if model.path.startswith("resources/micro/")
        ],


rule pretrain_model:
    """Pretrain one micro model until its stated stop."""
    output:
        weights="<pretrained>/{model}/model.safetensors",
        record="<pretrained>/{model}/record.json",
    log:
        "<logs>/pretrain/{model}.log",
    benchmark:
        "<benchmarks>/pretrain/{model}.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=grow_from(3000),
        runtime=grow_from(180),
    params:
        program=lambda w, input: f"{PROGRAMS}/pretrain.py --work {below('work')}",
        out=subpath(output.weights, parent=True),
        code=code_digest("microworld.pretrain"),
    shell:
        "python {params.program} --model {wildcards.model:q} --out {params.out:q} > {log:q} 2>&1"
