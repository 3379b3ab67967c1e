"""Supervised fine-tuning of an adapter on the answer tokens.

REQUIRED INPUTS: data/<task>/{train,validation}.jsonl of the mixture's tasks
OUTPUTS: results/<model>/sft/<mixture>/<variant>/seed<k>/{run.json,history.jsonl,adapter/}
"""


rule sft:
    """Supervised fine-tuning: every run, trained."""
    input:
        records_of("sft"),


rule train_sft:
    """Train one SFT run."""
    input:
        **run_inputs("sft"),
        model=model_files,
    output:
        **run_files("sft"),
    log:
        run_log("sft"),
    benchmark:
        run_benchmark("sft")
    conda:
        ENVIRONMENT
    threads: SETTINGS.threads
    resources:
        **run_resources("sft"),
    params:
        **run_params("sft"),
    shell:
        "{params.command} --run {params.run:q} --out {params.out:q} > {log:q} 2>&1"
