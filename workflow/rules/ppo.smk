"""Proximal policy optimisation of an adapter against a label-match reward.

REQUIRED INPUTS: data/<task>/{train,validation}.jsonl of the mixture's tasks; the SFT adapter, where a run starts from it
OUTPUTS: results/<model>/ppo/<mixture>/<variant>/seed<k>/{run.json,history.jsonl,adapter/}
"""


rule ppo:
    """Proximal policy optimisation: every run, trained."""
    input:
        records_of("ppo"),


rule train_ppo:
    """Train one PPO run."""
    input:
        **run_inputs("ppo"),
        model=model_files,
    output:
        **run_files("ppo"),
    log:
        run_log("ppo"),
    benchmark:
        run_benchmark("ppo")
    conda:
        ENVIRONMENT
    threads: SETTINGS.threads
    resources:
        **run_resources("ppo"),
    params:
        **run_params("ppo"),
    shell:
        "{params.command} --run {params.run:q} {params.start} --out {params.out:q} > {log:q} 2>&1"


rule grpo:
    """Group-relative policy optimisation: every run, trained."""
    input:
        records_of("grpo"),


use rule train_ppo as train_grpo with:
    input:
        **run_inputs("grpo"),
        model=model_files,
    output:
        **run_files("grpo"),
    log:
        run_log("grpo"),
    benchmark:
        run_benchmark("grpo")
    resources:
        **run_resources("grpo"),
    params:
        **run_params("grpo"),


rule raft:
    """Reward-ranked fine-tuning: every run, trained."""
    input:
        records_of("raft"),


use rule train_ppo as train_raft with:
    input:
        **run_inputs("raft"),
        model=model_files,
    output:
        **run_files("raft"),
    log:
        run_log("raft"),
    benchmark:
        run_benchmark("raft")
    resources:
        **run_resources("raft"),
    params:
        **run_params("raft"),
