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
        **run_files("ppo"),
    log:
        "<logs>/{model}/ppo/{mixture}/{variant}/seed{seed}.train.log",
    benchmark:
        "<benchmarks>/{model}/ppo/{mixture}/{variant}/seed{seed}.train.tsv"
    conda:
        ENVIRONMENT
    threads: SETTINGS.threads
    resources:
        **run_resources("ppo"),
    params:
        **run_params("ppo"),
    shell:
        "{params.command} --run {params.run:q} {params.start} --out {params.out:q} > {log:q} 2>&1"
