"""What jobs ask the scheduler for: by hand from an estimate, and GPUs only where they are used."""

import pytest
from planned_runs import NOWHERE, spec_of

from rl4nlu.config import Model
from rl4nlu.planner.costs import Memory, Work
from rl4nlu.planner.estimate import Estimate
from rl4nlu.planner.resources import JobResources, resources_of


def test_memory_and_time_by_hand():
    model = Model(kind="decoder", path="somebody/model", dtype="bfloat16")
    # 120 MB of Python, a quarter more and 500 MB, in hundreds; three times a second of start, and ten minutes
    guess = Estimate(False, Memory(), Work(), 0, "plain")
    assert resources_of(guess, model) == {"gpu": 0, "mem_mb": 700, "runtime": 11}
    # 10 GB of weights pass a host process of 4 GB; 600 s of work at 35 % of the rate, 120 s of start
    large = Estimate(True, Memory(weights=10e9), Work(flops=600 * 0.35 * 312e12), 0, "sft")
    assert resources_of(large, model) == {"gpu": 1, "mem_mb": 18_000, "runtime": 46}


@pytest.mark.parametrize(
    ("method", "model", "gpu"),
    [("majority", "llama2-7b-chat", 0), ("zero-shot", "llama2-7b-chat", 1), ("zero-shot", "micro-llama", 0)],
)
def test_jobs_take_a_gpu_only_where_they_use_it(method, model, gpu):
    assert JobResources(NOWHERE).of("evaluating", spec_of(method, model, "none"))["gpu"] == gpu


def test_a_run_that_chooses_its_learning_rate_has_time_for_every_candidate():
    values = {"tuning_seed": 0, "ppo": {"learning_rates": [1e-3, 3e-3, 1e-2]}}
    resources = JobResources(NOWHERE)
    chooses, takes, also = (resources.of("training", spec_of("ppo", seed=n, **values))["runtime"] for n in (0, 1, 2))
    assert chooses > takes == also


def test_full_size_encoders_take_a_gpu_and_embedded_ones_do_not():
    for model, gpu in (("bert-base", 1), ("micro-bert-large", 0)):
        assert JobResources(NOWHERE).of("training", spec_of("encoder", model))["gpu"] == gpu
