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
        record="<results>/{model}/grpo/{mixture}/{variant}/seed{seed}/run.json",
        history="<results>/{model}/grpo/{mixture}/{variant}/seed{seed}/history.jsonl",
        adapter=directory("<results>/{model}/grpo/{mixture}/{variant}/seed{seed}/adapter"),
    log:
        "<logs>/{model}/grpo/{mixture}/{variant}/seed{seed}.train.log",
    benchmark:
        "<benchmarks>/{model}/grpo/{mixture}/{variant}/seed{seed}.train.tsv"
    resources:
        gpu=planned("gpu", "training", "grpo"),
        mem_mb=planned("mem_mb", "training", "grpo"),
        runtime=planned("runtime", "training", "grpo"),
    params:
        command=command("grpo.py", f"--data {below('data')}", f"--work {below('work')}"),
        out=subpath(output.record, parent=True),
        run=lambda w: address_of(w, "grpo").path,
        digest=lambda w: spec_of(w, "grpo").digest,
        start=lambda w, input: f"--start {input.start}" if input.start else "",
        code=code_digest("grpo"),
