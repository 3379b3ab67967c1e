"""Proximal policy optimisation of an adapter against a label-match reward.

REQUIRED INPUTS: data/<task>/{train,validation}.jsonl of the mixture's tasks; the SFT adapter, where a run starts from it
OUTPUTS: results/<model>/ppo/<mixture>/<variant>/seed<k>/{run.json,history.jsonl,adapter/}
"""


def start_adapter(wildcards):
    """Adapter that the run starts from: none for runs from the foundation model."""
    start = spec_of(wildcards, "ppo").start
    return f"<results>/{start}/adapter" if start else []


rule train_ppo:
    """Train one PPO run."""
    input:
        rows=training_rows("ppo"),
        model=model_files,
        start=start_adapter,
    output:
        record="<results>/{model}/ppo/{mixture}/{variant}/seed{seed}/run.json",
        history="<results>/{model}/ppo/{mixture}/{variant}/seed{seed}/history.jsonl",
        adapter=directory("<results>/{model}/ppo/{mixture}/{variant}/seed{seed}/adapter"),
    log:
        "<logs>/{model}/ppo/{mixture}/{variant}/seed{seed}.train.log",
    benchmark:
        "<benchmarks>/{model}/ppo/{mixture}/{variant}/seed{seed}.train.tsv"
    conda:
        ENVIRONMENT
    resources:
        gpu=gpus,
        mem_mb=4000,
        runtime=1440,
    params:
        run=lambda w: address_of(w, "ppo").path,
        digest=lambda w: spec_of(w, "ppo").digest,
        start=lambda w, input: f"--start {input.start}" if input.start else "",
        code=code_digest("ppo"),
    shell:
        "python {PROGRAMS}/ppo.py --config {CONFIG_FILE:q} --run {params.run:q} --data {FOLDER:q}/data"
        " --work {FOLDER:q}/work {params.start} --out $(dirname {output.record:q}) > {log:q} 2>&1"
