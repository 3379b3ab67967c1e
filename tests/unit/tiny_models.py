"""Tiny random decoders and tokenizers for tests: made in memory, in a fraction of a second."""

from collections.abc import Callable
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    CohereConfig,
    CohereForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPTJConfig,
    GPTJForCausalLM,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    GraniteConfig,
    GraniteForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MptConfig,
    MptForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

KINDS = ("llama", "qwen2", "mpt", "gpt2", "gptj", "gpt_neox")
TRANSFORMING = ("gemma2", "granite", "cohere")
"""Decoders that do something to their logits behind the head: a soft cap, a divisor, a factor."""


def byte_tokenizer(whole: tuple[str, ...] = (), pad: bool = True) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer with a start token; the words in `whole` are one token each."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<s>": 0, "</s>": 1, "<pad>": 2} | {c: n + 3 for n, c in enumerate(alphabet)}
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", **({"pad_token": "<pad>"} if pad else {})
    )
    if whole:
        tokenizer.add_tokens(list(whole))
    return tokenizer


def with_biases(model: Any) -> Any:
    """The model with random biases: they start at zero, and a test of them needs others."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(std=0.3)
    return model


def tiny_decoder(kind: str, vocabulary: int, seed: int = 0, positions: int = 256, spread: float = 0.3) -> Any:
    """A random float32 decoder; `spread` (weights' standard deviation) keeps its choices far from ties."""
    torch.manual_seed(seed)
    common = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2, "initializer_range": spread}
    size = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    if kind == "llama":
        llama = LlamaConfig(
            vocab_size=vocabulary, max_position_embeddings=positions, num_key_value_heads=2, **size, **common
        )
        return LlamaForCausalLM(llama).eval()
    if kind == "qwen2":
        qwen = Qwen2Config(
            vocab_size=vocabulary, max_position_embeddings=positions, num_key_value_heads=4, **size, **common
        )
        return with_biases(Qwen2ForCausalLM(qwen)).eval()
    if kind == "gpt_neox":
        neox = GPTNeoXConfig(vocab_size=vocabulary, max_position_embeddings=positions, **size, **common)
        return with_biases(GPTNeoXForCausalLM(neox)).eval()
    if kind in ("gpt2", "gptj"):
        sizes = {"n_embd": 32, "n_inner": 48, "n_layer": 2, "n_head": 4, "n_positions": positions}
        if kind == "gpt2":
            return with_biases(GPT2LMHeadModel(GPT2Config(vocab_size=vocabulary, **sizes, **common))).eval()
        gptj = GPTJConfig(vocab_size=vocabulary, rotary_dim=4, **sizes, **common)
        return with_biases(GPTJForCausalLM(gptj)).eval()
    if kind in TRANSFORMING:
        sizes = {"vocab_size": vocabulary, "max_position_embeddings": positions, "num_key_value_heads": 2}
        if kind == "gemma2":  # with a window that is shorter than prompts
            gemma = Gemma2Config(final_logit_softcapping=3.0, head_dim=8, sliding_window=6, **sizes, **size, **common)
            return Gemma2ForCausalLM(gemma).eval()
        if kind == "granite":
            return GraniteForCausalLM(GraniteConfig(logits_scaling=3.0, **sizes, **size, **common)).eval()
        return CohereForCausalLM(CohereConfig(logit_scale=0.25, **sizes, **size, **common)).eval()
    mpt = MptConfig(
        d_model=32, n_heads=4, n_layers=2, expansion_ratio=2, max_seq_len=positions, vocab_size=vocabulary, **common
    )
    return MptForCausalLM(mpt).eval()


class RuleDecoder(torch.nn.Module):
    """A fake decoder that answers by a rule: `rule(prompt text)` is what it writes, with certainty.

    Its cache holds the tokens themselves, so that it reads exactly what the decode loop lets it see. What it wrote
    itself begins behind the last `start`.
    """

    def __init__(self, tokenizer: Any, rule: Callable[[str], str], start: str = "<Judgement>") -> None:
        super().__init__()
        self.tokenizer, self.rule, self.start = tokenizer, rule, start
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(
        self, input_ids: Any, attention_mask: Any, past_key_values: Any, use_cache: bool, logits_to_keep: int
    ) -> Any:
        column = input_ids.float()[:, None, :, None]
        seen = past_key_values.update(column, column, 0)[0][:, 0, :, 0].long()
        logits = torch.zeros(*input_ids.shape, len(self.tokenizer))
        for row in range(len(seen)):
            for place in range(seen.shape[1] - logits_to_keep, seen.shape[1]):
                known = seen[row, : place + 1][attention_mask[row, : place + 1].bool()].tolist()
                before, tag, written = self.tokenizer.decode(known).rpartition(self.start)
                answer = [*self.tokenizer.encode(self.rule(before + tag)), self.tokenizer.eos_token_id]
                done = len(self.tokenizer.encode(written))
                logits[row, place - seen.shape[1], answer[min(done, len(answer) - 1)]] = 20.0
        return type("Out", (), {"logits": logits})
