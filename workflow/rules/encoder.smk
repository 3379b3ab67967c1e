"""BERT comparison: an encoder fine-tuned per task.

REQUIRED INPUTS: data/<task>/{train,validation}.jsonl
OUTPUTS: results/<model>/encoder/<task>/<variant>/seed<k>/{run.json,history.jsonl,model/}
"""


rule train_encoder:
    """Fine-tune one encoder."""
    input:
        rows=training_rows("encoder"),
        model=model_files,
    output:
        record="<results>/{model}/encoder/{mixture}/{variant}/seed{seed}/run.json",
        history="<results>/{model}/encoder/{mixture}/{variant}/seed{seed}/history.jsonl",
        model=directory("<results>/{model}/encoder/{mixture}/{variant}/seed{seed}/model"),
    log:
        "<logs>/{model}/encoder/{mixture}/{variant}/seed{seed}.train.log",
    benchmark:
        "<benchmarks>/{model}/encoder/{mixture}/{variant}/seed{seed}.train.tsv"
    conda:
        ENVIRONMENT
    threads: SETTINGS.threads
    resources:
        gpu=planned("gpu", "training", "encoder"),
        mem_mb=planned("mem_mb", "training", "encoder"),
        runtime=planned("runtime", "training", "encoder"),
    params:
        command=command("encoder.py", f"--data {below('data')}", f"--work {below('work')}"),
        out=subpath(output.record, parent=True),
        run=lambda w: address_of(w, "encoder").path,
        digest=lambda w: spec_of(w, "encoder").digest,
        code=code_digest("encoder"),
    shell:
        "{params.command} --run {params.run:q} --out {params.out:q} > {log:q} 2>&1"
