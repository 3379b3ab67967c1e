"""Every config with every profile, and what stops a run on a machine that cannot do it."""

import re

import pytest
import yte
from snakemake.profiles import ProfileConfigFileParser

from rl4nlu.config import TRAINED_METHODS

from .conftest import slurm_that_says

CONFIGS = [
    *("config", "smoke", "rllr-sweeps", "rlgf-micro", "rlgf-sweeps", "audit", "single-gpu", "paper", "rlgf"),
    *("local-files", "local-rllr", "local-rlgf"),
]
PROFILES = {
    "default": ["--workflow-profile", "default"],
    "slurm": ["--workflow-profile", "slurm"],
    "slurm-site-example": ["--profile", "profiles/slurm-site-example", "--workflow-profile", "slurm"],
}


def more_for(config, request):
    """Further arguments of a config; those on the official files are skipped without them."""
    if not config.startswith("local-"):
        return []
    return ["--config", f"data_root={request.getfixturevalue('official_data')}"]


def test_no_config_and_no_profile_is_left_out(root):
    found = {path.stem for path in (root / "config").glob("*.yaml")} - {"models"}
    assert found == set(CONFIGS)
    assert {path.parent.name for path in (root / "profiles").glob("*/profile.yaml")} == set(PROFILES)


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("profile", PROFILES)
def test_every_config_is_planned_with_every_profile(checkout, request, config, profile):
    arguments = ("--configfile", f"config/{config}.yaml", *more_for(config, request))
    planned = checkout.snakemake("-n", "-q", "rules", *PROFILES[profile], *arguments)
    assert re.search(r"^train_\w+ +\d+$", planned, re.MULTILINE)
    # the planner counts the same jobs; `all` is none, and without TeX there is no paper to make
    total = int(re.search(r"^total +(\d+)$", planned, re.MULTILINE)[1]) - 1 + ("compile_paper" not in planned)
    told = checkout.python("-m", "rl4nlu", "plan", *arguments)
    assert re.search(r"^config [\w-]+: (\d+) jobs", told)[1] == str(total)


def profile(root, name):
    return yte.process_yaml((root / "profiles" / name / "profile.yaml").read_text())


def test_the_slurm_profile_leaves_the_site_to_the_site(root):
    text = (root / "profiles" / "slurm" / "profile.yaml").read_text()
    settings = profile(root, "slurm")
    assert "default-resources" not in settings
    assert not re.search(r"slurm_(account|partition):", text)
    # a file of that name beside the profile would be taken for the executor's
    assert not (root / "profiles" / "slurm" / "slurm").exists()
    for rule, resources in settings["set-resources"].items():
        assert set(resources) == {"slurm_extra"}, rule


def test_every_submitted_rule_is_told_to_end_before_its_time_limit(root, rules, targets):
    local = {name for name, text in rules.items() if "localrule: True" in text}
    assert set(profile(root, "slurm")["set-resources"]) == set(rules) - local - set(targets) - {"all"}


def test_every_trained_method_has_its_rule(rules):
    assert {f"train_{name.replace('++', '-pp').replace('-', '_')}" for name in TRAINED_METHODS} == {
        name for name in rules if name.startswith("train_")
    }


def test_no_rule_repeats_itself(root):
    """`retries` in a rule is obeyed by the workflows inside a Slurm job too, which multiply it."""
    for path in (root / "workflow" / "rules").glob("*.smk"):
        assert not re.search(r"^\s+retries:", path.read_text(), re.MULTILINE), path.name


def test_the_sites_example_says_what_each_of_its_settings_is(root):
    text = (root / "profiles" / "slurm-site-example" / "profile.yaml").read_text()
    assert all(block.startswith("# ") for block in text.split("\n\n"))
    lines = text.splitlines()
    assert all(lines[i - 1].lstrip().startswith("# ") for i, line in enumerate(lines) if re.match(r"\s*[\w-]+:", line))


def test_a_sites_default_resources_reach_the_jobs(checkout, tmp_path):
    site = tmp_path / "site"
    site.mkdir()
    (site / "profile.yaml").write_text("default-resources:\n  slurm_account: lab\n  slurm_partition: long\n")
    command = ("--profile", str(site), "--workflow-profile", "slurm", "--configfile", "config/smoke.yaml")
    planned = checkout.snakemake("-n", *command)
    job = re.search(r"^rule train_ppo:.*?resources: ([^\n]*)", planned, re.MULTILINE | re.DOTALL)[1]
    assert "slurm_account=lab" in job
    assert "slurm_partition=long" in job
    assert "slurm_extra=--signal=TERM@120" in job


def test_a_misspelt_profile_stops_the_workflow(checkout):
    for given in (["--workflow-profile", "slrum"], ["--workflow-profile=slrum"]):
        output = checkout.snakemake("-n", *given, "--configfile", "config/smoke.yaml", fails=True)
        assert "did you mean 'slurm'" in output
        assert "Traceback" not in output


def test_gpu_jobs_stop_on_a_machine_without_a_gpu(checkout, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    checkout.edit("config/models.yaml", "path: resources/micro/micro-llama", "path: resources/micro/micro-llama\n  dtype: bfloat16")  # fmt: skip
    output = checkout.snakemake("--cores", "1", "ppo", "--configfile", "config/smoke.yaml", fails=True)
    assert "3 of rule train_ppo" in output
    assert "none is visible here" in output
    assert "Traceback" not in output
    assert not (checkout.folder / "runs" / "smoke" / "data").exists()


@pytest.mark.parametrize(("visible", "limit"), [("", 1), ("0", 1), ("0,1,2", 3)])
def test_as_many_gpu_jobs_run_at_once_as_gpus_are_visible(root, monkeypatch, visible, limit):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with (root / "profiles" / "default" / "profile.yaml").open() as stream:
        assert ProfileConfigFileParser().parse(stream)["resources"] == [f"gpu={limit}"]


@pytest.mark.parametrize(
    ("age", "more", "said"),
    [
        (300, ["--slurm-status-command", "sacct"], "would wait for ever. Set slurm-status-command: squeue"),
        (60, [], "would wait for ever. Set slurm-status-command: squeue"),
    ],
)
def test_status_settings_that_wait_for_ever_stop_the_workflow(checkout, tmp_path, monkeypatch, age, more, said):
    settings = (f"MinJobAge = {age} sec", "AccountingStorageType = accounting_storage/none")
    monkeypatch.setenv("PATH", slurm_that_says(tmp_path / "bin", *settings))
    command = ("sft", "--workflow-profile", "slurm", *more, "--configfile", "config/smoke.yaml")
    output = checkout.snakemake(*command, fails=True)
    assert said in output
    assert "Traceback" not in output
    assert not (checkout.folder / "runs" / "smoke" / "data").exists()


def test_resources_on_the_command_line_that_drop_the_profiles_are_told(checkout, tmp_path, monkeypatch):
    settings = (
        "MinJobAge = 60 sec",
        "AccountingStorageType = accounting_storage/none",
    )  # which stops the workflow, too
    monkeypatch.setenv("PATH", slurm_that_says(tmp_path / "bin", *settings))
    command = ("sft", "--workflow-profile", "slurm", "--configfile", "config/smoke.yaml")
    output = checkout.snakemake(*command, "--set-resources", "train_sft:runtime=60", fails=True)
    assert "WARNING: jobs of prepare, train_sft are not told before their time limit" in output
    assert "are not told" not in checkout.snakemake(*command, fails=True)
