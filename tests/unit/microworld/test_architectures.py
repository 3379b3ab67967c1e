"""Micro models: their sizes, their names, and first weights that follow from the seed."""

import pytest

from rl4nlu.microworld.architectures import DECODERS, MICRO_MODELS, build_model
from rl4nlu.microworld.tokenizer import build_tokenizer


@pytest.mark.parametrize("name", MICRO_MODELS)
def test_first_weights_follow_from_the_seed(name: str) -> None:
    import torch

    kind = "decoder" if name in DECODERS else "encoder"
    found = []
    for _ in range(2):
        torch.manual_seed(1)
        found.append(build_model(name, build_tokenizer(kind)).get_input_embeddings().weight)
    assert torch.equal(*found)


@pytest.mark.parametrize("name", MICRO_MODELS)
def test_sizes(name: str) -> None:
    model = build_model(name, build_tokenizer("decoder" if name in DECODERS else "encoder"))
    count = sum(p.numel() for p in model.parameters())
    assert 4e5 < count < (1e6 if name != "micro-bert-large" else 2e6)


def test_unknown_names_are_named() -> None:
    with pytest.raises(ValueError, match="unknown micro model"):
        build_model("micro-gpt", build_tokenizer())
