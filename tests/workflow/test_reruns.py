"""What an edit makes stale: one line an edit, asked of Snakemake over two finished workflows (no stage is run for it)."""

import os
import re
from pathlib import Path

import pytest

from .conftest import Checkout, copy_of

FINISH = """
import sys
from pathlib import Path
from rl4nlu.config import load_config, read_yaml
from rl4nlu.runs.grid import open_grid
from rl4nlu.tasks.prepare import prepare
config = load_config(read_yaml(Path(sys.argv[1])), "config")
tasks = open_grid(config).tasks
for path in map(Path, sys.argv[2:]):
    path.mkdir(parents=True, exist_ok=True) if not path.suffix else path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix:
        path.touch()
    if path.name == "record.json":
        prepare(tasks[path.parent.name], config.data, path.parent)
"""
"""Makes rows, which the planner reads, and the other outputs empty; Snakemake's --touch then takes them for made."""

RAIN = """
title: Rain
description: You are an assistant that decides if a sentence is about rain .
query: 'Is this about rain ? "{text}"'
fields: [text]
labels: {"wet": "Yes", "dry": "No"}
metrics: [accuracy]
pair: {text_a: "{text}"}
sources:
  local: {format: csv, root: mine, train: train.csv, test: test.csv, label: kind}
"""
MINE = """
name: mine
folder: runs/mine
data: {source: local, skip_absent: true, data_root: mine, validation_rows: 10}
rationales: {source: template}
ppo: {reward: "config.example_reward:length_penalised"}
grid:
  - {method: zero-shot, models: [micro-llama], tasks: [rain]}
  - {method: sft, models: [micro-llama], mixtures: [rain]}
  - {method: sft-rationale, models: [micro-llama], mixtures: [rain]}
  - {method: ppo, models: [micro-llama], mixtures: [rain]}
"""

GUIDED = {"train_ppo_pp", "train_aggrevated", "train_lols", "train_d2lols"}
PPO = {"train_ppo", "train_rlhf", "train_rllr", "train_rllr_mixed", "train_ppo_rationale", "train_ppo_rm"} | GUIDED
RL = PPO | {"train_grpo", "train_raft"}
REPORT = {"make_tables", "make_figures", "make_numbers"}

# what is edited -> (file, old text, new text, the first rules that become stale by it: those that others follow)
EDITS: dict[str, tuple[str, str, str, set[str]]] = {
    # what changes no result
    "a description in the config": ("config/rl.py", "passes over a roll-out", "sweeps over a roll-out", set()),
    "a description of a task's key": ("tasks/task.py", "text fields of a record", "its text fields", set()),
    "a comment": ("methods/rl/update.py", "    near = ratio", "    # a comment\n    near = ratio", set()),
    "a docstring": ("methods/rl/update.py", "Step 5 of policy", "The fifth step of policy", set()),
    "an annotation and its import": (
        "methods/schedule.py",
        "\nfrom collections.abc import ",
        "\nfrom decimal import Decimal\nnumber: Decimal\nfrom collections.abc import ",
        set(),
    ),
    "an import under TYPE_CHECKING": (
        "methods/sft.py",
        "\nif TYPE_CHECKING:\n",
        "\nif TYPE_CHECKING:\n    from .encoder import fit as Fit\n    Label = Fit\n",
        set(),
    ),
    "the lease's heartbeat": ("base/leases.py", "BEAT = 20.0", "BEAT = 30.0", set()),
    "the pause between lines of progress": ("base/progress.py", "FIRST, LATER = 5.0", "FIRST, LATER = 9.0", set()),
    "the Slurm profile": ("profiles/slurm/profile.yaml", "jobs: ", "jobs: 1", set()),
    "where a hub's rows come from": ("tasks/sources/hub.py", "timeout=20", "timeout=30", set()),
    "a task's revision on the hub": (
        "config/tasks/glue/sst2.yaml",
        "config: sst2}",
        "config: sst2, revision: main}",
        set(),
    ),
    # what is shown
    "a task's note": ("config/tasks/glue/sst2.yaml", "column: 5", "column: 5\nnote: Short.", {"make_tables"}),
    "a task's title": ("config/tasks/glue/sst2.yaml", "title: SST-2", "title: SST2", {"collect"}),
    "a model's title": ("config/models.yaml", "micro-llama:\n", "micro-llama:\n  title: Tiny\n", REPORT),
    "a figure's colour": ("config/rl.py", "#D55E00", "#D55E01", {"make_figures"}),
    "the second paper's printed numbers": ("resources/published/rllr.csv", "\n", "\n\n", REPORT),
    # how answers are scored
    "an interval's formula": ("scores/inference.py", "TAILS = (100 * LEVEL / 2", "TAILS = (100 * LEVEL", {"score_run"}),
    "the bootstrap count": ("config/smoke.yaml", "bootstrap: 200", "bootstrap: 300", {"score_run"}),
    # what trains
    "the encoder's warm-up": (
        "methods/encoder.py",
        "warmup_steps=0.1",
        "warmup_steps=0.2",
        {"train_encoder", "train_reward_encoder"},
    ),
    "a reward": ("methods/rl/rewards.py", "-3.0)", "-2.0)", RL),
    "PPO's and GRPO's clip": ("methods/rl/update.py", "1 - settings.clip_range", "1 - 2 * settings.clip_range", RL),
    "PPO's clip of values": ("methods/rl/ppo.py", "0.5 * torch.maximum", "0.6 * torch.maximum", PPO),
    "PPO's epochs": ("config/smoke.yaml", "minibatch_size: 32, epochs: 2}\ngrpo", "minibatch_size: 32, epochs: 3}\ngrpo",
                     {"train_ppo"}),
    "the candidate learning rates": ("config/smoke.yaml", "[1.0e-3, 3.0e-3]", "[1.0e-3, 2.0e-3]", {"train_sft"}),
    "the seed whose run chooses among them": ("config/smoke.yaml", "tuning_seed: 0", "tuning_seed: 1",
                                          {"train_sft", "answer_run", "score_run"}),  # IMDB's SFT has no such seed yet
    "a task's question": (
        "config/tasks/glue/sst2.yaml",
        "query: 'Is this",
        "query: 'Is it",
        {"prompt", "train_sft", "train_ppo", "train_grpo", "train_raft"},
    ),
    "what an encoder reads": (
        "config/tasks/glue/sst2.yaml",
        'pair: {text_a: "{sentence}"}',
        'pair: {text_a: "{sentence} ?"}',
        {"train_encoder"},
    ),
    "a user's own reward": ("config/example_reward.py", "A_WORD = 0.05", "A_WORD = 0.06", set()),
    # where rows come from
    "the microworld's generator": ("microworld/fact_tasks.py", '"verb": 1.5', '"verb": 1.4', {"prepare"}),
}  # fmt: skip


def written(checkout: Checkout, config: str) -> list[str]:
    listed = checkout.snakemake("--summary", "--configfile", config)
    return [line.split("\t")[0] for line in listed.splitlines() if line.count("\t") == 5][1:]


@pytest.fixture(scope="module")
def finished(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A copy of the checkout in which two workflows count as finished: every stage on generated rows, and one's own rows."""
    checkout = copy_of(root, tmp_path_factory.mktemp("checkout"))
    (checkout.folder / "mine").mkdir()
    rows = "".join(f"it is {'wet' if n % 2 else 'dry'} on day {n},{'wet' if n % 2 else 'dry'}\n" for n in range(60))
    for name in ("train.csv", "test.csv"):
        (checkout.folder / "mine" / name).write_text(f"text,kind\n{rows}")
    (checkout.folder / "config" / "tasks" / "mine").mkdir()
    (checkout.folder / "config" / "tasks" / "mine" / "rain.yaml").write_text(RAIN)
    (checkout.folder / "config" / "mine.yaml").write_text(MINE)
    for config in ("config/smoke.yaml", "config/mine.yaml"):
        checkout.python("-c", FINISH, config, *written(checkout, config))
        checkout.snakemake("-F", "--touch", "--cores", "1", "all", "--configfile", config)
    return checkout


def stale(checkout: Checkout, config: str) -> set[str]:
    """Rules that Snakemake would run again for a reason of their own, and not because of another rule's new output."""
    said = checkout.snakemake("-n", "all", "--configfile", config)
    _, _, reasons = said.partition("\nReasons:\n")
    found = re.findall(r"^    (\S[^\n]*):\n {8}(\S[^\n]*)$", reasons, re.MULTILINE)
    assert found or "Nothing to be done" in said, said
    return {rule for why, rules in found if "another job" not in why for rule in rules.split(", ")}


def stale_after(checkout: Checkout, config: str, name: str, old: str, new: str) -> set[str]:
    path = checkout.folder / "src" / "rl4nlu" / name
    path = path if path.is_file() else checkout.folder / name
    text, times = path.read_text(), path.stat()
    assert old in text, f"{name} does not hold {old!r}"
    path.write_text(text.replace(old, new, 1))
    try:
        return stale(checkout, config)
    finally:
        path.write_text(text)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.parametrize("what", EDITS)
def test_an_edit_makes_stale_what_it_can_change_and_nothing_else(finished: Checkout, what: str) -> None:
    name, old, new, rules = EDITS[what]
    assert stale_after(finished, "config/smoke.yaml", name, old, new) == rules


@pytest.mark.parametrize(
    ("what", "rules"),
    [
        ("the microworld's generator", set()),
        ("a reward", {"train_ppo"}),
        ("a user's own reward", {"train_ppo"}),
        ("a task's note", {"make_tables"}),
    ],
)
def test_on_rows_of_ones_own_the_generator_counts_for_nothing_and_ones_own_reward_does(
    finished: Checkout, what: str, rules: set[str]
) -> None:
    assert stale_after(finished, "config/mine.yaml", *EDITS[what][:3]) == rules


def test_the_reader_of_ones_own_rows_is_part_of_them(finished: Checkout) -> None:
    edit = ("tasks/sources/local.py", "strict=True)\n", "strict=False)\n")
    assert stale_after(finished, "config/mine.yaml", *edit) == {"prepare"}
    assert stale_after(finished, "config/smoke.yaml", *edit) == set()


def test_what_follows_from_a_stale_rule_is_run_again_too(finished: Checkout) -> None:
    path = finished.folder / "src" / "rl4nlu" / "methods" / "sft.py"
    text = path.read_text()
    path.write_text(text + "\nMORE = 1\n")
    said = finished.snakemake("-n", "all", "--configfile", "config/mine.yaml")
    path.write_text(text)
    jobs = set(re.findall(r"^(\w+) +\d+$", said, re.MULTILINE))
    jobs -= {"total", "compile_paper"}  # the latter only where TeX is at hand
    assert jobs == {"train_sft", "train_sft_rationale", "answer_run", "score_run", "collect", *REPORT, "all"}
