"""Closed config classes: what a user gets wrong is said in one line that helps."""

import pytest

from rl4nlu.base.errors import ConfigError, nearest
from rl4nlu.config import load_config, load_models, merge, read_yaml


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"ppoo": {}}, ["ppoo: unknown key", "did you mean 'ppo'"]),
        ({"ppo": {"batch_sise": 3}}, ["ppo.batch_sise", "did you mean 'batch_size'", "Allowed: start, prompts"]),
        ({"ppo": {"lora": {"rnk": 3}}}, ["ppo.lora.rnk", "did you mean 'rank'"]),
        ({"ppo": {"epochs": "many"}}, ["ppo.epochs", '"many"', "integer"]),
        ({"ppo": {"batch_size": 5}}, ["batch_size 5 is not a multiple of minibatch_size 64"]),
        ({"protocol": {"preset": "release"}}, ["protocol.preset", "did you mean 'released'"]),
        (
            {"grid": [{"method": "sftt", "models": ["m"], "mixtures": ["cola"]}]},
            ["grid.0.method", "did you mean 'sft'"],
        ),
        ({"grid": [{"method": "sft", "models": ["m"]}]}, ["method sft trains and needs mixtures"]),
        ({"grid": [{"method": "zero-shot", "models": ["m"], "mixtures": ["cola"]}]}, ["zero-shot trains nothing"]),
        ({"grid": [{"method": "sft", "mixtures": ["cola"]}]}, ["grid.0.models: is missing"]),
        ({"data": {"source": "huub"}}, ["data.source", "did you mean 'hub'"]),
        ({"data": {"test_rows": 0}}, ["data.test_rows", "greater than or equal to 1"]),
    ],
)
def test_a_fault_is_named_with_its_key_and_the_nearest_name(values, said):
    with pytest.raises(ConfigError) as error:
        load_config(values, "my.yaml")
    assert str(error.value).startswith("my.yaml: ")
    for part in said:
        assert part in str(error.value)


def test_every_fault_has_a_line_of_its_own():
    with pytest.raises(ConfigError) as error:
        load_config({"ppo": {"epochs": "x"}, "thread": 2}, "my.yaml")
    assert len(str(error.value).splitlines()) == 2


def test_data_root_on_the_command_line_reaches_the_data_section():
    config = load_config({"data_root": "there", "data": {"source": "local", "test_rows": 3}})
    assert (config.data.data_root, config.data.test_rows) == ("there", 3)


def test_merge_lays_dictionaries_over_each_other_and_replaces_lists():
    assert merge({"a": {"b": 1, "c": [1, 2]}, "d": 1}, {"a": {"c": [3]}}) == {"a": {"b": 1, "c": [3]}, "d": 1}


def test_nearest_is_silent_where_nothing_is_near():
    assert nearest("ppo", ["sft", "encoder"]) == ""


def test_a_broken_or_absent_file_is_named(tmp_path):
    (tmp_path / "config.yaml").write_text("a: [1")
    with pytest.raises(ConfigError, match=r"config\.yaml: not valid YAML"):
        read_yaml(tmp_path / "config.yaml")
    with pytest.raises(ConfigError, match=r"did you mean 'config\.yaml'"):
        read_yaml(tmp_path / "confg.yaml")


def test_shipped_models_and_configs_are_valid(root):
    assert {"micro-llama", "micro-bert-base", "llama2-7b-chat"} <= set(load_models())
    for path in sorted((root / "config").glob("*.yaml")):
        if path.name != "models.yaml":
            load_config(read_yaml(path), path.name)
