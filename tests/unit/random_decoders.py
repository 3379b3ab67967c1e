"""One random decoder of every architecture, and random prompts for them."""

import torch
from tiny_models import KINDS, TRANSFORMING, byte_tokenizer, tiny_decoder

TOKENIZER = byte_tokenizer()
VOCABULARY = len(TOKENIZER)
MODELS = {kind: tiny_decoder(kind, VOCABULARY) for kind in KINDS + TRANSFORMING}
NEVER, ALWAYS = 2.0, 0.0  # prefix_share


def prompts_of(lengths, shared=0, seed=0):
    source = torch.Generator().manual_seed(seed)
    head = torch.randint(3, VOCABULARY, (shared,), generator=source).tolist()
    return [head + torch.randint(3, VOCABULARY, (n,), generator=source).tolist() for n in lengths]
