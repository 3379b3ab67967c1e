"""A key that is set and would do nothing stops with one message; a layer may leave a lower one's keys idle."""

import pytest

from rl4nlu.base.errors import ConfigError
from rl4nlu.config import load_config, load_models, merge
from rl4nlu.runs.idle import CONDITIONS
from rl4nlu.runs.resolve import resolve
from rl4nlu.runs.spec import Address
from rl4nlu.tasks.task import load_tasks

MODELS, TASKS = load_models(), load_tasks()
SERVER = {"base_url": "http://127.0.0.1:9", "model": "m"}
ONE_STEP = {"epochs": 1, "batch_size": 64, "minibatch_size": 64}


def resolved(method, values, variant="main"):
    return resolve(load_config(values, "my.yaml"), MODELS, TASKS, Address("micro-llama", method, "sst2", variant, 0))


IDLE = [
    # method, section, what is set, the key that does nothing, what lets it act (None: nothing)
    ("ppo", "ppo", {"lora": {"dropout": 0.05}}, "lora.dropout", None),
    ("grpo", "grpo", {"lora": {"dropout": 0.05}}, "lora.dropout", None),
    ("raft", "raft", {"lora": {"dropout": 0.05}}, "lora.dropout", None),
    ("ppo-rm", "ppo_rm", {"lora": {"dropout": 0.05}}, "lora.dropout", None),
    ("rllr", "rllr", {"lora": {"dropout": 0.05}}, "lora.dropout", {"dropout_in_logprobs": True}),
    ("rllr", "rllr", {"dropout_in_logprobs": True, "value_adapter": False}, "dropout_in_logprobs", {"lora": {"dropout": 0.1}}),
    ("ppo", "ppo", {"clipping": "first-step", "max_grad_norm": None}, "clipping", {"max_grad_norm": 1.0}),
    ("ppo", "ppo", {"clip_range": 0.1, **ONE_STEP}, "clip_range", {"epochs": 2}),
    ("grpo", "grpo", {"ratio_threshold": 3, **ONE_STEP, "batch_size": 16}, "ratio_threshold", {"minibatch_size": 32}),
    ("ppo", "ppo", {"clip_range_value": 0.1, **ONE_STEP}, "clip_range_value", {"minibatch_size": 32}),
    ("rllr", "rllr", {"clip_range": 0.1}, "clip_range", {"dropout_in_logprobs": True}),
    ("ppo", "ppo", {"value_coefficient": 0, "value_learning_rate": 0.1}, "value_learning_rate", {"value_coefficient": 1}),
    ("ppo", "ppo", {"kl_target": 1}, "kl_target", {"kl_control": "adaptive"}),
    ("ppo", "ppo", {"kl_horizon": 1}, "kl_horizon", {"kl_control": "adaptive"}),
    ("rllr-mixed", "rllr", {"combination": "sum", "threshold": 1}, "threshold", {"combination": "capped"}),
    ("rllr-mixed", "rllr", {"threshold": 1, "threshold_quantile": 0.1}, "threshold_quantile", {"threshold": None}),
    ("ppo++", "rlgf", {"guide_model": "micro-mpt"}, "guide_model", {"guide": "model"}),
    ("ppo++", "rlgf", {"guide_sft": "main"}, "guide_sft", {"guide": "model"}),
    ("ppo++", "rlgf", {"guide_endpoint": SERVER}, "guide_endpoint", {"guide": "endpoint"}),
    ("ppo++", "rlgf", {"guide_weights": "learner", "guide": "references"}, "guide_weights", {"guide": "start"}),
    ("ppo++", "rlgf", {"guide_top_p": 0.5, "guide": "references"}, "guide_top_p", {"guide": "start"}),
    ("ppo++", "rlgf", {"guide_top_k": 5, "guide": "endpoint", "guide_endpoint": SERVER}, "guide_top_k", None),
    ("ppo++", "rlgf", {"guide_max_new_tokens": 5, "guide": "references"}, "guide_max_new_tokens", {"guide": "start"}),
    ("lols", "rlgf", {"kl_penalty": "dropped", "kl_coefficient": 0.2}, "kl_coefficient", {"kl_penalty": "own"}),
    ("lols", "rlgf", {"kl_penalty": "dropped", "kl_control": "adaptive"}, "kl_control", {"kl_penalty": "own"}),
    ("lols", "rlgf", {"target": "review-start"}, "target", {"supervised_coefficient": 0.1}),
    ("ppo", "ppo", {"target": "review-start"}, "target", {"supervised_coefficient": 0.1}),
    ("sft", "evaluation", {"decoding": {"temperature": 0.7}}, "decoding.temperature", {"decoding": {"how": "sample"}}),
    ("sft", "evaluation", {"decoding": {"how": "score", "top_k": 5}}, "decoding.top_k", {"decoding": {"how": "sample"}}),
]  # fmt: skip


@pytest.mark.parametrize(("method", "section", "values", "key", "cure"), IDLE)
def test_a_key_that_would_do_nothing_is_refused(method, section, values, key, cure):
    with pytest.raises(ConfigError, match=rf"^embedded: {section}: config: {key} .* has no effect"):
        resolved(method, {section: values})
    variants = {"own": {section: values}}
    with pytest.raises(ConfigError, match=rf"{section}: variants\.own: {key} .* has no effect"):
        resolved(method, {"variants": variants}, "own")
    resolved(method, {"variants": variants})  # the main variant has it not
    if cure is not None:
        resolved(method, {section: merge(values, cure)})


def test_what_a_layer_above_switches_off_may_stay():
    adaptive = {
        "ppo": {"kl_control": "adaptive", "kl_target": 1},
        "evaluation": {"decoding": {"how": "sample", "temperature": 0.7}},
    }
    fixed = {"ppo": {"kl_control": "fixed"}, "evaluation": {"decoding": {"how": "greedy"}}}
    assert resolved("ppo", {**adaptive, "variants": {"fixed": fixed}}, "fixed").settings.kl_target == 1
    paper = {
        "protocol": {"preset": "paper"},
        "evaluation": {"decoding": {"how": "greedy"}},
    }  # the preset's temperature stays
    resolved("ppo", paper)


def test_the_default_value_may_be_said_anywhere():
    resolved(
        "ppo", {"ppo": {"lora": {"dropout": 0.0}, "kl_target": 6.0}, "evaluation": {"decoding": {"temperature": 1.0}}}
    )


def test_every_condition_is_tried():
    tried = {key for _, _, _, key, _ in IDLE}
    assert tried == {key for condition in CONDITIONS for key in condition.keys}


@pytest.mark.parametrize("name", ["supplied", "chat", "endpoint"])
def test_a_source_of_rationales_that_is_not_used_is_refused(name):
    part = {"supplied": "file.jsonl", "chat": {"path": "m"}, "endpoint": {"base_url": "http://here/v1", "model": "m"}}[
        name
    ]
    load_config({"rationales": {"source": name, name: part}})
    with pytest.raises(ConfigError, match=f"{name} has no effect while source is derived; set source: {name}"):
        load_config({"rationales": {name: part}})


def test_a_chat_prompt_needs_a_model_that_is_said_to_chat():
    with pytest.raises(ConfigError, match=r"prompt_format is chat, and model micro-llama .* set chat: true"):
        resolved("ppo", {"protocol": {"prompt_format": "chat"}})
