"""Memory of a micro-batch against the tensors that autograd saves, and what it grows with."""

import pytest
import torch
from peft import get_peft_model
from shaped_models import config_of, kept_by_autograd, shape_like, small

from rl4nlu.config import Lora
from rl4nlu.models.load import lora_config
from rl4nlu.planner.costs import ForwardPass, Machine, asking_memory, encoding_memory, graph_bytes, tuning_memory
from rl4nlu.planner.shapes import lora_parameters, parameters


def test_activations_with_a_shared_prefix_are_what_autograd_saves():
    config, model = small("llama")
    lora = Lora(rank=2)
    tuned = get_peft_model(model, lora_config(lora)).eval()
    trunk = tuned.get_base_model().base_model

    def forward():
        past = trunk(input_ids=torch.randint(0, 90, (1, 30)), use_cache=True).past_key_values
        for layer in past.layers:
            layer.keys, layer.values = layer.keys.expand(6, -1, -1, -1), layer.values.expand(6, -1, -1, -1)
        return trunk(input_ids=torch.randint(0, 90, (6, 20)), past_key_values=past, use_cache=True).last_hidden_state

    piece = ForwardPass(6, 50, 30, 0)
    assert piece.read == 30 + 6 * 20
    estimate = graph_bytes(shape_like(config), "float32", piece, lora, Machine(), dropout=False)
    assert estimate == pytest.approx(kept_by_autograd(tuned, forward), rel=0.08)


def test_memory_grows_with_everything_that_it_should_grow_with():
    shape, lora = shape_like(config_of("Qwen/Qwen2.5-1.5B-Instruct")), Lora()

    def tuned(rows=8, length=300, rank=16, copies=3):
        piece = ForwardPass(rows, length, 0, rows * 10)
        more = {"copies": copies, "dropout": False}
        return tuning_memory(shape, "bfloat16", [piece], Lora(rank=rank), Machine(gpu=True), **more).total

    for larger in ({"rows": 9}, {"length": 301}, {"rank": 17}, {"copies": 4}):
        assert tuned(**larger) > tuned()

    def asked(rows=64, length=300, budget=8192):
        return asking_memory(shape, "bfloat16", rows, length, 0, budget, Machine(gpu=True)).total

    assert asked(budget=16384) > asked() > asked(rows=8)
    assert (
        encoding_memory(shape, 8, 128, Machine()).total > encoding_memory(shape, 8, 128, Machine(), trains=False).total
    )
    assert Machine(gpu=True, quantised=True).weights(shape, "bfloat16") < Machine(gpu=True).weights(shape, "bfloat16")
    assert lora_parameters(shape, lora) < parameters(shape) / 500
