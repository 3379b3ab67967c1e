"""Supervised fine-tuning of an adapter on the answer tokens.

REQUIRED INPUTS: data/<task>/{train,validation}.jsonl of the mixture's tasks
OUTPUTS: results/<model>/sft/<mixture>/<variant>/seed<k>/{run.json,history.jsonl,adapter/}
"""


rule train_sft:
    """Train one SFT run."""
    input:
        rows=training_rows("sft"),
        model=model_files,
    output:
        record="<results>/{model}/sft/{mixture}/{variant}/seed{seed}/run.json",
        history="<results>/{model}/sft/{mixture}/{variant}/seed{seed}/history.jsonl",
        adapter=directory("<results>/{model}/sft/{mixture}/{variant}/seed{seed}/adapter"),
    log:
        "<logs>/{model}/sft/{mixture}/{variant}/seed{seed}.train.log",
    benchmark:
        "<benchmarks>/{model}/sft/{mixture}/{variant}/seed{seed}.train.tsv"
    conda:
        ENVIRONMENT
    threads: SETTINGS.threads
    resources:
        gpu=planned("gpu", "training", "sft"),
        mem_mb=planned("mem_mb", "training", "sft"),
        runtime=planned("runtime", "training", "sft"),
    params:
        command=command("sft.py", f"--data {below('data')}", f"--work {below('work')}"),
        out=subpath(output.record, parent=True),
        run=lambda w: address_of(w, "sft").path,
        digest=lambda w: spec_of(w, "sft").digest,
        code=code_digest("sft"),
    shell:
        "{params.command} --run {params.run:q} --out {params.out:q} > {log:q} 2>&1"
