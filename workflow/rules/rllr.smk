"""The second paper: SFT with rationales, its merged backbone, pairs, reward models, and PPO against these.

REQUIRED INPUTS: data/<task>/{train,validation}.jsonl and rationales.jsonl of the mixture's tasks
OUTPUTS: results/<model>/{sft-rationale,rlhf,rllr,rllr-mixed}/<mixture>/<variant>/seed<k>/{run.json,history.jsonl,adapter/}
and what they stand on: merged-backbone (model/), pairs (<kind>.<split>.jsonl, statistics.json), reward-label, reward-rationale

Their priority is above the other rules', because the chain is the longest of the workflow.
"""


use rule train_sft as train_sft_rationale with:
    input:
        rows=training_rows("sft-rationale"),
        rationales=rationale_files("sft-rationale"),
        model=model_files,
    output:
        **run_files("sft-rationale"),
    log:
        "<logs>/{model}/sft-rationale/{mixture}/{variant}/seed{seed}.train.log",
    benchmark:
        "<benchmarks>/{model}/sft-rationale/{mixture}/{variant}/seed{seed}.train.tsv"
    priority: 1
    resources:
        **run_resources("sft-rationale"),
    params:
        **run_params("sft-rationale"),


rule merge_backbone:
    """Merge the SFT-with-rationale adapter into the backbone that everything after stands on."""
    input:
        rows=training_rows("merged-backbone"),
        model=model_files,
        stands_on=stands_on("merged-backbone"),
    output:
        **run_files("merged-backbone"),
    log:
        "<logs>/{model}/merged-backbone/{mixture}/{variant}/seed{seed}.train.log",
    benchmark:
        "<benchmarks>/{model}/merged-backbone/{mixture}/{variant}/seed{seed}.train.tsv"
    priority: 1
    conda:
        ENVIRONMENT
    resources:
        **run_resources("merged-backbone"),
    params:
        **run_params("merged-backbone"),
    shell:
        "{params.command} --run {params.run:q} --out {params.out:q} > {log:q} 2>&1"


rule make_pairs:
    """Pairs of responses: supplied ones, and ranked replies of the merged model."""
    input:
        rows=training_rows("pairs"),
        rationales=rationale_files("pairs"),
        stands_on=stands_on("pairs"),
    output:
        **run_files("pairs"),
    log:
        "<logs>/{model}/pairs/{mixture}/{variant}/seed{seed}.train.log",
    benchmark:
        "<benchmarks>/{model}/pairs/{mixture}/{variant}/seed{seed}.train.tsv"
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
        rows=training_rows("reward-label"),
        stands_on=stands_on("reward-label"),
    output:
        **run_files("reward-label"),
    log:
        "<logs>/{model}/reward-label/{mixture}/{variant}/seed{seed}.train.log",
    benchmark:
        "<benchmarks>/{model}/reward-label/{mixture}/{variant}/seed{seed}.train.tsv"
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
        rows=training_rows("reward-rationale"),
        stands_on=stands_on("reward-rationale"),
    output:
        **run_files("reward-rationale"),
    log:
        "<logs>/{model}/reward-rationale/{mixture}/{variant}/seed{seed}.train.log",
    benchmark:
        "<benchmarks>/{model}/reward-rationale/{mixture}/{variant}/seed{seed}.train.tsv"
    priority: 1
    resources:
        **run_resources("reward-rationale"),
    params:
        **run_params("reward-rationale"),


use rule train_ppo as train_rlhf with:
    input:
        rows=training_rows("rlhf"),
        stands_on=stands_on("rlhf"),
    output:
        **run_files("rlhf"),
    log:
        "<logs>/{model}/rlhf/{mixture}/{variant}/seed{seed}.train.log",
    benchmark:
        "<benchmarks>/{model}/rlhf/{mixture}/{variant}/seed{seed}.train.tsv"
    priority: 1
    resources:
        **run_resources("rlhf"),
    params:
        **run_params("rlhf"),


use rule train_rlhf as train_rllr with:
    input:
        rows=training_rows("rllr"),
        stands_on=stands_on("rllr"),
    output:
        **run_files("rllr"),
    log:
        "<logs>/{model}/rllr/{mixture}/{variant}/seed{seed}.train.log",
    benchmark:
        "<benchmarks>/{model}/rllr/{mixture}/{variant}/seed{seed}.train.tsv"
    priority: 1
    resources:
        **run_resources("rllr"),
    params:
        **run_params("rllr"),


use rule train_rlhf as train_rllr_mixed with:
    input:
        rows=training_rows("rllr-mixed"),
        stands_on=stands_on("rllr-mixed"),
    output:
        **run_files("rllr-mixed"),
    log:
        "<logs>/{model}/rllr-mixed/{mixture}/{variant}/seed{seed}.train.log",
    benchmark:
        "<benchmarks>/{model}/rllr-mixed/{mixture}/{variant}/seed{seed}.train.tsv"
    priority: 1
    resources:
        **run_resources("rllr-mixed"),
    params:
        **run_params("rllr-mixed"),
