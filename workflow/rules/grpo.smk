"""Group-relative policy optimisation: PPO with group means in place of a value head (paper 1, Table 3).

REQUIRED INPUTS: data/<task>/{train,validation}.jsonl of the mixture's tasks; the SFT adapter, where a run starts from it
OUTPUTS: results/<model>/grpo/<mixture>/<variant>/seed<k>/{run.json,history.jsonl,adapter/}
"""


use rule train_ppo as train_grpo with:
    input:
        rows=training_rows("grpo"),
        model=model_files,
        start=start_adapter("grpo"),
    output:
        **run_files("grpo"),
    log:
        "<logs>/{model}/grpo/{mixture}/{variant}/seed{seed}.train.log",
    benchmark:
        "<benchmarks>/{model}/grpo/{mixture}/{variant}/seed{seed}.train.tsv"
    resources:
        **run_resources("grpo"),
    params:
        **run_params("grpo"),
