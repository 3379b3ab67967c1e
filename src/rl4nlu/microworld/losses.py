"""What pretraining minimises: the loss on answers and other words, on masked words, and on words that a claim gets wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from .architectures import body
from .batches import IS_ANSWER, IS_CLAIM, IS_WRONG

OTHER_TOKENS, WRONG_WEIGHT = 0.15, 3.0


def find_chosen(chosen: Any) -> tuple[Any, int]:
    """The flat indices of chosen positions, repeated up to a multiple of 128 (few distinct shapes), and how many are real."""
    index = chosen.flatten().nonzero().squeeze(-1)
    count = len(index)
    if count % 128 and count:
        index = torch.cat([index, index[:1].expand(128 - count % 128)])
    return index, count


def word_loss(
    predict: Any, hidden: Any, targets: Any, chosen: Any, note: Callable[[Any, Any, Any], None] | None = None
) -> Any:
    """Cross-entropy of the words at the chosen positions; `note` gets their rows, what was predicted and what was right."""
    index, count = find_chosen(chosen)
    if not count:
        return hidden.sum() * 0.0
    logits = predict(hidden.reshape(-1, hidden.shape[-1])[index])[:count].float()
    right = targets.flatten()[index[:count]]
    if note:
        note(index[:count] // targets.shape[1], logits.detach().argmax(-1), right)
    return torch.nn.functional.cross_entropy(logits, right)


def observe_skills(curriculum: Any, kinds: tuple[str, ...], rows: Any, guessed: Any, right: Any, closers: Any) -> None:
    """Tell the curriculum how many answer words of each kind of document were right (closing tags don't count)."""
    real = ~torch.isin(right, closers)
    hits: dict[str, list[int]] = {}
    for row, hit in zip(rows[real].tolist(), (guessed == right)[real].tolist(), strict=True):
        count = hits.setdefault(kinds[row], [0, 0])
        count[0] += hit
        count[1] += 1
    for kind, (good, total) in hits.items():
        curriculum.observe(kind, good / total)


def mismatch_loss(head: Any, hidden: Any, flags: Any) -> Any:
    """Binary cross-entropy of `is this word wrong?` over the words of claims."""
    index, count = find_chosen((flags & IS_CLAIM) > 0)
    if not count:
        return hidden.sum() * 0.0
    wrong = (flags.flatten()[index[:count]] & IS_WRONG) > 0
    scores = head(hidden.flatten(0, 1)[index])[:count, 0].float()
    return torch.nn.functional.binary_cross_entropy_with_logits(
        scores, wrong.float(), pos_weight=torch.tensor(WRONG_WEIGHT)
    )


def decoder_loss(
    model: Any, head: Any, batch: Any, generator: Any, note: Callable[[Any, Any, Any], None] | None = None
) -> tuple[Any, Any, Any]:
    """Answer loss, loss on sampled other tokens, and auxiliary loss of one batch."""
    out = body(model)(input_ids=batch.ids, output_hidden_states=True, use_cache=False)
    target, flags = batch.ids[:, 1:], batch.flags[:, 1:]
    real = torch.arange(1, batch.ids.shape[1])[None] < batch.lengths[:, None]
    answers = (flags & IS_ANSWER) > 0
    others = real & ~answers & (torch.rand(target.shape, generator=generator) < OTHER_TOKENS)
    hidden = out.last_hidden_state[:, :-1]
    predict = model.get_output_embeddings()
    losses = [word_loss(predict, hidden, target, answers, note), word_loss(predict, hidden, target, others)]
    return losses[0], losses[1], mismatch_loss(head, out.hidden_states[-2], batch.flags)


def encoder_loss(model: Any, head: Any, batch: Any, generator: Any) -> tuple[Any, Any, Any]:
    """Sentence-level mismatch loss on [CLS], masked-word loss, and word-level mismatch loss; half of the rows are masked."""
    real = torch.arange(batch.ids.shape[1])[None] < batch.lengths[:, None]
    masked_rows = torch.rand(len(batch.ids), 1, generator=generator) < 0.5
    masked = real & masked_rows & (torch.rand(batch.ids.shape, generator=generator) < 0.15)
    masked[:, 0] = False
    ids = torch.where(masked, torch.full_like(batch.ids, model.config.mask_token_id), batch.ids)
    out = body(model)(input_ids=ids, attention_mask=real.long(), token_type_ids=batch.types, output_hidden_states=True)
    hidden = out.last_hidden_state
    masked_loss = word_loss(model.cls, hidden, batch.ids, masked)
    judged = ((batch.flags & IS_CLAIM) > 0).any(1) & ~masked_rows[:, 0]
    wrong = ((batch.flags & IS_WRONG) > 0).any(1)
    pair_loss = hidden.sum() * 0.0
    if judged.any():
        pair_loss = torch.nn.functional.binary_cross_entropy_with_logits(
            head(hidden[judged, 0]).squeeze(-1), wrong[judged].float()
        )
    return pair_loss, masked_loss, mismatch_loss(head, out.hidden_states[-2], batch.flags)
