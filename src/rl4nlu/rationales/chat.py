"""Rationales from a chat model on this machine, by transformers and our own decode loop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..base.errors import ConfigError
from ..config import ChatModel, Model

LEAST_POSITIONS = 64


def chat(settings: ChatModel, prompts: Sequence[str], longest: int, seed: int) -> Iterator[tuple[int, str]]:
    """Answers of the model to the prompts, each a user's turn of its chat template; batch by batch.

    An answer has at most `longest` tokens.

    Raises:
        ConfigError: the model cannot be loaded, or its tokenizer has no chat template.
    """
    import torch

    from ..answering import generate as generation
    from ..models.load import load_backbone, load_tokenizer

    model = Model(
        kind="decoder", path=settings.path, revision=settings.revision, dtype=settings.dtype, max_length=LEAST_POSITIONS
    )
    tokenizer = load_tokenizer(model)
    if not tokenizer.chat_template:
        raise ConfigError(f"rationales.chat.path: {settings.path} has no chat template; name a chat model")
    backbone = load_backbone(model)
    chance = torch.Generator(backbone.device).manual_seed(seed)
    for start in range(0, len(prompts), settings.batch_size):
        turns = [[{"role": "user", "content": prompt}] for prompt in prompts[start : start + settings.batch_size]]
        texts = [str(tokenizer.apply_chat_template(t, tokenize=False, add_generation_prompt=True)) for t in turns]
        tokens: list[list[int]] = tokenizer(texts, add_special_tokens=False)["input_ids"]  # type: ignore[assignment]
        answers = generation.generate_texts(
            backbone,
            tokens,
            tokenizer=tokenizer,
            max_new_tokens=longest,
            sample=settings.temperature > 0,
            temperature=settings.temperature or 1.0,
            generator=chance,
            stop=None,
        )
        yield from enumerate(answers, start)
