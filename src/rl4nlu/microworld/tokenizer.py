"""The microworld's tokenizer: whole words of the world as single tokens, single bytes for everything else.

A Unigram model over byte-level characters: 256 byte characters with a low score and every word, with and without a leading space, with a
high one. Any text round-trips (only white space before a judgement tag is absorbed by the tag).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from .vocabulary import world_words

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

BOS, EOS, PAD, CLS, SEP, MASK = "<s>", "</s>", "<pad>", "[CLS]", "[SEP]", "[MASK]"
JUDGE_OPEN, JUDGE_CLOSE = "<Judgement>", "</Judgement>"
SPECIALS = (PAD, BOS, EOS, CLS, SEP, MASK)
# pieces: a word with its space, one digit, one sign, line ends; contractions are not split, so that a quoted 'spring' stays whole
PIECES = r" ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]|\s+(?!\S)|\s"
SIGNS = ".,:;?!\"'()[]{}<>-_/=@+*&%#0123456789"


def byte_characters() -> list[str]:
    """The 256 printable stand-ins for bytes, in byte order (as in GPT-2)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    extra = iter(range(256, 512))
    return [chr(b) if b in plain else chr(next(extra)) for b in range(256)]


def as_bytes(text: str) -> str:
    """A text in byte-level characters."""
    table = byte_characters()
    return "".join(table[b] for b in text.encode())


def vocabulary(words: Iterable[str]) -> list[tuple[str, float]]:
    """Tokens and scores: specials, bytes, signs with a space before, words without and with a space before."""
    scored: dict[str, float] = dict.fromkeys(SPECIALS, 0.0)
    for character in byte_characters():
        scored[character] = -10.0
    for sign in SIGNS:
        scored.setdefault(as_bytes(" " + sign), -1.0)
    for word in words:
        for form in (word, " " + word):
            token = as_bytes(form)
            scored[token] = scored.get(token, -1.0)
    return list(scored.items())


def vocabulary_digest(tokenizer: PreTrainedTokenizerFast) -> str:
    """A digest of tokens and their numbers: two tokenizers with the same digest give the same numbers to the same words."""
    pairs = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    return hashlib.sha256(json.dumps(pairs).encode()).hexdigest()[:16]


def build_tokenizer(kind: str = "decoder", words: Iterable[str] | None = None) -> PreTrainedTokenizerFast:
    """The tokenizer for decoders (BOS first) or for encoders (`kind="encoder"`: [CLS] A [SEP] B [SEP])."""
    if kind not in ("decoder", "encoder"):
        raise ValueError(f"tokenizer kind {kind!r}; allowed are 'decoder' and 'encoder'")
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(
        models.Unigram(vocabulary(words if words is not None else world_words()), unk_id=None, byte_fallback=False)
    )
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in SPECIALS])
    core.add_tokens([AddedToken(t, lstrip=True, normalized=False) for t in (JUDGE_OPEN, JUDGE_CLOSE)])
    numbers = [(s, core.token_to_id(s)) for s in (BOS, CLS, SEP)]
    if kind == "decoder":
        core.post_processor = processors.TemplateProcessing(
            single=f"{BOS} $A", pair=f"{BOS} $A $B", special_tokens=numbers[:1]
        )
        names = {"bos_token": BOS, "eos_token": EOS, "pad_token": PAD, "padding_side": "left", "model_max_length": 2048}
    else:
        core.post_processor = processors.TemplateProcessing(
            single=f"{CLS} $A {SEP}", pair=f"{CLS} $A {SEP} $B:1 {SEP}:1", special_tokens=numbers[1:]
        )
        names = {
            "cls_token": CLS,
            "sep_token": SEP,
            "mask_token": MASK,
            "pad_token": PAD,
            "model_max_length": 512,
            "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
        }
    return PreTrainedTokenizerFast(tokenizer_object=core, clean_up_tokenization_spaces=False, **names)
