"""`python -m rl4nlu status`: what is told of runs whose files are made up."""

import os
import subprocess
import sys

import pytest
import yaml

from rl4nlu.base.files import REPOSITORY, write_json, write_text
from rl4nlu.base.leases import Lease, take
from rl4nlu.config import Config
from rl4nlu.jobs.status import reason, statuses
from rl4nlu.runs.grid import open_grid
from rl4nlu.runs.spec import Address

GRID = [
    {"method": "majority", "models": ["micro-llama"], "tasks": ["sst2"]},
    {"method": "sft", "models": ["micro-llama"], "mixtures": ["sst2"], "seeds": [0, 1]},
]
CONFIG = {"name": "tiny", "folder": "runs/tiny", "grid": GRID}
RUN, OTHER = "micro-llama/sft/sst2/main/seed0", "micro-llama/sft/sst2/main/seed1"
MAJORITY = "micro-llama/majority/none/main/seed0"


@pytest.fixture
def grid():
    return open_grid(Config(**CONFIG))


def told(root, grid):
    return {(s.run, s.what): (s.state, s.note) for s in statuses(Config(**CONFIG), grid, root)}


def finish(root, grid, run, what="training", digest=None):
    spec, folder = grid.runs[Address.parse(run)], root / "runs" / "tiny" / "results" / run
    name, current = {
        "training": ("run.json", spec.digest),
        "answering": ("answers/answers.json", spec.answers_digest),
        "prompting": ("run.json", spec.answers_digest),
        "scoring": ("evaluation/sst2/metrics.json", spec.evaluation_digest),
    }[what]
    write_json(folder / name, {"digest": digest or current})


def log(root, name, text):
    path = root / "runs" / "tiny" / "logs" / f"{name}.log"
    write_text(path, f"rl4nlu sft {name}\nhost h · process 7 · slurm job 4711 · device cpu\ncommand: python\n{text}")
    return path


def test_nothing_exists_and_all_is_missing(tmp_path, grid):
    found = told(tmp_path, grid)
    assert found[RUN, "training"] == ("missing", "not trained")
    assert found[RUN, "answering"] == ("missing", "not asked")
    assert found[RUN, "scoring"] == ("missing", "not scored on sst2")
    assert found[MAJORITY, "prompting"] == ("missing", "not asked")
    assert found[MAJORITY, "scoring"] == ("missing", "not scored on sst2")
    assert len(found) == 8


def test_what_stands_by_the_settings_of_now_is_finished(tmp_path, grid):
    finish(tmp_path, grid, RUN)
    finish(tmp_path, grid, RUN, "answering")
    finish(tmp_path, grid, RUN, "scoring")
    finish(tmp_path, grid, MAJORITY, "prompting")
    finish(tmp_path, grid, MAJORITY, "scoring", digest="other")
    finish(tmp_path, grid, OTHER, digest="other")
    finish(tmp_path, grid, OTHER, "answering", digest="other")
    log(tmp_path, f"{OTHER}.train", "training: done")
    found = told(tmp_path, grid)
    assert {found[RUN, what] for what in ("training", "answering", "scoring")} == {("finished", "")}
    assert found[MAJORITY, "prompting"] == ("finished", "")
    assert found[MAJORITY, "scoring"] == ("missing", "scored on sst2 by other settings")
    assert found[OTHER, "training"] == ("missing", "trained by other settings")
    assert found[OTHER, "answering"] == ("missing", "asked by other settings")


def test_a_living_lease_is_a_running_job_and_a_log_without_one_a_failed_job(tmp_path, grid):
    log(tmp_path, f"{RUN}.train", "")
    log(tmp_path, f"{OTHER}.train", "Traceback (most recent call last):\n  File x\nKeyError: 'label'\n")
    lease = take(tmp_path / "runs" / "tiny" / "work" / "leases", "k", RUN, "training")
    assert isinstance(lease, Lease)
    found = told(tmp_path, grid)
    assert found[RUN, "training"][0] == "running"
    assert f"process {os.getpid()}" in found[RUN, "training"][1]
    assert found[OTHER, "training"] == ("failed", "KeyError: 'label'")
    lease.release()
    assert told(tmp_path, grid)[RUN, "training"][0] == "failed"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("torch.OutOfMemoryError: CUDA out of memory. Tried\n", "torch.OutOfMemoryError: CUDA out of memory. Tried"),
        ("RuntimeError: DefaultCPUAllocator: can't allocate memory: 3\n", "out of memory: RuntimeError: Default"),
        ("error: step 7: the training loss is nan at a learning rate of 0.1\n", "NaN: error: step 7"),
        (
            "error: run r: training diverged at every learning rate (1); at the last one, roll-out 2 of 3: numbers are no longer finite\n",
            "NaN: error: run r",
        ),
        ("error: data/sst2/record.json: no prepared rows\nbye\n", "error: data/sst2/record.json: no prepared rows"),
        ("OSError: [Errno 28] No space left on device\n", "disk full: OSError"),
        ("Traceback:\nKeyboardInterrupt\n", "cancelled: KeyboardInterrupt"),
        (
            "stopped by SIGTERM after step 3: saved in x\n",
            "requeued, interrupted, or warned before its time limit: stopped",
        ),
        ("a run: 5 of 9 steps\n", "ended without a message, killed perhaps; last line: a run: 5 of 9 steps"),
        ("--- left to its own job: training r (ValueError: x)\nstep 3\n", "ended without a message"),
        ("x\n" * 50_000 + "ValueError: the last\n", "ValueError: the last"),
    ],
)
def test_the_reason_is_read_from_the_log(tmp_path, text, said):
    assert reason(log(tmp_path, "a", text), tmp_path).startswith(said)


def test_a_time_limit_is_read_from_slurms_own_log_of_the_job(tmp_path):
    path = log(tmp_path, "a", "a run: 5 of 9 steps\n")
    slurm = tmp_path / ".snakemake" / "slurm_logs" / "rule_train_sft" / "x" / "4711.log"
    write_text(slurm, "slurmstepd: error: *** JOB 4711 ON n1 CANCELLED AT 2026 DUE TO TIME LIMIT ***\n")
    assert reason(path, tmp_path).startswith("time limit: slurmstepd")


def test_a_job_that_somebody_cancels_is_told_from_one_that_is_warned_before_its_time_limit(tmp_path):
    path = log(tmp_path, "a", "stopped by SIGTERM after step 3: saved in x\n")
    slurm = tmp_path / ".snakemake" / "slurm_logs" / "rule_train_sft" / "x" / "4711.log"
    write_text(slurm, "slurmstepd: error: *** STEP 4711.0 ON n1 CANCELLED AT 2026-11-25T19:45:37 ***\n")
    assert reason(path, tmp_path).startswith("requeued, interrupted, or warned before its time limit")
    write_text(slurm, "slurmstepd: error: *** JOB 4711 ON n1 CANCELLED AT 2026-11-25T19:45:37 ***\n")
    assert reason(path, tmp_path).startswith("cancelled: slurmstepd")


def test_the_command_prints_totals_without_torch_and_its_exit_status_says_if_all_is_done(tmp_path, grid):
    write_text(tmp_path / "torch.py", "raise ImportError('not needed here')")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(CONFIG))

    def command(*more):
        return subprocess.run(
            [sys.executable, "-m", "rl4nlu", "status", "--configfile", "config.yaml", *more],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": f"{tmp_path}:{REPOSITORY / 'src'}"},
            capture_output=True,
            text=True,
        )

    done = command()
    assert done.returncode == 1
    assert "tiny: 0 of 3 runs finished; of 8 jobs 0 finished, 0 running, 0 failed, 8 missing" in done.stdout
    for run in (RUN, OTHER):
        finish(tmp_path, grid, run)
        finish(tmp_path, grid, run, "answering")
        finish(tmp_path, grid, run, "scoring")
    finish(tmp_path, grid, MAJORITY, "prompting")
    finish(tmp_path, grid, MAJORITY, "scoring")
    done = command()
    assert done.returncode == 0
    assert done.stdout == "tiny: 3 of 3 runs finished; of 8 jobs 8 finished, 0 running, 0 failed, 0 missing\n"
    assert RUN in command("--all").stdout
    assert "0 of 3 runs" in command("--config", "folder=elsewhere").stdout
    wrong = command("--config", "foldr=x")
    assert wrong.returncode == 2
    assert "did you mean 'folder'" in wrong.stderr
    assert "Traceback" not in wrong.stderr
