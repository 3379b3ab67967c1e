"""What runs cost: work by prompts and rows, GPUs only where they are used, and every config can be planned."""

import pytest
from planned_runs import NOWHERE, spec_of

from rl4nlu.base.files import REPOSITORY
from rl4nlu.config import (
    METHODS,
    SUPPORTING_METHODS,
    TRAINED_METHODS,
    Config,
    Model,
    load_config,
    load_models,
    read_yaml,
)
from rl4nlu.planner.costs import Machine
from rl4nlu.planner.estimate import estimate_evaluation, estimate_policy_optimisation, estimate_training
from rl4nlu.planner.lengths import Lengths
from rl4nlu.planner.resources import UNKNOWN, JobResources
from rl4nlu.planner.shapes import parameters, shape_of
from rl4nlu.runs.grid import open_grid


@pytest.mark.parametrize("method", ["sft", "ppo", "grpo"])
def test_work_is_proportional_to_prompts_and_candidates(method):
    def flops(prompts, rates):
        spec = spec_of(method, **{method: {"prompts": prompts, "learning_rates": [1e-3] * rates}})
        estimate = estimate_training(spec, NOWHERE)
        assert estimate is not None
        return estimate.work.flops

    once = flops(6400, 1)
    assert flops(6400, 2) == pytest.approx(2 * once)
    assert 1.8 * once < flops(12800, 1) < 2 * once  # validation stays


@pytest.mark.parametrize("method", [name for name, method in METHODS.items() if method.learns])
def test_a_run_that_takes_its_learning_rate_is_estimated_to_train_once(method):
    def flops(seed, rates):
        model = "micro-bert-base" if method == "encoder" else "micro-llama"
        values = {METHODS[method].section: {"learning_rates": [1e-3] * rates}, "tuning_seed": 0}
        estimate = estimate_training(spec_of(method, model, seed=seed, **values), NOWHERE)
        assert estimate is not None
        return estimate.work.flops

    assert flops(1, 3) == flops(0, 1) < flops(0, 3)


def test_grpo_reads_a_long_prompt_once_for_all_its_answers_and_a_short_one_with_each():
    def flops(method, length):
        spec = spec_of(method, grpo={"group_size": 8})
        lengths = Lengths(shared=0, mean=length, long=int(length), answer=4, train=100, validation=0, test=0)
        estimate = estimate_policy_optimisation(spec, shape_of(spec.model_spec), spec.settings, [lengths], Machine())
        assert estimate is not None
        return estimate.work.flops

    assert 1 < flops("grpo", 400.0) / flops("ppo", 400.0) < 1.5
    assert 7 < flops("grpo", 20.0) / flops("ppo", 20.0) < 9


def test_methods_with_a_guide_generate_twice_and_another_model_is_in_memory_too():
    def estimate(method, **rlgf):
        found = estimate_training(spec_of(method, "micro-llama", rlgf=rlgf), NOWHERE)
        assert found is not None
        return found

    alone = estimate("ppo")
    assert estimate("ppo++", roll_in=0) == estimate("ppo++", guide="references") == alone
    half, whole = (estimate("ppo++", roll_in=share).work for share in (0.5, 1.0))
    assert whole.steps - alone.work.steps == half.steps - alone.work.steps > 0  # one token after the other, for any row
    assert whole.flops - alone.work.flops == pytest.approx(2 * (half.flops - alone.work.flops), rel=0.1)
    assert estimate("lols").work == estimate("d2lols").work == estimate("aggrevated", roll_in=0.2).work == whole
    assert estimate("lols", guide="endpoint", guide_endpoint={"base_url": "http://h", "model": "m"}).work == alone.work
    other = estimate("lols", guide="model", guide_model="micro-mpt")
    assert other.memory.weights > 1.5 * alone.memory.weights
    assert estimate("lols", guide="start").memory == alone.memory


def test_a_model_of_unknown_shape_stays_unknown():
    entry = Model(kind="decoder", path="nobody/no-such-model", dtype="bfloat16")
    spec = spec_of("sft").model_copy(update={"model_spec": entry})
    assert shape_of(entry) is None
    assert estimate_training(spec, NOWHERE) is None
    assert estimate_evaluation(spec, NOWHERE) is None
    assert JobResources(NOWHERE).of("training", spec) == {"gpu": 1, **UNKNOWN}


JUDGED = {"judges": {"imdb": "distilbert-imdb"}}


@pytest.mark.parametrize("estimate", [estimate_training, estimate_evaluation])
def test_a_judge_costs_its_weights_and_its_reading(estimate):
    lexicon = {"judges": {"imdb": "vader"}}
    judged, unjudged = (
        estimate(spec_of("sft", "gpt2-imdb", "imdb", **values), NOWHERE) for values in (JUDGED, lexicon)
    )
    assert judged is not None
    assert unjudged is not None
    weights = 4 * parameters(shape_of(load_models()["distilbert-imdb"]))
    assert judged.memory.weights - unjudged.memory.weights == weights
    assert judged.work.flops > unjudged.work.flops
    unknown = Model(kind="classifier", path="nobody/no-such-judge")
    spec = spec_of("sft", "gpt2-imdb", "imdb", **JUDGED).model_copy(update={"judges": {"imdb": unknown}})
    assert estimate(spec, NOWHERE) is None


def test_what_a_guide_writes_and_gold_answers_cost():
    def estimate(method, **settings):
        common = {"prompts": 640, "learning_rates": [1e-4]}
        values = {METHODS[method].section: {**common, **settings}}
        found = estimate_training(spec_of(method, "gpt2-imdb", "imdb", **values, **JUDGED), NOWHERE)
        assert found is not None
        return found

    ppo, guided = estimate("ppo"), estimate("ppo++")
    assert estimate("ppo++", guide="references").work == ppo.work
    assert guided.work.flops > ppo.work.flops
    assert guided.memory == ppo.memory  # the guide is the policy's own network
    assert estimate("ppo", supervised_coefficient=0.1).work.flops > 1.4 * ppo.work.flops
    other = estimate("ppo++", guide="model", guide_model="gpt2-medium")
    assert other.work.flops > guided.work.flops
    weights = 4 * parameters(shape_of(load_models()["gpt2-medium"]))
    assert other.memory.weights - ppo.memory.weights == weights


def test_every_config_can_be_planned():
    for name in ("config", "smoke", "single-gpu", "paper", "rlgf"):
        config: Config = load_config(read_yaml(REPOSITORY / "config" / f"{name}.yaml"))
        for spec in open_grid(config).runs.values():
            if spec.method not in SUPPORTING_METHODS:
                estimate = estimate_evaluation(spec, NOWHERE)
                assert estimate is not None
                assert (estimate.memory.total > 0) == (METHODS[spec.method].loads is not None)
            if spec.method in TRAINED_METHODS:
                trained = estimate_training(spec, NOWHERE)
                assert trained is not None
                assert trained.work.flops > 0
