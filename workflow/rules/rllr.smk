"""The second paper: SFT with rationales, its merged backbone, pairs, reward models, and PPO against these.

REQUIRED INPUTS: data/<task>/{train,validation}.jsonl and rationales.jsonl of the mixture's tasks
OUTPUTS: results/<model>/{sft-rationale,rlhf,rllr,rllr-mixed}/<mixture>/<variant>/seed<k>/{run.json,history.jsonl,adapter/}
and what they stand on: merged-backbone (model/), pairs (<kind>.<split>.jsonl, statistics.json), reward-label, reward-rationale

Their priority is above the other rules', because the chain is the longest of the workflow.
"""


rule rllr:
    """Methods that give a rationale first, the second paper's chain: every run, trained."""
    input:
        records_of(*RATIONALE_METHODS),


use rule train_sft as train_sft_rationale with:
    input:
        **run_inputs("sft-rationale"),
        rationales=rationale_files("sft-rationale"),
        model=model_files,
    output:
        **run_files("sft-rationale"),
    log:
        run_log("sft-rationale"),
    benchmark:
        run_benchmark("sft-rationale")
    priority: 1
    resources:
        **run_resources("sft-rationale"),
    params:
        **run_params("sft-rationale"),


rule train_merged_backbone:
    """Merge the SFT-with-rationale adapter into the backbone that everything after stands on."""
    input:
        **run_inputs("merged-backbone"),
        model=model_files,
    output:
        **run_files("merged-backbone"),
    log:
        run_log("merged-backbone"),
    benchmark:
        run_benchmark("merged-backbone")
    priority: 1
    conda:
        ENVIRONMENT
    resources:
        **run_resources("merged-backbone"),
    params:
        **run_params("merged-backbone"),
    shell:
        "{params.command} --run {params.run:q} --out {params.out:q} > {log:q} 2>&1"


rule train_pairs:
    """Pairs of responses: supplied ones, and ranked replies of the merged model."""
    input:
        **run_inputs("pairs"),
        rationales=rationale_files("pairs"),
    output:
        **run_files("pairs"),
    log:
        run_log("pairs"),
    benchmark:
        run_benchmark("pairs")
    priority: 1
    conda:
        ENVIRONMENT
    resources:
        **run_resources("pairs"),
    params:
        **run_params("pairs"),
    shell:
        "{params.command} --run {params.run:q} --out {params.out:q} > {log:q} 2>&1"


rule train_reward_label:
    """Train a reward model on label-sensitive pairs."""
    input:
        **run_inputs("reward-label"),
    output:
        **run_files("reward-label"),
    log:
        run_log("reward-label"),
    benchmark:
        run_benchmark("reward-label")
    priority: 1
    conda:
        ENVIRONMENT
    resources:
        **run_resources("reward-label"),
    params:
        **run_params("reward-label"),
    shell:
        "{params.command} --run {params.run:q} --out {params.out:q} > {log:q} 2>&1"


use rule train_reward_label as train_reward_rationale with:
    input:
        **run_inputs("reward-rationale"),
    output:
        **run_files("reward-rationale"),
    log:
        run_log("reward-rationale"),
    benchmark:
        run_benchmark("reward-rationale")
    priority: 1
    resources:
        **run_resources("reward-rationale"),
    params:
        **run_params("reward-rationale"),


use rule train_ppo as train_rlhf with:
    input:
        **run_inputs("rlhf"),
    output:
        **run_files("rlhf"),
    log:
        run_log("rlhf"),
    benchmark:
        run_benchmark("rlhf")
    priority: 1
    resources:
        **run_resources("rlhf"),
    params:
        **run_params("rlhf"),


use rule train_rlhf as train_rllr with:
    input:
        **run_inputs("rllr"),
    output:
        **run_files("rllr"),
    log:
        run_log("rllr"),
    benchmark:
        run_benchmark("rllr")
    priority: 1
    resources:
        **run_resources("rllr"),
    params:
        **run_params("rllr"),


use rule train_rlhf as train_rllr_mixed with:
    input:
        **run_inputs("rllr-mixed"),
    output:
        **run_files("rllr-mixed"),
    log:
        run_log("rllr-mixed"),
    benchmark:
        run_benchmark("rllr-mixed")
    priority: 1
    resources:
        **run_resources("rllr-mixed"),
    params:
        **run_params("rllr-mixed"),
