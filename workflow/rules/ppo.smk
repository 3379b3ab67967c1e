"""Proximal policy optimisation of an adapter against a label-match reward.

REQUIRED INPUTS: data/<task>/{train,validation}.jsonl of the mixture's tasks; the SFT adapter, where a run starts from it
OUTPUTS: results/<model>/ppo/<mixture>/<variant>/seed<k>/{run.json,history.jsonl,adapter/}
"""


rule train_ppo:
    """Train one PPO run."""
    input:
        rows=training_rows("ppo"),
        model=model_files,
        start=start_adapter("ppo"),
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
    threads: SETTINGS.threads
    resources:
        gpu=planned("gpu", "training", "ppo"),
        mem_mb=planned("mem_mb", "training", "ppo"),
        runtime=planned("runtime", "training", "ppo"),
    params:
        command=command("ppo.py", f"--data {below('data')}", f"--work {below('work')}"),
        out=subpath(output.record, parent=True),
        run=lambda w: address_of(w, "ppo").path,
        digest=lambda w: spec_of(w, "ppo").digest,
        start=lambda w, input: f"--start {input.start}" if input.start else "",
        code=code_digest("ppo"),
    shell:
        "{params.command} --run {params.run:q} {params.start} --out {params.out:q} > {log:q} 2>&1"
