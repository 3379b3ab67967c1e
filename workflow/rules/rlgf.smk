"""The third paper's methods: policy optimisation with a guide that shares in the roll-outs.

REQUIRED INPUTS: data/<task>/{train,validation}.jsonl of the mixture's tasks; the SFT adapter, where a run starts from it; the
guide's weights or SFT run, where that is another model, and rationales.jsonl, where gold answers with rationales are read
OUTPUTS: results/<model>/{ppo++,aggrevated,lols,d2lols}/<mixture>/<variant>/seed<k>/{run.json,history.jsonl,adapter/}
"""


rule rlgf:
    """Policy optimisation with a guide: every run, trained."""
    input:
        records_of("ppo++", "aggrevated", "lols", "d2lols"),


use rule train_ppo as train_ppo_pp with:
    input:
        **run_inputs("ppo++"),
        model=model_files,
    output:
        **run_files("ppo++"),
    log:
        run_log("ppo++"),
    benchmark:
        run_benchmark("ppo++")
    resources:
        **run_resources("ppo++"),
    params:
        **run_params("ppo++"),


use rule train_ppo as train_aggrevated with:
    input:
        **run_inputs("aggrevated"),
        model=model_files,
    output:
        **run_files("aggrevated"),
    log:
        run_log("aggrevated"),
    benchmark:
        run_benchmark("aggrevated")
    resources:
        **run_resources("aggrevated"),
    params:
        **run_params("aggrevated"),


use rule train_ppo as train_lols with:
    input:
        **run_inputs("lols"),
        model=model_files,
    output:
        **run_files("lols"),
    log:
        run_log("lols"),
    benchmark:
        run_benchmark("lols")
    resources:
        **run_resources("lols"),
    params:
        **run_params("lols"),


use rule train_ppo as train_d2lols with:
    input:
        **run_inputs("d2lols"),
        model=model_files,
    output:
        **run_files("d2lols"),
    log:
        run_log("d2lols"),
    benchmark:
        run_benchmark("d2lols")
    resources:
        **run_resources("d2lols"),
    params:
        **run_params("d2lols"),
