"""What the workflow would do: dry runs of every config, targets by name, faults that stop it before any job."""

import re

import pytest

CONFIGS = ["config", "smoke", "single-gpu", "paper"]


@pytest.mark.parametrize("name", CONFIGS)
def test_every_config_builds_its_whole_dag(checkout, name):
    planned = checkout.snakemake("-n", "--configfile", f"config/{name}.yaml")
    for rule in ("prepare", "prompt", "train_sft", "train_ppo", "train_encoder", "answer_run", "score_run", "collect"):
        assert re.search(rf"^{rule} +\d+$", planned, re.MULTILINE), f"{rule} is not planned"


def test_the_official_files_config_builds_its_dag_and_names_what_is_absent(checkout, official_data):
    planned = checkout.snakemake(
        "-n", "--configfile", "config/local-files.yaml", "--config", f"data_root={official_data}"
    )
    assert re.search(r"^train_ppo +16$", planned, re.MULTILINE)
    assert "data/ax/" not in planned
    assert "data/axb/" in planned


def test_the_third_papers_config_plans_its_methods_and_fetches_every_model_first(checkout):
    planned = checkout.snakemake("-n", "--configfile", "config/rlgf.yaml")
    for rule in ("train_sft", "train_ppo", "train_ppo_pp", "train_aggrevated", "train_lols", "train_d2lols"):
        assert re.search(rf"^{rule} +\d+$", planned, re.MULTILINE), f"{rule} is not planned"
    assert re.search(r"^fetch_model +8$", planned, re.MULTILINE)  # six decoders, two judges
    assert "runs/rlgf/models/summary-reward.json" in planned


def test_ppo_against_a_learnt_reward_is_planned_with_all_that_it_stands_on(checkout):
    planned = checkout.snakemake("-n", "ppo_rm", "--configfile", "config/smoke.yaml")
    for rule in (
        "train_sft_rationale",
        "train_merged_backbone",
        "train_reward_encoder",
        "train_ppo_rationale",
        "train_ppo_rm",
    ):
        assert re.search(rf"^{rule} +1$", planned, re.MULTILINE), f"{rule} is not planned once"
    assert "train_reward_label" not in planned
    assert "resources/micro/micro-bert-base/model.safetensors" in planned  # another encoder trains it again


def test_every_target_can_be_asked_for_by_name(checkout, targets):
    named = [target for target in targets if target != "audit"]  # which has a config of its own
    planned = checkout.snakemake("-n", *named)
    for target in named:
        assert re.search(rf"^{target} +1$", planned, re.MULTILINE), f"{target} is not planned"


def test_the_audit_is_planned_by_its_config_and_refused_by_others(checkout):
    assert re.search(
        r"^audit +1$", checkout.snakemake("-n", "audit", "--configfile", "config/audit.yaml"), re.MULTILINE
    )
    said = checkout.snakemake("-n", "audit", fails=True)
    assert "runs no known discrepancy; add --configfile config/audit.yaml" in said


def test_tables_from_results_plan_no_training(checkout):
    planned = checkout.snakemake("-n", "tables", "--config", "source=results")
    assert "train_" not in planned
    assert "prompt" not in planned


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--config", "sourse=results"], "did you mean 'source'"),
        (["--config", "threads=none"], "threads"),
    ],
)
def test_a_typo_stops_before_any_job(checkout, arguments, said):
    output = checkout.snakemake("-n", *arguments, fails=True)
    assert said in output
    assert "Traceback" not in output


def test_an_unknown_mixture_is_named_with_the_nearest(checkout):
    checkout.edit("config/smoke.yaml", "mixtures: [sst2]", "mixtures: [sst]")
    output = checkout.snakemake("-n", "--configfile", "config/smoke.yaml", fails=True)
    assert "'sst'" in output
    assert "did you mean 'sst2'" in output


def test_lint_finds_nothing(checkout):
    assert "Congratulations" in checkout.snakemake("--lint")
