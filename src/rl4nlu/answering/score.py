"""Scoring answers: the log-probability of every token of every choice behind every prompt.

A prompt is read once whatever the number of its choices, and logits exist only on answer tokens. Short rows hold all
choices side by side behind the prompt, where the architecture allows it; otherwise choices continue copies of the
prompt's cache. The shared prefix, batches and caches are those of `generation`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from ..models.precision import compute_in_dtype
from .generate import (
    NONE,
    PREFIX_SHARE,
    Keep,
    Prefix,
    cache_prefix,
    forward,
    length_batches,
    plain,
    read_prompts,
    refuse_empty,
    shared_prefix,
    shifted,
    takes_positions,
    unfinished,
)

LONGEST_PACKED = 512
"""Rows with more tokens than this to read (the cached prefix not counted) give each choice a row of its own. Measured on
one thread with 0.26 M parameters, two choices of ten tokens: behind a cached prefix of 400 to 1500 tokens side by side
costs 0.8 to 0.95 of copies; without a prefix 0.97 to 1.1 up to 512 tokens, and 1.1 at 1024."""

Scores = list[list[float]]
"""Of one prompt: log-probabilities by choice and token."""


@torch.no_grad()
def score_tokens(
    model: Any,
    prompts: list[list[int]],
    choices: list[list[list[int]]],
    *,
    pad: int = 0,
    batch_tokens: int = 8192,
    prefix_share: float = PREFIX_SHARE,
    done: Mapping[int, Scores] = NONE,
    keep: Keep | None = None,
) -> list[Scores]:
    """Log-probability of every token of every choice: `result[prompt][choice][token]`, in nats.

    Args:
        model: a decoder, with or without adapters.
        prompts: tokens, none of them empty.
        choices: of each prompt, at least one; tokens, none of them empty.
        pad: token that fills rows; it is never seen.
        batch_tokens: bound on the tokens of a batch, if every choice had a row of its own.
        prefix_share: least share of tokens that a cached common prefix must save; above 1: never cache.
        done: results known before, by row number; batches are those of all rows, and only unfinished ones are scored.
        keep: is given row numbers and results of every batch.

    Raises:
        ValueError: a prompt or a choice is empty.
    """
    refuse_empty(prompts, "prompt")
    for options in choices:
        refuse_empty(options, "choice")
    decoder = plain(model)
    packs = _packs(decoder)
    costs = [(len(p) + max(map(len, c))) * len(c) for p, c in zip(prompts, choices, strict=True)]
    scores: list[Scores] = [list(done.get(row, ())) for row in range(len(prompts))]
    batches = unfinished(length_batches(costs, batch_tokens), done)
    common = shared_prefix(prompts, prefix_share)
    with compute_in_dtype(decoder):
        prefix = cache_prefix(decoder, common) if batches else []
        for rows in batches:
            asked, offered = [prompts[r] for r in rows], [choices[r] for r in rows]
            short = max(map(len, asked)) - len(common) <= LONGEST_PACKED
            way = _side_by_side if packs and short else _in_copies
            for row, found in zip(rows, way(decoder, asked, offered, prefix, pad), strict=True):
                scores[row] = found
            if keep:
                keep(rows, [scores[row] for row in rows])
    return scores


def _packs(model: Any) -> bool:
    """Whether a row can hold several choices: each token can be told its position and what it sees."""
    config = getattr(model, "config", None)
    attention = getattr(config, "_attn_implementation", None)
    windowed = getattr(config, "sliding_window", None) is not None
    return takes_positions(model) and attention in ("sdpa", "eager") and not windowed


def _side_by_side(
    model: Any, prompts: list[list[int]], choices: list[list[list[int]]], prefix: Prefix, pad: int
) -> list[Scores]:
    """`score_tokens` of one batch in one forward.

    A row is padding, its prompt, its first choice, its second ..., padding. A choice's tokens see the prompt and the
    tokens before them in their own choice, at the positions that follow the prompt. Last tokens need not be read.
    """
    where = next(model.parameters()).device
    longest = max(map(len, prompts))
    width = max(sum(len(option) - 1 for option in options) for options in choices)
    ids, places, owners = [], [], []  # (B, longest + width) each
    for prompt, options in zip(prompts, choices, strict=True):
        gap, rest = longest - len(prompt), width - sum(len(option) - 1 for option in options)
        inner = [(number, n, token) for number, option in enumerate(options, 1) for n, token in enumerate(option[:-1])]
        ids.append([pad] * gap + prompt + [token for _, _, token in inner] + [pad] * rest)
        places.append([0] * gap + [*range(len(prompt))] + [len(prompt) + n for _, n, _ in inner] + [0] * rest)
        # the choice that a column belongs to, from 1; 0: the prompt; -1: padding
        owners.append([-1] * gap + [0] * len(prompt) + [number for number, _, _ in inner] + [-1] * rest)
    read, positions, owner = (torch.tensor(table, device=where) for table in (ids, places, owners))
    cache = shifted(prefix, longest - torch.tensor([len(p) for p in prompts], device=where))
    known = cache.get_seq_length()
    columns = torch.arange(longest + width, device=where)
    sees = (owner[:, None, :] == 0) | (owner[:, known:, None] == owner[:, None, :])
    sees &= columns[known:, None] >= columns
    dtype = next(model.parameters()).dtype
    mask = torch.zeros(sees.shape, dtype=dtype, device=where).masked_fill_(~sees, torch.finfo(dtype).min)
    logits = forward(model, read[:, known:], mask[:, None], cache, 1 + width, positions[:, known:])
    return _gathered(logits, choices)


def _in_copies(
    model: Any, prompts: list[list[int]], choices: list[list[list[int]]], prefix: Prefix, pad: int
) -> list[Scores]:
    """`score_tokens` of one batch: the prompts are read, then each choice continues a copy of its prompt's cache."""
    batch = read_prompts(model, prompts, prefix, pad)
    owners = [n for n, options in enumerate(choices) for _ in options]
    flat = [option for options in choices for option in options]
    logits = batch.logits[owners][:, None]  # (C, 1, V): of the choices' first tokens
    longest = max(map(len, flat))
    if longest > 1:
        # Padded on the right, where causal attention keeps padding out of every position that is read.
        ids = torch.tensor([o[:-1] + [pad] * (longest - len(o)) for o in flat], device=logits.device)
        batch.select(owners)
        batch.extend(torch.ones_like(ids))
        positions = None
        if takes_positions(
            model
        ):  # padding stays at its row's last one, for a table of positions (GPT-2) may end there
            last = [[len(prompts[n]) + len(option) - 2] for n, option in zip(owners, flat, strict=True)]
            columns = torch.tensor([[len(prompts[n])] for n in owners]) + torch.arange(longest - 1)
            positions = torch.minimum(columns, torch.tensor(last)).to(logits.device)
        read = forward(model, ids, batch.mask, batch.cache, longest - 1, positions)
        logits = torch.cat([logits, read], dim=1)
    found: Iterator[Scores] = iter(_gathered(logits, [[option] for option in flat]))
    return [[next(found)[0] for _ in options] for options in choices]


def _gathered(logits: torch.Tensor, choices: list[list[list[int]]]) -> list[Scores]:
    """Log-probabilities of the choices' tokens from logits (B, 1 + n, V): after the prompt, then after each read token."""
    rows, columns, tokens = [], [], []
    for row, options in enumerate(choices):
        begin = 0
        for option in options:
            rows += [row] * len(option)
            columns += [0, *range(begin + 1, begin + len(option))]
            tokens += option
            begin += len(option) - 1
    found = logits[rows, columns, tokens] - logits.logsumexp(dim=-1)[rows, columns]
    values = iter(found.tolist())
    return [[[next(values) for _ in option] for option in options] for options in choices]


def score_choices(
    model: Any, prompts: list[list[int]], choices: list[list[list[int]]], **settings: Any
) -> list[list[float]]:
    """Log-probability of each choice of each prompt, summed over its tokens; `settings` are those of `score_tokens`."""
    return [[sum(tokens) for tokens in row] for row in score_tokens(model, prompts, choices, **settings)]


def answer_logprobs(
    model: Any, prompts: list[list[int]], answers: list[list[int]], **settings: Any
) -> list[list[float]]:
    """Log-probability of every token of one answer a prompt; `settings` are those of `score_tokens`."""
    return [row[0] for row in score_tokens(model, prompts, [[answer] for answer in answers], **settings)]
