"""BERT comparison: an encoder fine-tuned per task.

REQUIRED INPUTS: data/<task>/{train,validation}.jsonl
OUTPUTS: results/<model>/encoder/<task>/<variant>/seed<k>/{run.json,history.jsonl,model/}
"""


rule encoder:
    """BERT comparison: every run, trained."""
    input:
        records_of("encoder"),


rule train_encoder:
    """Fine-tune one encoder."""
    input:
        **run_inputs("encoder"),
        model=model_files,
    output:
        **run_files("encoder"),
    log:
        run_log("encoder"),
    benchmark:
        run_benchmark("encoder")
    conda:
        ENVIRONMENT
    threads: SETTINGS.threads
    resources:
        **run_resources("encoder"),
    params:
        **run_params("encoder"),
    shell:
        "{params.command} --run {params.run:q} --out {params.out:q} > {log:q} 2>&1"
