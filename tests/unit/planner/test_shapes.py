"""A shape's formulas against what is real: models' parameters, PEFT, FLOP counter, saved tensors, caches."""

import json

import pytest
import torch
from peft import get_peft_model
from shaped_models import HUB, SHIPPED, config_of, kept_by_autograd, model_of, shape_like, small
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, DynamicCache

from rl4nlu.config import Lora, Model
from rl4nlu.models.load import lora_config
from rl4nlu.models.precision import compute_in_dtype
from rl4nlu.planner import shapes
from rl4nlu.planner.shapes import (
    Shape,
    forward_flops,
    kv_bytes,
    lora_parameters,
    parameters,
    read_shape,
    saved_bytes,
    shape_of,
    training_flops,
)

DECODERS = ["llama", "qwen2", "mpt", "gpt2", "gptj", "gpt_neox"]
DEEP = {"gptj": {"n_layer": 12}, "gpt_neox": {"num_hidden_layers": 12}}
"""Where branches are parallel the first layer's MLP has no gradient: little among twelve layers."""


@pytest.mark.parametrize("path", [*SHIPPED, *HUB])
def test_parameters_are_those_of_the_real_model(path):
    config = config_of(path)
    with torch.device("meta"):
        model = model_of(config)
    assert parameters(shape_like(config)) == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("path", "printed"),
    [
        ("daryl149/llama-2-7b-chat-hf", 6_738_415_616),
        ("Qwen/Qwen2.5-7B-Instruct", 7.61e9),
        ("Qwen/Qwen2.5-1.5B-Instruct", 1.54e9),
        ("mosaicml/mpt-7b-chat", 6.65e9),
        ("lvwerra/gpt2-imdb", 124_439_808),
        ("openai-community/gpt2-medium", 354_823_168),
        ("EleutherAI/gpt-j-6b", 6.05e9),
        ("EleutherAI/pythia-6.9b", 6_857_302_016),
        ("google-bert/bert-base-cased", 110e6),
        ("google-bert/bert-large-cased", 340e6),
        ("lvwerra/distilbert-imdb", 66e6),
        ("OpenAssistant/reward-model-deberta-v3-large-v2", 304e6 + 131e6),
    ],
)
def test_hub_shapes_give_the_printed_sizes(path, printed):
    assert parameters(shape_like(config_of(path))) == pytest.approx(printed, rel=0.025)


def test_a_hand_counted_llama():
    # embedding 10*4; a layer: q 4*4, k and v 4*2 each, o 4*4, three MLP matrices 4*6, two norms 4; last norm 4
    shape = Shape("llama", 2, 4, 6, 2, 1, 2, 10, tied=True)
    assert parameters(shape) == 40 + 2 * (16 + 8 + 8 + 16 + 72 + 8) + 4


@pytest.mark.parametrize("kind", DECODERS)
@pytest.mark.parametrize("lora", [Lora(rank=3), Lora(rank=2, targets="all-linear"), Lora(rank=2, bias="all")])
def test_lora_parameters_are_pefts(kind, lora):
    config, model = small(kind)
    tuned = get_peft_model(model, lora_config(lora))
    trained = sum(p.numel() for p in tuned.parameters() if p.requires_grad)
    assert lora_parameters(shape_like(config), lora) == trained


def test_named_targets_are_found_as_peft_finds_them():
    config, model = small("gpt2")
    for named in (["c_proj"], ["mlp.c_proj"], ["c_attn", "c_fc"]):
        tuned = get_peft_model(model, lora_config(Lora(rank=2, targets=named)))
        trained = sum(p.numel() for p in tuned.parameters() if p.requires_grad)
        assert lora_parameters(shape_like(config), Lora(rank=2, targets=named)) == trained
        tuned.unload()


@pytest.mark.parametrize("kind", DECODERS)
def test_cache_bytes_are_those_of_a_real_cache(kind):
    config, model = small(kind)
    cache = model(input_ids=torch.zeros(2, 7, dtype=torch.long), past_key_values=DynamicCache(), use_cache=True)
    held = sum(t.nbytes for layer in cache.past_key_values.layers for t in (layer.keys, layer.values))
    assert 2 * 7 * kv_bytes(shape_like(config), 4) == held


@pytest.mark.parametrize("kind", DECODERS)
@pytest.mark.parametrize(("dtype", "dropout"), [("float32", 0.0), ("float32", 0.1), ("bfloat16", 0.0)])
def test_activations_of_tuning_are_what_autograd_saves(kind, dtype, dropout):
    lora = Lora(rank=2, dropout=dropout)
    config, model = small(kind, **DEEP.get(kind, {}))
    tuned = get_peft_model(model.to(getattr(torch, dtype)), lora_config(lora), autocast_adapter_dtype=True)
    tuned.train(dropout > 0)
    ids = torch.randint(0, 90, (4, 40))
    trunk = tuned.get_base_model().base_model

    def forward():
        with compute_in_dtype(trunk):
            return trunk(input_ids=ids, use_cache=False).last_hidden_state

    estimate = 4 * 40 * saved_bytes(shape_like(config), dtype, 40, lora)
    # the first layer saves less, for the embedding needs no gradient; position tables are not counted
    assert estimate == pytest.approx(kept_by_autograd(tuned, forward), rel=0.08)


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_activations_of_an_encoder_are_what_autograd_saves(dropout):
    config, model = small("bert", hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout)
    model.train()
    ids = torch.randint(0, 90, (4, 40))
    estimate = 4 * 40 * saved_bytes(shape_like(config), "float32", 40, None)
    assert estimate == pytest.approx(kept_by_autograd(model, lambda: model(input_ids=ids)[0]), rel=0.08)


@pytest.mark.parametrize("kind", DECODERS)
def test_flops_of_forward_and_backward_are_torchs(kind):
    config, _ = small(kind, **DEEP.get(kind, {}))
    shape, lora = shape_like(config), Lora(rank=2)
    model = model_of(config, attn_implementation="eager")  # torch does not count the CPU's fused attention
    tuned = get_peft_model(model, lora_config(lora)).eval()
    with FlopCounterMode(display=False) as counted:
        logits = tuned(input_ids=torch.randint(0, 90, (2, 30)), use_cache=False).logits
    assert forward_flops(shape, 60, 30, 60, lora) == counted.get_total_flops()
    with FlopCounterMode(display=False) as backward:
        logits.sum().backward()
    both = counted.get_total_flops() + backward.get_total_flops()
    # the first layer's backward pass ends at its adapters
    assert training_flops(shape, 60, 30, 60, lora) == pytest.approx(both, rel=0.12)


def test_flops_of_an_encoder_are_torchs():
    config, _ = small("bert")
    model = model_of(config, attn_implementation="eager").eval()
    with FlopCounterMode(display=False) as counted:
        model(input_ids=torch.randint(0, 90, (2, 30)))
    pooler = 2 * 2 * 48 * 48
    assert forward_flops(shape_like(config), 60, 30, 0) + pooler == counted.get_total_flops()


def test_architectures_without_formulas_are_unknown():
    assert read_shape({"model_type": "mamba"}) is None


def test_shapes_are_read_from_the_hubs_cache(monkeypatch, tmp_path):
    import huggingface_hub

    (tmp_path / "config.json").write_text(json.dumps(AutoConfig.for_model("llama", vocab_size=77).to_dict()))
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *a, **k: str(tmp_path / "config.json"))
    shapes.shape_of.cache_clear()
    found = shape_of(Model(kind="decoder", path="somebody/cached"))
    shapes.shape_of.cache_clear()
    assert found is not None
    assert found.vocabulary == 77
