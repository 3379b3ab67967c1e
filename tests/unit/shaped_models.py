"""Models of known shape, whole and small, and what autograd keeps of a pass through one."""

import json

import torch
from transformers import AutoModel, AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from rl4nlu.base.files import REPOSITORY
from rl4nlu.config import read_yaml
from rl4nlu.planner.shapes import ENCODER_FAMILIES, Shape, read_shape

HUB = read_yaml(REPOSITORY / "resources" / "planning.yaml")["models"]
SHIPPED = ("micro-llama", "micro-qwen2", "micro-mpt", "micro-bert-base", "micro-bert-large")


def config_of(path: str, **changes):
    if path in HUB:
        values = {k: v for k, v in HUB[path].items() if k != "source"}
    else:
        values = json.loads((REPOSITORY / "resources" / "micro" / path / "config.json").read_text())
    return CONFIG_MAPPING[values.pop("model_type")](**{**values, **changes})


def model_of(config, **how):
    auto = AutoModel if config.model_type in ENCODER_FAMILIES else AutoModelForCausalLM
    return auto.from_config(config, **how)


def shape_like(config) -> Shape:
    shape = read_shape(config.to_dict())
    assert shape is not None
    return shape


def small(kind: str, **changes):
    """A random model of three layers, with grouped heads where the architecture has them."""
    size = {
        "vocab_size": 90,
        "hidden_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 112,
    }
    if kind == "mpt":
        size = {"vocab_size": 90, "d_model": 48, "n_layers": 3, "n_heads": 4, "max_seq_len": 128}
    elif kind in ("gpt2", "gptj"):
        size = {"vocab_size": 90, "n_embd": 48, "n_layer": 3, "n_head": 4, "n_inner": 112, "n_positions": 128}
        size |= {"rotary_dim": 4} if kind == "gptj" else {}
    elif kind in ("llama", "qwen2"):
        size["num_key_value_heads"] = 2
    config = CONFIG_MAPPING[kind](**{**size, **changes})
    model = model_of(config)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout) and kind != "bert":
            module.p = 0.0  # as `load_backbone` does
    return config, model


def kept_by_autograd(model, forward) -> int:
    """Bytes of distinct storages that autograd saves in `forward`, the model's own apart."""
    own = {t.untyped_storage().data_ptr() for t in [*model.parameters(), *model.buffers()]}
    kept: dict[int, torch.Tensor] = {}

    def pack(tensor):
        if (at := tensor.untyped_storage().data_ptr()) not in own:
            kept[at] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        out = forward()
    assert out.requires_grad
    return sum(t.untyped_storage().nbytes() for t in kept.values())
