"""The merged backbone: a plain folder that computes what the adapted model computed."""

import pytest
import torch
from tiny_models import byte_tokenizer, tiny_decoder

from rl4nlu.config import Lora, Model, load_config, load_models
from rl4nlu.methods.merge import merged_model, train
from rl4nlu.models.load import add_lora, load_backbone, load_tokenizer
from rl4nlu.runs.resolve import resolve
from rl4nlu.runs.spec import Address
from rl4nlu.tasks.task import load_tasks


@pytest.mark.parametrize("kind", [None, "gpt2", "gptj", "gpt_neox"])
def test_the_merged_folder_computes_what_the_adapter_did(kind, tmp_path):
    models, name = load_models(), "micro-llama"
    if kind:
        name = "tiny"
        tiny_decoder(kind, 600, spread=0.02).save_pretrained(tmp_path / kind)
        byte_tokenizer().save_pretrained(tmp_path / kind)
        models[name] = Model(kind="decoder", path=str(tmp_path / kind), max_length=256)
    run = resolve(load_config({}), models, load_tasks(), Address(name, "merged-backbone", "sst2", "main", 0))
    adapted = add_lora(load_backbone(run.model_spec), Lora(rank=4, targets="all-linear"), 0)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in (p for p in adapted.parameters() if p.requires_grad):
            parameter.add_(0.02 * torch.randn_like(parameter))
    adapted.save_pretrained(str(tmp_path / "sft" / "adapter"))
    ids = torch.tensor([[1, 300, 400, 500]])
    expected = adapted.eval()(input_ids=ids).logits

    train(run, tmp_path, tmp_path, {"adapter": tmp_path / "sft"})
    merged = merged_model(run, tmp_path)
    assert merged.revision is None
    torch.testing.assert_close(load_backbone(merged)(input_ids=ids).logits, expected, rtol=1e-3, atol=1e-4)
    assert (
        load_tokenizer(merged)("a good film")["input_ids"] == load_tokenizer(run.model_spec)("a good film")["input_ids"]
    )
