"""A tiny encoder."""

from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, BertConfig, BertForMaskedLM

from rl4nlu.base.files import REPOSITORY

MICRO = REPOSITORY / "resources" / "micro"


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    """Folder of a tiny random BERT with the micro encoders' tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(MICRO / "micro-bert-base")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=128, initializer_range=0.2,
    )  # fmt: skip
    BertForMaskedLM(config).save_pretrained(tmp_path / "bert")
    tokenizer.save_pretrained(tmp_path / "bert")
    return tmp_path / "bert"
