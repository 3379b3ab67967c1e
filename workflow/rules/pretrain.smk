"""The micro models and micro judges, from the microworld's text.

The shipped ones lie in resources/micro/; these rules make them again below pretrained/, so that nothing
shipped is overwritten. Point `path` in config/models.yaml there to use them. Judges are fine-tuned from
the shipped micro-bert-base.

OUTPUTS: pretrained/<model>/{model.safetensors,config.json,tokenizer.json,record.json}
"""

from rl4nlu.microworld.judges import RECIPES
from rl4nlu.microworld.architectures import MICRO_MODELS


rule pretrain:
    """The micro models and judges, made anew beside the shipped ones."""
    input:
        [f"<pretrained>/{name}/model.safetensors" for name in (*MICRO_MODELS, *RECIPES)],


rule pretrain_model:
    """Pretrain one micro model until its stated stop."""
    output:
        weights="<pretrained>/{model}/model.safetensors",
        record="<pretrained>/{model}/record.json",
    log:
        "<logs>/pretrain/{model}.log",
    benchmark:
        "<benchmarks>/pretrain/{model}.tsv"
    wildcard_constraints:
        model="|".join(MICRO_MODELS),
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


rule pretrain_judge:
    """Fine-tune one micro judge on rows that no experiment reads."""
    input:
        weights_of("micro-bert-base"),
    output:
        weights="<pretrained>/{judge}/model.safetensors",
        record="<pretrained>/{judge}/record.json",
    log:
        "<logs>/pretrain/{judge}.log",
    benchmark:
        "<benchmarks>/pretrain/{judge}.tsv"
    wildcard_constraints:
        judge="|".join(RECIPES),
    conda:
        ENVIRONMENT
    resources:
        mem_mb=grow_from(2000),
        runtime=grow_from(60),
    params:
        program=f"{PROGRAMS}/pretrain_judge.py",
        out=subpath(output.weights, parent=True),
        code=code_digest("microworld.judges"),
    shell:
        "python {params.program} --judge {wildcards.judge:q} --out {params.out:q} > {log:q} 2>&1"
