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
from dataclasses import asdict, dataclass, field
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
REASONED_MODELS = ("micro-llama",)
"""Models that read documents with reasons: the one that carries the second paper."""
STEP_TOKENS = 2048
ENCODER_RATE, WARM_LISTS = 0.5, 0.12  # encoders: learning rates beside the decoders', and how long no word is masked
OTHER_WEIGHT = (0.0, 0.0, 0.05, 0.15)  # per stage, the weight of words that are no answers: random words teach nothing
MUON_LR, ADAM_LR, AUX_WEIGHT = 0.02, 3e-3, 1.0


def make_optimisers(model: Any, head: Any, rate: float = 1.0) -> list[Any]:
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


@dataclass
class Standing:
    """Where a pretraining stands, beside its weights: plain values, which a checkpoint holds as they are.

    Attributes:
        next_probe: tokens after which the next probe is made.
        step: optimiser steps made.
        seen: tokens read.
        total: of each loss, its sum over `since` steps, since the curve's last point.
        curve: tokens seen and the mean losses, every hundred steps.
        probes: results, by the tokens seen.
        trail: before every batch, the tokens seen and the curriculum.
    """

    next_probe: float
    step: int = 0
    seen: int = 0
    total: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    since: int = 0
    curve: list[list[float]] = field(default_factory=list)
    probes: list[dict[str, Any]] = field(default_factory=list)
    trail: list[list[Any]] = field(default_factory=list)


class Pretraining:
    """A model, its auxiliary head, their optimisers, the text that they read, and where this stands."""

    def __init__(self, name: str, budget: float, seed: int, probe_every: float) -> None:
        """Everything as it is before the first step; `seed` is the model's and the text's."""
        import torch

        from .architectures import ENCODERS, build_model
        from .batches import decoder_batches, encoder_batches
        from .curriculum import Curriculum
        from .tokenizer import build_tokenizer

        torch.set_num_threads(1)
        torch.manual_seed(seed)
        self.name, self.budget, self.seed = name, budget, seed
        self.generator = torch.Generator().manual_seed(seed)
        self.encoder = name in ENCODERS
        self.tokenizer = build_tokenizer("encoder" if self.encoder else "decoder")
        self.model = build_model(name, self.tokenizer)
        if self.encoder:
            self.model.config.mask_token_id = self.tokenizer.mask_token_id
        if name != "micro-mpt":  # with bf16 a third faster than sdpa on one CPU thread at these lengths
            self.model.set_attn_implementation("eager")
        self.head = torch.nn.Linear(self.model.config.hidden_size, 1)
        self.optimisers = make_optimisers(self.model, self.head, ENCODER_RATE if self.encoder else 1.0)
        self.rates = [[group["lr"] for group in one.param_groups] for one in self.optimisers]
        self.at = Standing(probe_every)
        self.start, self.cpu = time.time(), time.process_time()
        self.curriculum = Curriculum(reasons=name in REASONED_MODELS)
        self.closers = torch.tensor(self.tokenizer.convert_tokens_to_ids(["</s>", "</Judgement>"]))
        if self.encoder:
            self.batches = encoder_batches(self.tokenizer, seed, STEP_TOKENS, lambda: self.at.seen / budget)
        else:
            self.batches = decoder_batches(self.tokenizer, seed, STEP_TOKENS, self.curriculum)

    def describe(self) -> dict[str, Any]:
        """The record of what is pretrained, and how."""
        import torch
        import transformers

        from ..base.code import code_digest
        from .tokenizer import vocabulary_digest

        return {
            "model": self.name,
            "seed": self.seed,
            "corpus_seed": self.seed,
            "vocabulary_digest": vocabulary_digest(self.tokenizer),
            "vocabulary_size": len(self.tokenizer),
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "token_budget": int(self.budget),
            "stop_rule": STOP_RULE,
            "losses": ["pair", "masked", "mismatch"] if self.encoder else ["answer", "other", "mismatch"],
            "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
            "threads": 1,
            "precision": "bf16 autocast",
            "code": code_digest("microworld.pretrain"),
        }

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        import torch

        from ..base.checkpoint import random_state, trained_weights

        return {
            **vars(self.at),
            "curriculum": asdict(self.curriculum),
            "weights": trained_weights(torch.nn.ModuleList([self.model, self.head])),
            "optimisers": [one.state_dict() for one in self.optimisers],
            "random": random_state(self.generator),
            "wall_seconds": time.time() - self.start,
            "cpu_seconds": time.process_time() - self.cpu,
        }

    def resume(self, saved: dict[str, Any]) -> None:
        """Go on from what `state` gave; documents are drawn again along the trail, as the curriculum then stood."""
        import torch

        from ..base.checkpoint import restore_random, restore_weights

        for self.at.seen, then in saved["trail"]:  # the batches read both
            vars(self.curriculum).update(then)
            next(self.batches)
        vars(self.curriculum).update(saved["curriculum"])
        restore_weights(torch.nn.ModuleList([self.model, self.head]), saved["weights"])
        for one, values in zip(self.optimisers, saved["optimisers"], strict=True):
            one.load_state_dict(values)
        restore_random(saved["random"], self.generator)
        vars(self.at).update({name: saved[name] for name in vars(self.at)})
        self.start, self.cpu = time.time() - saved["wall_seconds"], time.process_time() - saved["cpu_seconds"]

    def take_step(self) -> None:
        """One batch, one optimiser step, and what was learnt from it about the skills."""
        import torch

        from .losses import decoder_loss, encoder_loss, observe_skills

        at = self.at
        at.trail.append([at.seen, asdict(self.curriculum)])
        batch = next(self.batches)
        share = learning_rate(at.seen / self.budget)
        for one, rates in zip(self.optimisers, self.rates, strict=True):
            for group, rate in zip(one.param_groups, rates, strict=True):
                group["lr"] = rate * share
        with torch.autocast("cpu", torch.bfloat16):
            if self.encoder:
                losses = encoder_loss(self.model, self.head, batch, self.generator)
            else:
                note = partial(observe_skills, self.curriculum, batch.kinds, closers=self.closers)
                losses = decoder_loss(self.model, self.head, batch, self.generator, note)
        other = float(at.seen > WARM_LISTS * self.budget) if self.encoder else OTHER_WEIGHT[self.curriculum.stage]
        (losses[0] + other * losses[1] + AUX_WEIGHT * losses[2]).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for one in self.optimisers:
            one.step()
            one.zero_grad(set_to_none=True)
        at.step += 1
        if not self.encoder:
            self.curriculum.advance(at.seen / self.budget)
        at.seen += int(batch.lengths.sum())
        at.total, at.since = [t + float(x.detach()) for t, x in zip(at.total, losses, strict=True)], at.since + 1

    def add_to_curve(self, log: Callable[[str], None]) -> None:
        """Every hundred steps, and at the end: the mean losses since the last time."""
        at = self.at
        if at.since != 100 and at.seen < self.budget:
            return
        at.curve.append([at.seen, *(round(t / at.since, 4) for t in at.total)])
        skills = {k: round(v, 2) for k, v in self.curriculum.accuracy.items()}
        speed = at.seen / (time.time() - self.start)
        log(
            f"{self.name} stage {self.curriculum.stage} tokens {at.seen / 1e6:.2f}M {skills} losses {at.curve[-1][1:]} {speed:.0f} tok/s"
        )
        at.total, at.since = [0.0, 0.0, 0.0], 0

    def add_probe(self, rows: int, log: Callable[[str], None]) -> None:
        """Probe a decoder on so many rows a task; encoders answer no prompts."""
        from .probes import probe

        if not self.encoder:
            self.at.probes.append({"tokens": self.at.seen, **probe(self.model, self.tokenizer, rows)})
            log(f"{self.name} probe {json.dumps(self.at.probes[-1])}")

    def write(self, out_dir: Path, record: dict[str, Any], finished: bool) -> None:
        """Bring the record up to date and save it with model and tokenizer."""
        record.update(
            tokens_seen=self.at.seen,
            steps=self.at.step,
            finished=finished,
            wall_seconds=round(time.time() - self.start, 1),
            cpu_seconds=round(time.process_time() - self.cpu, 1),
            loss_curve=self.at.curve,
            probes=self.at.probes,
            stages_opened_at=self.curriculum.opened,
            training_accuracy={k: round(v, 3) for k, v in self.curriculum.accuracy.items()},
        )
        save(self.model, self.tokenizer, out_dir, record)


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
    """
    from ..base.checkpoint import Checkpoint
    from ..base.files import digest_of

    run, out = Pretraining(name, budget, seed, probe_every), Path(out_dir)
    record = run.describe()
    key = digest_of([record, probe_every, probe_rows])
    checkpoint = Checkpoint(work and work / "pretrain" / f"{key}.state", key, save_every_seconds)
    if (saved := checkpoint.load()) is not None:
        run.resume(saved)
    while run.at.seen < budget:
        run.take_step()
        run.add_to_curve(log)
        if run.at.next_probe <= run.at.seen < budget:
            run.at.next_probe += probe_every
            run.add_probe(probe_rows, log)
            run.write(out, record, finished=False)
        checkpoint.keep(run.state)
    if probe_rows:
        run.add_probe(max(probe_rows, 200) if budget > 1e6 else probe_rows, log)
    run.write(out, record, finished=True)
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
