"""What runs cost: work by prompts and rows, GPUs only where they are used, and every config can be planned."""

import json
from pathlib import Path

import pytest

from rl4nlu.base.files import REPOSITORY
from rl4nlu.config import SUPPORTING_METHODS, TRAINED_METHODS, Config, Model, load_config, load_models, read_yaml
from rl4nlu.planner import estimate as plan
from rl4nlu.planner.costs import Machine
from rl4nlu.planner.estimate import Lengths, Plan, evaluating, optimising, training
from rl4nlu.planner.shapes import shape_of
from rl4nlu.runs.grid import open_grid
from rl4nlu.runs.resolve import resolve
from rl4nlu.runs.spec import Address, RunSpec
from rl4nlu.tasks.task import load_tasks

NOWHERE = Path("/nonexistent")


def spec_of(method: str, model: str = "micro-llama", mixture: str = "rte", **values) -> RunSpec:
    config = load_config(values)
    return resolve(config, load_models(), load_tasks(), Address(model, method, mixture, "main", 0), ["rte"])


@pytest.mark.parametrize("method", ["sft", "ppo", "grpo"])
def test_work_is_proportional_to_prompts_and_candidates(method):
    def flops(prompts, rates):
        spec = spec_of(method, **{method: {"prompts": prompts, "learning_rates": [1e-3] * rates}})
        estimate = training(spec, NOWHERE)
        assert estimate is not None
        return estimate.work.flops

    once = flops(6400, 1)
    assert flops(6400, 2) == pytest.approx(2 * once)
    assert 1.8 * once < flops(12800, 1) < 2 * once  # validation stays


def test_grpo_reads_a_long_prompt_once_for_all_its_answers_and_a_short_one_with_each():
    def flops(method, length):
        spec = spec_of(method, grpo={"group_size": 8})
        lengths = Lengths(shared=0, mean=length, long=int(length), answer=4, train=100, validation=0, test=0)
        estimate = optimising(spec, shape_of(spec.model_spec), spec.settings, [lengths], Machine())
        assert estimate is not None
        return estimate.work.flops

    assert 1 < flops("grpo", 400.0) / flops("ppo", 400.0) < 1.5
    assert 7 < flops("grpo", 20.0) / flops("ppo", 20.0) < 9


def test_prepared_rows_are_used_where_they_exist(tmp_path):
    folder = tmp_path / "rte"
    folder.mkdir()
    spec = spec_of("sft")
    before = training(spec, tmp_path / "empty")
    row = {"id": "1", "fields": {"sentence1": "word " * 300, "sentence2": "word " * 300}, "label": "entailment"}
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for _ in range(20)))
    (folder / "record.json").write_text(json.dumps({"rows": {"train": 20, "validation": 5, "test": 5}}))
    after = training(spec, tmp_path)
    assert before is not None
    assert after is not None
    assert after.memory.activations > 1.5 * before.memory.activations


def test_a_model_of_unknown_shape_stays_unknown():
    entry = Model(kind="decoder", path="nobody/no-such-model", dtype="bfloat16")
    spec = spec_of("sft").model_copy(update={"model_spec": entry})
    assert shape_of(entry) is None
    assert training(spec, NOWHERE) is None
    assert evaluating(spec, NOWHERE) is None
    assert Plan(NOWHERE).resources("training", spec) == {"gpu": 1, **plan.UNKNOWN}


@pytest.mark.parametrize(
    ("method", "model", "gpu"),
    [("majority", "llama2-7b-chat", 0), ("zero-shot", "llama2-7b-chat", 1), ("zero-shot", "micro-llama", 0)],
)
def test_jobs_take_a_gpu_only_where_they_use_it(method, model, gpu):
    needs = Plan(NOWHERE).resources("evaluating", spec_of(method, model, "none"))
    assert needs["gpu"] == gpu
    assert needs["mem_mb"] >= 600
    assert needs["runtime"] >= 11


def test_full_size_encoders_take_a_gpu_and_embedded_ones_do_not():
    for model, gpu in (("bert-base", 1), ("micro-bert-large", 0)):
        assert Plan(NOWHERE).resources("training", spec_of("encoder", model))["gpu"] == gpu


def test_every_config_can_be_planned():
    for name in ("config", "smoke", "single-gpu", "paper"):
        config: Config = load_config(read_yaml(REPOSITORY / "config" / f"{name}.yaml"))
        for spec in open_grid(config).runs.values():
            if spec.method not in SUPPORTING_METHODS:
                estimate = evaluating(spec, NOWHERE)
                assert estimate is not None
                assert (estimate.memory.total > 0) == (spec.method not in ("majority", "random"))
            if spec.method in TRAINED_METHODS:
                trained = training(spec, NOWHERE)
                assert trained is not None
                assert trained.seconds(plan.Device(), spec.model_spec.dtype) > 0 or spec.method == "merged-backbone"
