"""Pretraining of a micro model from nothing: curriculum, auxiliary mismatch loss, probes, checkpoints and the record.

Stop rule: a fixed token budget with a learning rate that falls to a twentieth; the weights at the end are kept. Probes (own seeds, own wording)
are logged on the way and never choose anything.

    python -m rl4nlu.microworld.pretrain --model micro-llama --out pretrained/micro-llama
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from ..base.checkpoint import stop_on_sigterm
from ..base.leases import wait_for

STOP_RULE = (
    "fixed token budget, learning rate warmed up then linear to 1/20; the last weights are kept; probes choose nothing"
)
# decoders have one budget for what all of them read, whatever their probes say, and micro-llama a quarter more for the
# documents with reasons; encoders get what takes about half as long
BUDGETS = {
    "micro-llama": 10e6,
    "micro-qwen2": 8e6,
    "micro-mpt": 8e6,
    "micro-bert-base": 4.5e6,
    "micro-bert-large": 3.5e6,
}
REASONED = ("micro-llama",)
"""Models that read documents with reasons: the one that carries the second paper."""
STEP_TOKENS = 2048
ENCODER_RATE, WARM_LISTS = 0.5, 0.12  # encoders: learning rates beside the decoders', and how long no word is masked
OTHER_WEIGHT = (0.0, 0.0, 0.05, 0.15)  # per stage, the weight of words that are no answers: random words teach nothing
MUON_LR, ADAM_LR, OTHER_TOKENS, AUX_WEIGHT, WRONG_WEIGHT = 0.02, 3e-3, 0.15, 1.0, 3.0


def optimisers(model: Any, head: Any, rate: float = 1.0) -> list[Any]:
    """Muon on the matrices of the layers, AdamW on embeddings, norms, biases and the auxiliary head; `rate` scales both."""
    import torch

    embeddings = {id(p) for m in model.modules() if isinstance(m, torch.nn.Embedding) for p in m.parameters()}
    matrices = [p for p in model.parameters() if p.ndim == 2 and id(p) not in embeddings]
    chosen = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in chosen] + list(head.parameters())
    return [
        torch.optim.Muon(matrices, lr=rate * MUON_LR, weight_decay=0.02),
        torch.optim.AdamW(others, lr=rate * ADAM_LR, betas=(0.9, 0.98), weight_decay=0.01),
    ]


def picked(chosen: Any) -> tuple[Any, int]:
    """The flat indices of chosen positions, repeated up to a multiple of 128 (few distinct shapes), and how many are real."""
    import torch

    index = chosen.flatten().nonzero().squeeze(-1)
    count = len(index)
    if count % 128 and count:
        index = torch.cat([index, index[:1].expand(128 - count % 128)])
    return index, count


def word_loss(
    predict: Any, hidden: Any, targets: Any, chosen: Any, note: Callable[[Any, Any, Any], None] | None = None
) -> Any:
    """Cross-entropy of the words at the chosen positions; `note` gets their rows, what was predicted and what was right."""
    import torch

    index, count = picked(chosen)
    if not count:
        return hidden.sum() * 0.0
    logits = predict(hidden.reshape(-1, hidden.shape[-1])[index])[:count].float()
    right = targets.flatten()[index[:count]]
    if note:
        note(index[:count] // targets.shape[1], logits.detach().argmax(-1), right)
    return torch.nn.functional.cross_entropy(logits, right)


def measure(curriculum: Any, kinds: tuple[str, ...], rows: Any, guessed: Any, right: Any, closers: Any) -> None:
    """Tell the curriculum how many answer words of each kind of document were right (closing tags don't count)."""
    import torch

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
    import torch

    from .batches import IS_CLAIM, IS_WRONG

    index, count = picked((flags & IS_CLAIM) > 0)
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
    import torch

    from .architectures import body
    from .batches import IS_ANSWER

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
    import torch

    from .architectures import body
    from .batches import IS_CLAIM, IS_WRONG

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


def save(model: Any, tokenizer: Any, out_dir: Path, record: dict[str, Any]) -> None:
    """Model (half precision), tokenizer and record as one folder, written beside and renamed."""
    import torch

    beside, old = out_dir.with_name(out_dir.name + ".new"), out_dir.with_name(out_dir.name + ".old")
    shutil.rmtree(beside, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)
    half = type(model)(model.config)
    half.load_state_dict(model.state_dict())
    half.tie_weights()
    half.to(torch.float16).save_pretrained(beside)
    model.config.dtype = None
    tokenizer.save_pretrained(beside)
    (beside / "record.json").write_text(json.dumps(record, indent=1) + "\n")
    if out_dir.exists():
        os.rename(out_dir, old)
    os.rename(beside, out_dir)
    shutil.rmtree(old, ignore_errors=True)


def learning_rate(progress: float, warm: float = 0.01) -> float:
    """The share of the full learning rate: up over the first hundredth, level for a fifth, then down to a twentieth."""
    if progress < warm:
        return max(0.01, progress / warm)
    return max(0.05, min(1.0, (1.0 - progress) / 0.8))


def pretrain(
    name: str,
    budget: float,
    seed: int,
    out_dir: str | Path,
    *,
    probe_every: float = 2e6,
    probe_rows: int = 100,
    log: Callable[[str], None] = print,
    work: Path | None = None,
    save_every_seconds: float = 300.0,
) -> dict[str, Any]:
    """Train the named model on `budget` tokens, save it to `out_dir` and return its record.

    With `work`, the state is saved there every so many seconds and on SIGTERM, and a pretraining that was stopped goes on.
    Documents are drawn as the curriculum stands at the time: on resuming they are drawn again along its trail, so that
    no generator of text needs to be saved.
    """
    import torch
    import transformers

    from ..base.checkpoint import Checkpoint, random_state, restore_random, restore_weights, trained_weights
    from ..base.code import code_digest
    from ..base.files import digest_of
    from .architectures import ENCODERS, build_model
    from .batches import decoder_batches, encoder_batches
    from .curriculum import Curriculum
    from .probes import probe
    from .tokenizer import build_tokenizer, vocabulary_digest

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    encoder = name in ENCODERS
    tokenizer = build_tokenizer("encoder" if encoder else "decoder")
    model = build_model(name, tokenizer)
    if encoder:
        model.config.mask_token_id = tokenizer.mask_token_id
    if name != "micro-mpt":
        model.set_attn_implementation("eager")  # with bf16 a third faster than sdpa on one CPU thread at these lengths
    width = model.config.hidden_size
    head = torch.nn.Linear(width, 1)
    steps = optimisers(model, head, ENCODER_RATE if encoder else 1.0)
    base = [[g["lr"] for g in o.param_groups] for o in steps]
    seen, step = 0, 0
    curve: list[list[float]] = []
    probes: list[dict[str, Any]] = []
    start, cpu = time.time(), time.process_time()
    curriculum = Curriculum(reasons=name in REASONED)
    closers = torch.tensor(tokenizer.convert_tokens_to_ids(["</s>", "</Judgement>"]))
    if encoder:
        batches = encoder_batches(tokenizer, seed, STEP_TOKENS, lambda: seen / budget)
    else:
        batches = decoder_batches(tokenizer, seed, STEP_TOKENS, curriculum)
    record: dict[str, Any] = {
        "model": name,
        "seed": seed,
        "corpus_seed": seed,
        "vocabulary_digest": vocabulary_digest(tokenizer),
        "vocabulary_size": len(tokenizer),
        "parameters": sum(p.numel() for p in model.parameters()),
        "token_budget": int(budget),
        "stop_rule": STOP_RULE,
        "losses": ["pair", "masked", "mismatch"] if encoder else ["answer", "other", "mismatch"],
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "threads": 1,
        "precision": "bf16 autocast",
        "code": code_digest("microworld.pretrain"),
    }
    total, since, next_probe = [0.0, 0.0, 0.0], 0, probe_every
    trail: list[list[Any]] = []  # before every batch: tokens seen, and the curriculum

    key = digest_of([record, probe_every, probe_rows])
    checkpoint = Checkpoint(work and work / "pretrain" / f"{key}.state", key, save_every_seconds)
    trained = torch.nn.ModuleList([model, head])
    if (saved := checkpoint.load()) is not None:
        for seen_then, then in saved["trail"]:
            seen = seen_then  # the batches read it
            vars(curriculum).update(then)
            next(batches)
        vars(curriculum).update(saved["curriculum"])
        restore_weights(trained, saved["weights"])
        for optimiser, values in zip(steps, saved["optimisers"], strict=True):
            optimiser.load_state_dict(values)
        restore_random(saved["random"], generator)
        step, seen, total, since, next_probe, curve, probes, trail = (
            saved[name] for name in ("step", "seen", "total", "since", "next_probe", "curve", "probes", "trail")
        )
        start, cpu = time.time() - saved["wall_seconds"], time.process_time() - saved["cpu_seconds"]

    def state() -> dict[str, Any]:
        return {
            "step": step,
            "seen": seen,
            "total": total,
            "since": since,
            "next_probe": next_probe,
            "curve": curve,
            "probes": probes,
            "trail": trail,
            "curriculum": asdict(curriculum),
            "weights": trained_weights(trained),
            "optimisers": [optimiser.state_dict() for optimiser in steps],
            "random": random_state(generator),
            "wall_seconds": time.time() - start,
            "cpu_seconds": time.process_time() - cpu,
        }

    def finish(done: bool) -> None:
        record.update(
            tokens_seen=seen,
            steps=step,
            finished=done,
            wall_seconds=round(time.time() - start, 1),
            cpu_seconds=round(time.process_time() - cpu, 1),
            loss_curve=curve,
            probes=probes,
            stages_opened_at=curriculum.opened,
            training_accuracy={k: round(v, 3) for k, v in curriculum.accuracy.items()},
        )
        save(model, tokenizer, Path(out_dir), record)

    while seen < budget:
        trail.append([seen, asdict(curriculum)])
        batch = next(batches)
        share = learning_rate(seen / budget)
        for optimiser, rates in zip(steps, base, strict=True):
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * share
        with torch.autocast("cpu", torch.bfloat16):
            if encoder:
                losses = encoder_loss(model, head, batch, generator)
            else:
                losses = decoder_loss(
                    model, head, batch, generator, partial(measure, curriculum, batch.kinds, closers=closers)
                )
        other = float(seen > WARM_LISTS * budget) if encoder else OTHER_WEIGHT[curriculum.stage]
        (losses[0] + other * losses[1] + AUX_WEIGHT * losses[2]).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser in steps:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        step += 1
        if not encoder:
            curriculum.advance(seen / budget)
        seen += int(batch.lengths.sum())
        total, since = [t + float(x.detach()) for t, x in zip(total, losses, strict=True)], since + 1
        if since == 100 or seen >= budget:
            curve.append([seen, *(round(t / since, 4) for t in total)])
            skills = {k: round(v, 2) for k, v in curriculum.accuracy.items()}
            log(
                f"{name} stage {curriculum.stage} tokens {seen / 1e6:.2f}M {skills} losses {curve[-1][1:]} {seen / (time.time() - start):.0f} tok/s"
            )
            total, since = [0.0, 0.0, 0.0], 0
        if seen >= next_probe and seen < budget:
            next_probe += probe_every
            if not encoder:
                probes.append({"tokens": seen, **probe(model, tokenizer, probe_rows)})
                log(f"{name} probe {json.dumps(probes[-1])}")
            finish(False)
        checkpoint.keep(state)
    if not encoder and probe_rows:
        probes.append({"tokens": seen, **probe(model, tokenizer, max(probe_rows, 200) if budget > 1e6 else probe_rows)})
        log(f"{name} probe {json.dumps(probes[-1])}")
    finish(True)
    checkpoint.remove()
    return record


def main() -> None:
    """Read the command line and pretrain."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", required=True, choices=list(BUDGETS))
    parser.add_argument("--out", required=True)
    parser.add_argument("--tokens", type=float, help="budget; default: the model's own")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--probe-every", type=float, default=2e6)
    parser.add_argument("--probe-rows", type=int, default=100)
    parser.add_argument("--work", type=Path, default=Path("work"), help="folder of unfinished runs")
    parser.add_argument("--save-every-seconds", type=float, default=300.0)
    args = parser.parse_args()
    lease = wait_for(args.work / "leases", f"pretrain-{args.model}", args.model, "pretraining")
    stop_on_sigterm()
    try:
        pretrain(
            args.model,
            args.tokens or BUDGETS[args.model],
            args.seed,
            args.out,
            probe_every=args.probe_every,
            probe_rows=args.probe_rows,
            log=lambda line: print(line, flush=True),
            work=args.work,
            save_every_seconds=args.save_every_seconds,
        )
    finally:
        lease.release()


if __name__ == "__main__":
    main()
