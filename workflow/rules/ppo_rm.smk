"""The first paper's reward-model variant: a reward encoder, PPO against it, and PPO of the same start with the label's reward.

REQUIRED INPUTS: data/<task>/{train,validation}.jsonl of the mixture's tasks; the merged backbone (rllr.smk)
OUTPUTS: results/<model>/{ppo-rationale,ppo-rm}/<mixture>/<variant>/seed<k>/{run.json,history.jsonl,adapter/}
and what ppo-rm stands on: reward-encoder (responses.<split>.jsonl, history.jsonl, model/)
"""


rule ppo_rm:
    """PPO against the first paper's reward model, and its counterpart with the label's reward: every run, trained."""
    input:
        records_of("ppo-rationale", "ppo-rm"),


rule train_reward_encoder:
    """Rank responses of the merged model, and train an encoder with a scalar head on them."""
    input:
        **run_inputs("reward-encoder"),
        model=lambda w: weights_of(spec_of(w, "reward-encoder").settings.encoder),
    output:
        **run_files("reward-encoder"),
    log:
        run_log("reward-encoder"),
    benchmark:
        run_benchmark("reward-encoder")
    priority: 1
    conda:
        ENVIRONMENT
    threads: SETTINGS.threads
    resources:
        **run_resources("reward-encoder"),
    params:
        **run_params("reward-encoder"),
    shell:
        "{params.command} --run {params.run:q} --out {params.out:q} > {log:q} 2>&1"


use rule train_ppo as train_ppo_rationale with:
    input:
        **run_inputs("ppo-rationale"),
    output:
        **run_files("ppo-rationale"),
    log:
        run_log("ppo-rationale"),
    benchmark:
        run_benchmark("ppo-rationale")
    priority: 1
    resources:
        **run_resources("ppo-rationale"),
    params:
        **run_params("ppo-rationale"),


use rule train_ppo as train_ppo_rm with:
    input:
        **run_inputs("ppo-rm"),
    output:
        **run_files("ppo-rm"),
    log:
        run_log("ppo-rm"),
    benchmark:
        run_benchmark("ppo-rm")
    priority: 1
    resources:
        **run_resources("ppo-rm"),
    params:
        **run_params("ppo-rm"),
