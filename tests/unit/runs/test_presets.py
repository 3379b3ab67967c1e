"""Presets do what they say: each is held to a table of what its source says, and lies below all that is set."""

import pytest

from rl4nlu.base.errors import ConfigError
from rl4nlu.config import Protocol, load_config, load_models
from rl4nlu.runs.presets import PRESETS
from rl4nlu.runs.resolve import resolve
from rl4nlu.runs.spec import Address
from rl4nlu.tasks.task import load_tasks

MODELS, TASKS = load_models(), load_tasks()
SFT, PPO = (Address("micro-llama", method, "sst2", "main", 0) for method in ("sft", "ppo"))
FEW_SHOT = Address("micro-llama", "few-shot", "none", "main", 0)
REWARD_ENCODER = Address("micro-llama", "reward-encoder", "sst2", "main", 0)
RLLR = Address("micro-llama", "rllr-mixed", "rllr-sst2", "main", 0)
REWARD_MODEL = Address("micro-llama", "reward-label", "rllr-sst2", "main", 0)
PAIRS = Address("micro-llama", "pairs", "rllr-sst2", "main", 0)
RLGF = Address("micro-llama", "lols", "sst2", "main", 0)
SFT_RATIONALE = Address("micro-llama", "sft-rationale", "rllr-sst2", "main", 0)

LORA_RELEASED = {"rank": 16, "alpha": 32, "dropout": 0.05, "rslora": True, "bias": "all", "targets": "default"}
LORA_RLLR = {"rank": 16, "alpha": 32, "dropout": 0.1, "rslora": False, "bias": "none", "targets": "default"}
FACTS = [
    # Paper 1, Appendix C: hyper-parameters; sections 2 and 3: rewards, prompts.
    ("paper", PPO, "protocol", {"reward_table": "paper", "schedule": "cosine", "stop_at_tag": True}),
    ("paper", PPO, "protocol", {"sft_prompt": "same", "prompt_format": "raw"}),
    ("paper", PPO, "evaluation.decoding", {"how": "sample", "temperature": 1, "top_k": 0, "max_new_tokens": 32}),
    ("paper", SFT, "settings", {"batch_size": 24, "learning_rates": [9e-6]}),
    ("paper", SFT, "settings.lora", {"rank": 16}),
    ("paper", PPO, "settings", {"epochs": 4, "learning_rates": [9e-6], "value_learning_rate": None, "optimiser": "adafactor"}),
    ("paper", PPO, "settings.lora", {"rank": 16}),
    ("paper", FEW_SHOT, "settings", {"shots": [1, 2, 3, 4, 5]}),
    # Paper 1, on its reward model (Table 7): the first 5,000 items, four responses each.
    ("paper", REWARD_ENCODER, "settings", {"prompts": 5000, "replies": 4}),
    # Its release: prompts and labels, parsers, rewards, inference.
    (
        "released",
        PPO,
        "protocol",
        {"reward_table": "released", "parser": "lenient", "random_fallback": True, "stop_at_tag": False, "schedule": "constant"},
    ),
    ("released", SFT, "protocol", {"sst2_negative": "No", "superglue_labels": "integers", "sft_prompt": "separate", "prompt_format": "raw"}),
    ("released", PPO, "evaluation.decoding", {"how": "sample", "top_k": 0, "max_new_tokens": 31}),
    ("released", FEW_SHOT, "settings", {"shots": [5], "demonstrations": "first"}),
    ("released", SFT, "settings", {"batch_size": 24, "learning_rates": [9e-6]}),
    ("released", SFT, "settings.lora", LORA_RELEASED),
    # The release's PPO, and the defaults of TRL 0.11.4 that it runs with.
    (
        "released",
        PPO,
        "settings",
        {"batch_size": 16, "minibatch_size": 16, "epochs": 4, "learning_rates": [9e-6], "optimiser": "adafactor", "max_new_tokens": 31},
    ),
    ("released", PPO, "settings", {"kl_coefficient": 0.2, "kl_control": "adaptive", "kl_target": 6, "kl_horizon": 10000}),
    ("released", PPO, "settings", {"gamma": 1, "gae_lambda": 0.95, "clip_range": 0.2, "clip_range_value": 0.2}),
    ("released", PPO, "settings", {"value_coefficient": 0.1, "value_learning_rate": None, "entropy_coefficient": 0}),
    ("released", PPO, "settings", {"ratio_threshold": 10, "whiten_advantages": True, "whiten_rewards": False}),
    ("released", PPO, "settings", {"max_grad_norm": None, "start": "base", "keep": "last"}),
    ("released", PPO, "settings.lora", LORA_RELEASED | {"dropout": 0}),  # it acts while sampling alone
    # Paper 2's release: truncation, adapters, reward models, PPO, and the defaults of TRL 0.7.2.
    ("rllr-released", SFT_RATIONALE, "protocol", {"truncation": "proportional", "schedule": "cosine"}),
    ("rllr-released", SFT_RATIONALE, "evaluation.decoding", {"how": "greedy", "max_new_tokens": 512}),
    ("rllr-released", SFT_RATIONALE, "settings", {"batch_size": 128, "weight_decay": 0, "max_grad_norm": 1}),
    ("rllr-released", SFT_RATIONALE, "settings.lora", LORA_RLLR),
    ("rllr-released", REWARD_MODEL, "settings", {"loss": "dense", "temperature": 1, "weight_decay": 0, "max_grad_norm": 1}),
    ("rllr-released", REWARD_MODEL, "settings.lora", LORA_RLLR),
    ("rllr-released", RLLR, "settings", {"value_gradients": "released", "dropout_in_logprobs": True, "clipping": "first-step"}),
    ("rllr-released", RLLR, "settings", {"combination": "capped", "score_normalisation": True, "value_adapter": True}),
    ("rllr-released", RLLR, "settings", {"epochs": 1, "learning_rates": [5e-6], "value_learning_rate": None, "max_grad_norm": 1}),
    ("rllr-released", RLLR, "settings", {"max_new_tokens": 256, "temperature": 1, "top_k": 50, "optimiser": "adamw"}),
    ("rllr-released", RLLR, "settings", {"kl_coefficient": 0.2, "kl_control": "adaptive", "kl_target": 6, "kl_horizon": 10000}),
    ("rllr-released", RLLR, "settings", {"gamma": 1, "gae_lambda": 0.95, "clip_range": 0.2, "clip_range_value": 0.2}),
    ("rllr-released", RLLR, "settings", {"value_coefficient": 0.1, "ratio_threshold": 10, "entropy_coefficient": 0}),
    ("rllr-released", RLLR, "settings", {"whiten_advantages": True}),
    ("rllr-released", RLLR, "settings.lora", LORA_RLLR),
    # Paper 3's release: the PPO block that all algorithms share, and what its guided ones add.
    *(
        ("rlgf-released", address, "settings", facts)
        for address in (PPO, RLGF)
        for facts in (
            {"start": "sft", "supervised_coefficient": 0.1, "kl_control": "fixed", "optimiser": "adamw", "temperature": 1},
            {"gae_lambda": 0.95, "clip_range": 0.2, "clip_range_value": 0.2, "max_grad_norm": 1, "entropy_coefficient": 0},
            {"value_learning_rate": None, "whiten_advantages": False, "whiten_rewards": False, "ratio_threshold": None},
            {"target": "review-start", "reward_reads": "window"},
        )
    ),
    ("rlgf-released", RLGF, "settings", {"guide": "start", "guide_top_p": 0.92, "guide_weights": "learner", "lols_share": 0.8}),
    ("rlgf-released", RLGF, "settings", {"credit": "all", "phase_mask": "released", "kl_penalty": "dropped"}),
]  # fmt: skip


def found_at(run, path: str):
    for name in path.split("."):
        run = getattr(run, name)
    return run


def spec(address, preset, **over):
    return resolve(load_config({"protocol": {"preset": preset}, **over}), MODELS, TASKS, address)


@pytest.mark.parametrize(("preset", "address", "place", "facts"), FACTS)
def test_a_preset_is_what_its_source_says(preset, address, place, facts):
    found = found_at(spec(address, preset), place)
    assert {key: getattr(found, key) for key in facts} == facts


SECTION_RUNS = {
    "protocol": PPO, "evaluation": PPO, "prompting": FEW_SHOT, "sft": SFT, "ppo": PPO, "reward_encoder": REWARD_ENCODER,
    "sft_rationale": SFT_RATIONALE, "pairs": PAIRS, "reward_model": REWARD_MODEL, "rllr": RLLR,
    "rlgf": RLGF,
}  # fmt: skip


@pytest.mark.parametrize("preset", PRESETS)
def test_every_key_of_a_preset_exists_and_the_silent_ones_keep_their_default(preset):
    for key in (*PRESETS[preset].says, *PRESETS[preset].silent):
        section, path = key.split(".", 1)
        place = f"{section if section in ('protocol', 'evaluation') else 'settings'}.{path}"
        default = found_at(spec(SECTION_RUNS[section], "corrected"), place)
        found = found_at(spec(SECTION_RUNS[section], preset), place)
        expected = PRESETS[preset].says[key][0] if key in PRESETS[preset].says else default
        assert found == expected, key


def test_a_preset_says_nothing_that_the_table_does_not():
    for preset, layer in PRESETS.items():
        listed = {key for name, _, _, facts in FACTS if name == preset for key in facts}
        assert {key.split(".")[-1] for key in layer.says} <= listed, preset


def test_text_and_release_of_paper_1_speak_of_the_same_keys_and_of_each_once():
    paper, released = PRESETS["paper"], PRESETS["released"]
    assert paper.says.keys() | paper.silent.keys() == released.says.keys() | released.silent.keys()
    assert not paper.says.keys() & paper.silent.keys()
    assert not released.says.keys() & released.silent.keys()


def test_the_names_that_a_config_may_write_are_the_presets():
    assert Protocol.model_json_schema()["properties"]["preset"]["enum"] == list(PRESETS)


def test_a_preset_lies_below_all_that_is_set():
    config = {
        "protocol": {"preset": "released", "random_fallback": False},
        "ppo": {"kl_coefficient": 0.1, "lora": {"bias": "none"}},
        "mixtures": {"sst2": {"ppo": {"optimiser": "adamw"}}},
    }
    run = resolve(load_config(config), MODELS, TASKS, PPO)
    assert (run.protocol.parser, run.protocol.random_fallback) == ("lenient", False)
    assert (run.settings.kl_coefficient, run.settings.optimiser, run.settings.kl_control) == (0.1, "adamw", "adaptive")
    assert (run.settings.lora.bias, run.settings.lora.rslora) == ("none", True)


def test_the_last_layer_that_names_a_preset_counts_and_its_protocol_starts_afresh():
    over = {
        "protocol": {"preset": "paper", "sft_prompt": "separate"},
        "ppo": {"epochs": 2},
        "variants": {"as-released": {"protocol": {"preset": "released"}, "ppo": {"max_grad_norm": 2.0}}},
    }
    main = resolve(load_config(over), MODELS, TASKS, PPO)
    released = resolve(load_config(over), MODELS, TASKS, Address("micro-llama", "ppo", "sst2", "as-released", 0))
    assert (main.protocol.schedule, main.protocol.sft_prompt) == ("cosine", "separate")
    assert (released.protocol.schedule, released.protocol.sst2_negative) == ("constant", "No")
    assert (released.settings.epochs, released.settings.max_grad_norm, released.settings.kl_coefficient) == (
        2,
        2.0,
        0.2,
    )
    assert released.evaluation.decoding.max_new_tokens == 31


def test_a_variant_that_names_a_preset_stands_on_runs_of_its_own():
    over = {"variants": {"as-released": {"protocol": {"preset": "rllr-released"}}}}
    address = Address("micro-llama", "rllr-mixed", "rllr-sst2", "as-released", 0)
    assert all(
        "/as-released/" in path for path in resolve(load_config(over), MODELS, TASKS, address).stands_on.values()
    )


def test_an_unknown_preset_of_a_variant_is_named():
    over = {"variants": {"v": {"protocol": {"preset": "release"}}}}
    with pytest.raises(
        ConfigError, match=r"variants\.v: protocol\.preset: unknown name 'release' - did you mean 'released'"
    ):
        resolve(load_config(over), MODELS, TASKS, Address("micro-llama", "ppo", "sst2", "v", 0))
