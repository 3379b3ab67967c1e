"""The five micro models: real transformers classes at about half a million parameters."""

from __future__ import annotations

from typing import Any

DECODERS = ("micro-llama", "micro-qwen2", "micro-mpt")
ENCODERS = ("micro-bert-base", "micro-bert-large")
MICRO_MODELS = DECODERS + ENCODERS
MATCHING = 0.12  # scale of the shared projection: a word scores about seven logits on itself, others about none
SPACE = "Ġ"  # how the byte-level vocabulary writes a space


def build_model(name: str, tokenizer: Any) -> Any:
    """A freshly initialised model whose vocabulary and special tokens are the tokenizer's.

    A decoder's embeddings begin five times as large as the library's, and the forms of a word (with or without a space before it or a capital)
    begin alike; in the first two layers queries and keys begin as one projection, so that a head first looks for the same word. Copying and
    comparing words then appear in a fraction of the steps.
    """
    import torch

    model = _fresh(name, tokenizer)
    weight = model.get_input_embeddings().weight
    with torch.no_grad():
        if name in DECODERS:
            torch.nn.init.normal_(weight, std=0.1)
        spread = float(weight.std())
        vocabulary = tokenizer.get_vocab()
        for token in sorted(vocabulary, key=vocabulary.__getitem__):  # its own order changes from call to call
            number = vocabulary[token]
            word = token.removeprefix(SPACE)
            first = vocabulary.get(SPACE + word.lower(), vocabulary.get(SPACE + word))
            if first is not None and first != number and word.isalpha() and len(token) > 1:
                weight[number] = weight[first] + 0.3 * spread * torch.randn(weight.shape[1])
        for block in range(2):
            _look_for_same_word(model, name, block)
    return model


def _look_for_same_word(model: Any, name: str, block: int) -> None:
    """Make a layer's queries and keys begin as the same random projection."""
    if name == "micro-mpt":
        weight = model.transformer.blocks[block].attn.Wqkv.weight
        width = weight.shape[1]
        weight[:width].normal_(std=MATCHING)
        weight[width : 2 * width] = weight[:width]
        return
    if name in ENCODERS:
        attention = model.bert.encoder.layer[block].attention.self
        query, key = attention.query.weight, attention.key.weight
    else:
        attention = model.model.layers[block].self_attn
        query, key = attention.q_proj.weight, attention.k_proj.weight
    key.normal_(std=MATCHING)
    groups = key.view(-1, attention.head_dim if name == "micro-qwen2" else len(key), key.shape[1])
    query.copy_(groups.repeat_interleave(len(query) // len(key), dim=0).view_as(query))


def _fresh(name: str, tokenizer: Any) -> Any:
    import transformers as tf

    config: Any
    size = len(tokenizer)
    ids = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    rotary = {  # what the two decoders with rotary positions share
        "vocab_size": size,
        "hidden_size": 96,
        "intermediate_size": 256,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": True,
        **ids,
    }
    if name == "micro-llama":
        return tf.LlamaForCausalLM(tf.LlamaConfig(num_key_value_heads=4, rms_norm_eps=1e-5, **rotary))
    if name == "micro-qwen2":
        return tf.Qwen2ForCausalLM(tf.Qwen2Config(num_key_value_heads=2, **rotary))
    if name == "micro-mpt":
        config = tf.MptConfig(
            vocab_size=size, d_model=96, n_heads=4, n_layers=4, expansion_ratio=4, max_seq_len=4096, **ids
        )
        return tf.MptForCausalLM(config)
    if name in ENCODERS:
        width, layers = (96, 4) if name == "micro-bert-base" else (128, 6)
        config = tf.BertConfig(
            vocab_size=size,
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=4,
            intermediate_size=4 * width,
            max_position_embeddings=512,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            pad_token_id=tokenizer.pad_token_id,
        )
        return tf.BertForMaskedLM(config)
    raise ValueError(f"unknown micro model {name!r}; known are {', '.join(MICRO_MODELS)}")


def body(model: Any) -> Any:
    """The model without its language-model head."""
    return getattr(model, model.base_model_prefix)
