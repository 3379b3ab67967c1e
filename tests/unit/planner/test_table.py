"""The command `rl4nlu plan`: the paper's table, what is refused and with which advice."""

import re
import subprocess
import sys
from math import ceil

import pytest

from rl4nlu.base.files import REPOSITORY
from rl4nlu.planner.table import FILLED


def planned(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rl4nlu", "plan", *arguments], capture_output=True, text=True, cwd=REPOSITORY
    )


def test_the_paper_fits_an_80_gb_gpu_and_the_plan_says_what_it_costs():
    done = planned("--configfile", "config/paper.yaml")
    assert done.returncode == 0, done.stderr
    assert "GPU-hours" in done.stdout
    assert "Largest job" in done.stdout
    assert "train   ppo" in done.stdout


def test_what_does_not_fit_is_refused_with_advice():
    done = planned("--configfile", "config/paper.yaml", "--gpu-memory-gb", "32")
    assert done.returncode == 1
    assert "does not fit: train llama2-7b-chat/sft/boolq/main/seed0" in done.stderr
    assert "sft.micro_batch_size" in done.stderr
    assert "fits with evaluation.batch_tokens 16384" in done.stderr
    done = planned("--configfile", "config/paper.yaml", "--gpu-memory-gb", "12")
    assert done.returncode == 1
    assert "4-bit weights" in done.stderr
    weights = 2 * 6_738_415_616  # bytes of LLaMA2-7B in bfloat16
    assert int(re.search(r"(\d+) such GPUs", done.stderr)[1]) >= ceil(weights / (FILLED * 12e9))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--gpu-memory-gb", "0"), "not above 0"),
        (("--share", "2"), "at most 1"),
        (("--configfile", "config/papr.yaml"), "did you mean 'paper.yaml'"),
        (("--gpu-memory",), "--gpu-memory"),
    ],
)
def test_bad_arguments_get_one_clear_message(arguments, said):
    done = planned(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_the_plan_imports_no_torch():
    code = (
        "import sys; from rl4nlu.planner.table import describe_plan; from rl4nlu.planner.device import Device; from rl4nlu.runs.grid import open_grid;"
        "from rl4nlu.config import *; from rl4nlu.base.files import REPOSITORY; c = load_config(read_yaml(REPOSITORY / 'config/paper.yaml'));"
        "describe_plan(c, open_grid(c), REPOSITORY / 'none', Device()); assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
