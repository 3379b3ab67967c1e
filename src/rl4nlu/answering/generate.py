"""Generating answers: one decode loop with a key/value cache for every decoder (`scoring` uses its parts).

What makes it fast, and where plain `generate` or lm-eval lose time (benchmarks/ measures it):

1. batches are made by length under a token budget, and padded to the batch;
2. a prefix that all prompts share (instructions, demonstrations) is computed once and its keys and values
   are reused, where that saves enough;
3. logits exist only where they are read: after the prompt;
4. rows that have ended leave the batch;
5. a prompt that is answered several times (GRPO) is read once.

Rows do not see each other: a row's random numbers are drawn before batching, so that neither batch size nor
padding changes what is sampled (up to rounding).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache, PreTrainedTokenizerBase

from ..models.load import end_tokens
from ..models.precision import compute_in_dtype

PREFIX_SHARE = 0.1
"""A shared prefix is cached where it saves at least this share of all prompt tokens. Measured on one thread with
0.9 M parameters: saving 10 % of the tokens saves 12 % of the time, 35 % saves 35 %, 80 % saves 75 %; less than 8 % nothing."""

Prefix = list[tuple[torch.Tensor, torch.Tensor]]
"""Keys and values (1, heads, P, d) of a prefix of P tokens, layer by layer; empty without one."""

Keep = Callable[[Sequence[int], Sequence[Any]], None]
"""What takes the row numbers and results of a finished batch (`checkpoint.Journal.add`)."""
NONE: Mapping[int, Any] = {}


@dataclass
class Batch:
    """Prompts that the model has read: B rows, T columns, of which a row's last ones are its prompt.

    logits (B, V) float32: of the token that follows the prompt. mask (B, T): 1 on the row's own tokens.
    """

    logits: torch.Tensor
    cache: DynamicCache
    mask: torch.Tensor

    def select(self, rows: list[int]) -> None:
        """Keep (or repeat) rows, by number."""
        index = torch.tensor(rows, device=self.mask.device)
        self.logits = self.logits[index]
        self.cache.batch_select_indices(index)
        self.mask = self.mask[index]

    def extend(self, columns: torch.Tensor) -> None:
        """Add columns (B, n) to the mask."""
        self.mask = torch.cat([self.mask, columns], dim=1)


def plain(model: Any) -> Any:
    """The decoder itself: PEFT's wrapper adds nothing to a LoRA forward but time (the adapters sit in the layers)."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def takes_positions(model: Any) -> bool:
    """Whether the architecture is told every token's position; ALiBi models (MPT) count columns."""
    return "position_ids" in inspect.signature(type(model).forward).parameters


def forward(
    model: Any,
    ids: torch.Tensor,
    mask: torch.Tensor,
    cache: DynamicCache,
    keep: int,
    positions: torch.Tensor | None = None,
) -> torch.Tensor:
    """Logits (B, keep, V), float32, of the last `keep` columns; `ids` (B, n) are appended to `cache`.

    mask (B, T): 1 on a row's own tokens, which then stand at the positions 0, 1, ...; or (B, 1, n, T), what each token
    sees, added to its attention, with `positions` (B, n).
    """
    if positions is None and takes_positions(model):
        positions = mask.long().cumsum(1).sub(1).clamp(min=0)[:, -ids.shape[1] :]
    out = model(
        input_ids=ids,
        attention_mask=mask,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=keep,
        **({} if positions is None else {"position_ids": positions}),
    )
    logits: torch.Tensor = out.logits[:, -keep:].float()
    return logits


def shared_prefix(prompts: list[list[int]], least_share: float = PREFIX_SHARE) -> list[int]:
    """The prompts' longest common prefix where caching it saves at least `least_share` of all tokens, else nothing.

    At least one token of each prompt stays outside.
    """
    if len(prompts) < 2:
        return []
    first, last = min(prompts), max(prompts)  # in lexical order: the others share what these two share
    longest = min(map(len, prompts)) - 1
    common = next((n for n in range(longest) if first[n] != last[n]), longest)
    saved = common * (len(prompts) - 1)
    return first[:common] if saved >= least_share * sum(map(len, prompts)) else []


def length_batches(lengths: list[int], batch_tokens: int) -> list[list[int]]:
    """Row numbers in batches, longest first, each at most `batch_tokens` when padded to its longest (or one row)."""
    batches: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lambda r: (-lengths[r], r)):
        if batches and (len(batches[-1]) + 1) * lengths[batches[-1][0]] <= batch_tokens:
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches


def unfinished(batches: list[list[int]], done: Mapping[int, Any]) -> list[list[int]]:
    """Batches with rows that are not done: what is batched never depends on what is done, so neither do the results."""
    return [rows for rows in batches if not all(row in done for row in rows)]


def cache_prefix(model: Any, prefix: list[int]) -> Prefix:
    """What a prefix leaves in the cache; nothing of an empty one."""
    if not prefix:
        return []
    cache = DynamicCache()
    ids = torch.tensor([prefix], device=next(model.parameters()).device)
    forward(model, ids, torch.ones_like(ids), cache, keep=1)
    return [(layer.keys, layer.values) for layer in cache.layers]  # type: ignore[misc, union-attr]


def shifted(prefix: Prefix, gaps: torch.Tensor) -> DynamicCache:
    """A cache that holds the prefix in every row, shifted right by the row's gap (B,); the last `gap` columns are lost."""
    cache = DynamicCache()
    for number, (keys, values) in enumerate(prefix):
        columns = (torch.arange(keys.shape[2], device=gaps.device) - gaps[:, None]).clamp(min=0)  # (B, P)
        cache.update(keys[0][:, columns].transpose(0, 1), values[0][:, columns].transpose(0, 1), number)
    return cache


def read_prompts(model: Any, prompts: list[list[int]], prefix: Prefix, pad: int) -> Batch:
    """Let the model read a batch of prompts that begin with what `prefix` holds.

    Every row is laid out as padding, then its tokens without a gap, so that relative position schemes (ALiBi)
    hold as well as absolute ones. A row that is `gap` shorter than the longest therefore takes its cached
    columns shifted right by `gap`, and reads the last `gap` tokens of the prefix again in place of padding.
    """
    where = next(model.parameters()).device
    longest = max(map(len, prompts))
    gaps = torch.tensor([longest - len(p) for p in prompts], device=where)
    cache = shifted(prefix, gaps)
    ids = torch.tensor([[pad] * (longest - len(p)) + p for p in prompts], device=where)[:, cache.get_seq_length() :]
    mask = (torch.arange(longest, device=where) >= gaps[:, None]).long()
    return Batch(forward(model, ids, mask, cache, keep=1)[:, -1], cache, mask)


def choose(
    logits: torch.Tensor, uniform: torch.Tensor | None, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0
) -> torch.Tensor:
    """Next tokens (B,): the likeliest, or drawn with one uniform number a row by inverting the distribution function.

    Drawn among the `top_k` likeliest and, of these, among the nucleus: the fewest likeliest tokens whose probabilities add up
    to `top_p` or more (Holtzman et al. 2020, section 3.1), in the order and with the edges of transformers' warpers.

    Raises:
        FloatingPointError: the logits hold NaN.
    """
    if uniform is None:
        value, token = logits.max(dim=-1)
        if value.isnan().any():
            raise FloatingPointError("the model's logits are NaN")
        return token
    scaled = logits.double() / temperature
    if top_k:
        least = scaled.topk(min(top_k, scaled.shape[-1]), dim=-1).values[:, -1:]
        scaled = scaled.masked_fill(scaled < least, -torch.inf)
    if top_p < 1:
        ascending, order = scaled.sort(dim=-1)
        outside = ascending.softmax(dim=-1).cumsum(dim=-1) <= 1 - top_p
        outside[:, -1] = False  # the likeliest always stays
        scaled = scaled.masked_fill(outside.scatter(1, order, outside), -torch.inf)
    cumulative = scaled.softmax(dim=-1).cumsum(dim=-1)
    total = cumulative[:, -1:]
    if total.isnan().any():
        raise FloatingPointError("the model's logits are NaN")
    # The first token whose cumulative probability exceeds the draw; one of zero probability never does.
    drawn = torch.searchsorted(cumulative, uniform[:, None].to(total) * total, right=True).squeeze(1)
    return drawn.clamp(max=logits.shape[-1] - 1)


def _ended(tokenizer: PreTrainedTokenizerBase, ends: set[int], stop: str | None) -> Callable[[list[int]], bool]:
    """Whether a completion is over: its last token ends it, or its text holds `stop`."""
    reach = len(stop.encode()) + 1 if stop else 0  # no token is shorter than a byte
    seen: dict[tuple[int, ...], bool] = {}  # answers repeat a lot

    def ended(completion: list[int]) -> bool:
        if completion[-1] in ends:
            return True
        if stop is None:
            return False
        tail = tuple(completion[-reach:])
        if tail not in seen:
            seen[tail] = stop in tokenizer.decode(
                list(tail), skip_special_tokens=False, clean_up_tokenization_spaces=False
            )
        return seen[tail]

    return ended


def write_on(
    decoder: Any,
    batch: Batch,
    rows: list[int],
    completions: list[list[int]],
    over: Callable[[int], bool],
    next_tokens: Callable[[torch.Tensor, list[int]], torch.Tensor],
) -> None:
    """Let every row of a batch that is read write on in `completions` until it is `over`; rows that are leave the batch."""
    while True:
        tokens = next_tokens(batch.logits, rows)
        for row, token in zip(rows, tokens.tolist(), strict=True):
            completions[row].append(token)
        going = [n for n, row in enumerate(rows) if not over(row)]
        if not going:
            return
        if len(going) < len(rows):
            batch.select(going)
            rows, tokens = [rows[n] for n in going], tokens[going]
        batch.extend(torch.ones_like(tokens)[:, None])
        batch.logits = forward(decoder, tokens[:, None], batch.mask, batch.cache, keep=1)[:, -1]


def _each(number: int | Sequence[int], rows: int) -> list[int]:
    """A number for all rows, or one a row, as one a row."""
    return [number] * rows if isinstance(number, int) else list(number)


@torch.no_grad()
def generate_tokens(
    model: Any,
    prompts: list[list[int]],
    *,
    tokenizer: PreTrainedTokenizerBase,
    max_new_tokens: int | Sequence[int],
    min_new_tokens: int | Sequence[int] = 0,
    begun: Sequence[list[int]] | None = None,
    sample: bool = False,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    generator: torch.Generator | None = None,
    stop: str | None = None,
    batch_tokens: int = 8192,
    prefix_share: float = PREFIX_SHARE,
    done: Mapping[int, list[int]] = NONE,
    keep: Keep | None = None,
) -> list[list[int]]:
    """Completions of the prompts, in their order; each ends with the end token, with `stop`, or at `max_new_tokens`.

    Args:
        model: a decoder, with or without adapters; its training mode is left alone (dropout acts in it).
        prompts: tokens, none of them empty.
        tokenizer: decodes completions to look for `stop`, and names the padding and end tokens.
        max_new_tokens: longest completion, of all rows or of each.
        min_new_tokens: tokens, of all rows or of each, before which no end token is chosen (`stop` still ends a completion).
        begun: how each completion begins. These tokens are read, not chosen; all else is as if they had been: they are part
            of the completion and count in its length, and what follows takes the draws of its place.
        sample: draw from softmax(logits / temperature) as `choose` says, else greedy.
        temperature: of sampling.
        top_k: of sampling; 0: off.
        top_p: of sampling; 1: off.
        generator: source of the draws; needed when sampling. It advances by rows × the largest `max_new_tokens` numbers.
        stop: text that ends a completion; it may span several tokens.
        batch_tokens: bound on rows × (prompt + completion) of a batch.
        prefix_share: least share of tokens that a cached common prefix must save; above 1: never cache.
        done: completions that are known, by the prompt's number; a batch of which all are known is not made again.
        keep: is given the numbers and completions of every batch that is finished.

    Raises:
        ValueError: a prompt is empty, or sampling without a generator.
        FloatingPointError: the model's logits are NaN.
    """
    refuse_empty(prompts, "prompt")
    if sample and generator is None:
        raise ValueError("sampling needs a torch.Generator")
    decoder = plain(model)
    where = next(decoder.parameters()).device
    most, least = (_each(number, len(prompts)) for number in (max_new_tokens, min_new_tokens))
    uniforms = None
    if sample:
        assert generator is not None
        drawn = torch.rand(len(prompts), max(most, default=0), generator=generator, device=generator.device)
        uniforms = drawn.to(where)
    given = begun or [[]] * len(prompts)
    read = [prompt + start for prompt, start in zip(prompts, given, strict=True)]
    pad, ends = int(tokenizer.pad_token_id), end_tokens(decoder, tokenizer)  # type: ignore[arg-type]
    completions: list[list[int]] = [list(done.get(row, start)) for row, start in enumerate(given)]
    batches = length_batches([len(prompt) + room for prompt, room in zip(prompts, most, strict=True)], batch_tokens)
    ended = _ended(tokenizer, ends, stop)
    whole = {row for row, start in enumerate(given) if len(start) >= most[row] or (start and ended(start))}
    batches = [[row for row in rows if row not in whole] for rows in batches]
    batches = unfinished([rows for rows in batches if rows], done)

    def over(row: int) -> bool:
        return len(completions[row]) >= most[row] or ended(completions[row])

    def next_tokens(logits: torch.Tensor, rows: list[int]) -> torch.Tensor:
        places = [len(completions[row]) for row in rows]
        early = [n for n, row in enumerate(rows) if places[n] < least[row]]
        if early:
            logits[torch.tensor(early)[:, None], torch.tensor(sorted(ends))] = -torch.inf
        return choose(logits, None if uniforms is None else uniforms[rows, places], temperature, top_k, top_p)

    with compute_in_dtype(decoder):
        prefix = cache_prefix(decoder, shared_prefix(read, prefix_share)) if batches else []
        for rows in batches:
            for row in rows:
                completions[row] = list(given[row])
            different = list(dict.fromkeys(tuple(read[r]) for r in rows))
            batch = read_prompts(decoder, [list(prompt) for prompt in different], prefix, pad)
            if len(different) < len(rows):
                batch.select([different.index(tuple(read[r])) for r in rows])
            write_on(decoder, batch, rows, completions, over, next_tokens)
            del batch  # or two caches would be in memory while the next batch is read
            if keep:
                keep(rows, [completions[row] for row in rows])
    return completions


def decode_completions(
    model: Any, tokenizer: PreTrainedTokenizerBase, completions: list[list[int]], stop: str | None = None
) -> list[str]:
    """Text of completions without padding and end tokens; what a token adds behind `stop` is cut off."""
    silent = end_tokens(plain(model), tokenizer) | {tokenizer.pad_token_id}
    kept = [[token for token in completion if token not in silent] for completion in completions]
    texts = [tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False) for ids in kept]
    if stop is None:
        return [str(text) for text in texts]
    return [str(text)[: str(text).index(stop) + len(stop)] if stop in text else str(text) for text in texts]


def generate_texts(
    model: Any, prompts: list[list[int]], *, tokenizer: PreTrainedTokenizerBase, **settings: Any
) -> list[str]:
    """`generate_tokens`, decoded by `decode_completions`; `settings` are those of `generate_tokens`."""
    completions = generate_tokens(model, prompts, tokenizer=tokenizer, **settings)
    return decode_completions(model, tokenizer, completions, settings.get("stop"))


def refuse_empty(sequences: list[list[int]], what: str) -> None:
    """Raise a ValueError that numbers the first sequence without tokens."""
    for number, tokens in enumerate(sequences):
        if not tokens:
            raise ValueError(f"{what} {number} is empty")
