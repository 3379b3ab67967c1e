"""Reward models of paper 2: LoRA and a scalar head on the merged backbone, trained on pairs of responses.

The head scores every token of a response. The paper's loss is Bradley and Terry's at every position from the first where
the two sides differ to the end of the longer one, padding included; as a switch it is taken at the last tokens alone. A
response's reward is the score of its last token. Steps: 1. pairs to tokens, 2. the loss, 3. training, 4. how well held-out
pairs of every kind are told apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from ...base.checkpoint import NOT_SAVED, Checkpoint, put_back, random_state, restore_random
from ...base.errors import ConfigError, Diverged
from ...base.files import read_json
from ...base.progress import Stopwatch
from ...config import RewardModel
from ...models.load import add_lora, encode_answer, load_backbone, load_tokenizer
from ...tasks.prompts import answer_start
from ...tasks.rows import load_rows
from ..batches import cut_into_pieces
from ..candidates import Candidate, best_of
from ..merge import merged_model
from ..preferences import QUANTILES, last_loss, told_apart
from ..rl.policy import ValueHead, states
from ..schedule import draw_from, group
from ..sft import fitting
from .pairs import Pair, read_pairs

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from ...runs.spec import RunSpec


HEAD = "head.safetensors"
"""File of the scalar head, in the adapter's folder."""

CHOSEN_BY = {"label": "label", "rationale": "ranked"}
"""The held-out pairs on which a model's learning rate is chosen, of the kind that it learns from."""


def reward_head(size: int, dtype: torch.dtype, seed: int) -> ValueHead:
    """A scalar head in single precision or better with torch's own initial weights, as the release's, drawn by `seed`."""
    head = ValueHead(size, dtype)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        head.linear.reset_parameters()
    return head


def save_reward(model: Any, head: ValueHead, folder: Path) -> None:
    """Write adapter and head: an ordinary PEFT folder with one file more."""
    model.save_pretrained(str(folder), save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)  # PEFT's empty model card
    save_file({name: tensor.contiguous() for name, tensor in head.state_dict().items()}, folder / HEAD)


def load_head(folder: Path, size: int, dtype: torch.dtype) -> ValueHead:
    """The scalar head of a reward model's adapter folder."""
    head = ValueHead(size, dtype)
    head.load_state_dict(load_file(folder / HEAD))
    return head


# 1. Pairs to tokens -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sides:
    """A pair in tokens; `first` is where the two responses begin to differ."""

    pair: Pair
    prompt: list[int]
    chosen: list[int]
    rejected: list[int]

    @property
    def first(self) -> int:
        """Position in the responses, from 0; the last token where they were cut to the same, as in the release."""
        both = zip(self.chosen, self.rejected, strict=False)
        shorter, longer = sorted((len(self.chosen), len(self.rejected)))
        return next((t for t, (a, b) in enumerate(both) if a != b), min(shorter, longer - 1))

    @property
    def length(self) -> int:
        """Tokens of prompt and longer response."""
        return len(self.prompt) + max(len(self.chosen), len(self.rejected))


def tokenise_pairs(spec: RunSpec, pairs: Sequence[Pair], data: Path, tokenizer: PreTrainedTokenizerBase) -> list[Sides]:
    """The pairs in tokens, in their order; a row that is too long is shortened (see `protocol.truncation`).

    Raises:
        ConfigError: a pair's row is not among the prepared ones.
    """
    made: dict[int, Sides] = {}
    start = answer_start(spec.protocol)
    for task in spec.train_tasks:
        numbers = [n for n, pair in enumerate(pairs) if pair.task == task.name]
        if not numbers:  # no sampled pair came out of this task
            continue
        rows = {row.id: row for split in ("train", "validation") for row in load_rows(data, task.name, split)}
        if missing := [pairs[n].row for n in numbers if pairs[n].row not in rows]:
            raise ConfigError(
                f"{data / task.name}: holds no row {missing[0]}, which a pair is about; prepare pairs again"
            )
        own = [rows[pairs[n].row] for n in numbers]
        sides = [
            [encode_answer(tokenizer, getattr(pairs[n], s), start) for n in numbers] for s in ("chosen", "rejected")
        ]
        chosen, rejected = (fitting(tokenizer, task, own, spec, texts) for texts in sides)
        for n, (prompt, a, _), (other, b, _) in zip(numbers, chosen, rejected, strict=True):
            made[n] = Sides(pairs[n], min(prompt, other, key=len), a, b)
    return [made[n] for n in range(len(pairs))]


# 2. The loss ------------------------------------------------------------------------------------------------------------


def dense_loss(chosen: Tensor, rejected: Tensor, first: Tensor, end: Tensor, temperature: float = 1.0) -> Tensor:
    """Bradley-Terry losses `[pairs]` of scores `[pairs, tokens]`: the mean over positions t of `first <= t < end`.

    `-log sigmoid((chosen_t - rejected_t) / temperature)`, as paper 2's release computes it.
    """
    place = torch.arange(chosen.shape[1], device=chosen.device)
    mask = (place >= first[:, None]) & (place < end[:, None])
    losses = -functional.logsigmoid((chosen - rejected) / temperature)
    return (losses * mask).sum(1) / mask.sum(1)


def score_pairs(model: Any, head: ValueHead, sides: Sequence[Sides], padding: int) -> tuple[Tensor, Tensor]:
    """Scores `[pairs, tokens]` of the chosen and the rejected sides, in one forward pass."""
    prompts = [side.prompt for side in sides] * 2
    hidden = states(model, prompts, [s.chosen for s in sides] + [s.rejected for s in sides], read=True, padding=padding)
    chosen, rejected = head(hidden).chunk(2)
    return chosen, rejected


def at_end(scores: Tensor, responses: Sequence[list[int]]) -> Tensor:
    """The scores `[rows]` of the responses' last tokens."""
    last = torch.tensor([len(response) - 1 for response in responses], device=scores.device)
    return scores.gather(1, last[:, None]).squeeze(1)


def pair_losses(model: Any, head: ValueHead, sides: Sequence[Sides], settings: RewardModel, padding: int) -> Tensor:
    """The losses `[pairs]` of some pairs, by the loss that `settings` names."""
    chosen, rejected = score_pairs(model, head, sides, padding)
    if settings.loss == "last":
        ends = at_end(chosen, [s.chosen for s in sides]), at_end(rejected, [s.rejected for s in sides])
        return last_loss(*ends, settings.temperature)
    first = torch.tensor([side.first for side in sides], device=chosen.device)
    end = torch.tensor([max(len(side.chosen), len(side.rejected)) for side in sides], device=chosen.device)
    return dense_loss(chosen, rejected, first, end, settings.temperature)


def responses_scored(
    model: Any,
    head: ValueHead,
    prompts: list[list[int]],
    responses: list[list[int]],
    groups: Sequence[str],
    settings: Any,
) -> list[float]:
    """The reward of every response: the score of its last token; dropout is off, as the model is left in its mode.

    `settings` bound a forward pass (see `batches.cut_into_pieces`); `groups` are the rows' tasks.
    """
    lengths = [len(p) + len(r) for p, r in zip(prompts, responses, strict=True)]
    found = [0.0] * len(prompts)
    with torch.no_grad():
        for rows in cut_into_pieces(range(len(prompts)), lengths, groups, settings):
            answers = [responses[r] for r in rows]
            hidden = states(model, [prompts[r] for r in rows], answers, read=True)
            for row, score in zip(rows, at_end(head(hidden), answers).tolist(), strict=True):
                found[row] = score
    return found


# 3. Training ------------------------------------------------------------------------------------------------------------


def fit(
    model: Any,
    head: ValueHead,
    sides: Sequence[Sides],
    order: Sequence[list[int]],
    settings: RewardModel,
    learning_rate: float,
    padding: int,
    checkpoint: Checkpoint = NOT_SAVED,
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Train adapter and head on batches of pairs (numbers into `sides`); one history row a step, and the seconds that were spent.

    Raises:
        Diverged: the loss stops being a number.
        Stopped: the process was asked to stop, and the state is saved.
    """
    parameters = [p for p in model.parameters() if p.requires_grad] + list(head.parameters())
    optimiser = torch.optim.AdamW(
        parameters,
        lr=learning_rate,
        weight_decay=settings.weight_decay,
        fused=True,  # takes no square roots from MKL (`base.machine.KERNELS`)
    )
    lengths, groups = [2 * side.length for side in sides], [side.pair.task for side in sides]
    history: list[dict[str, Any]] = []
    clock = Stopwatch()
    if settings.lora.dropout:
        model.train()
    if (saved := checkpoint.load()) is not None:
        history = saved["history"]
        clock = Stopwatch(saved)
        put_back(parameters, saved["weights"])
        optimiser.load_state_dict(saved["optimiser"])
        restore_random(saved["random"])

    def state() -> dict[str, Any]:
        """All that the next step depends on."""
        clock.pause()
        clock.go_on()
        return {
            "step": len(history),
            "history": history,
            **clock.spent(),
            "weights": [parameter.detach() for parameter in parameters],
            "optimiser": optimiser.state_dict(),
            "random": random_state(),
        }

    done = len(history)
    for step, batch in enumerate(order[done:], start=done):
        for parameter_group in optimiser.param_groups:  # half a cosine to zero, without warm-up
            parameter_group["lr"] = learning_rate * 0.5 * (1 + math.cos(math.pi * step / len(order)))
        total = torch.zeros((), device=head.linear.weight.device)
        for rows in cut_into_pieces(batch, lengths, groups, settings):
            loss = pair_losses(model, head, [sides[r] for r in rows], settings, padding).sum() / len(batch)
            loss.backward()
            total += loss.detach()
        nn.utils.clip_grad_norm_(parameters, settings.max_grad_norm)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        value = total.item()
        if not math.isfinite(value):
            raise Diverged(f"step {step}: the reward model's loss is {value}")
        history.append({"step": step + 1, "examples": sum(map(len, order[: step + 1])), "loss": value})
        checkpoint.keep(state)
    if done < len(order):  # so that a candidate learning rate is not trained twice
        checkpoint.save(state())
    clock.pause()
    model.eval()
    return history, clock.spent()


def held_out(model: Any, head: ValueHead, sides: Sequence[Sides], settings: RewardModel) -> list[tuple[float, float]]:
    """Scores (chosen, rejected) of every pair."""
    if not sides:
        return []
    found = []
    prompts, groups = [side.prompt for side in sides], [side.pair.task for side in sides]
    for name in ("chosen", "rejected"):
        responses = [getattr(side, name) for side in sides]
        found.append(responses_scored(model, head, prompts, responses, groups, settings))
    return list(zip(*found, strict=True))


def measure(
    model: Any, head: ValueHead, held: dict[str, list[Sides]], settings: RewardModel
) -> tuple[dict[str, dict[str, float | int | None]], list[float]]:
    """How well held-out pairs are told apart, by kind, and quantiles of the scores of right responses (see `train`).

    `held` has the held-out pairs of either file.
    """
    margins: dict[str, list[float]] = {"label": [], "rationale": [], "policy": [], "ranked": []}
    right: list[float] = []
    for side, (good, bad) in zip(held["label"], held_out(model, head, held["label"], settings), strict=True):
        own = side.pair.origin == "policy"
        margins["policy" if own else "label"].append(good - bad)
        if not own:
            right.append(good)
    for side, (good, bad) in zip(held["rationale"], held_out(model, head, held["rationale"], settings), strict=True):
        margins["ranked"].append(good - bad)
        if side.pair.kind == "rationale":
            margins["rationale"].append(good - bad)
    steps = torch.linspace(0, 1, QUANTILES + 1, dtype=torch.float64)
    quantiles = torch.tensor(right, dtype=torch.float64).quantile(steps).tolist() if right else []
    return {name: told_apart(values) for name, values in margins.items()}, quantiles


def train(
    spec: RunSpec, data: Path, out: Path, stands_on: dict[str, Path], checkpoint: Checkpoint = NOT_SAVED
) -> dict[str, Any]:
    """Train a reward model: `out/adapter` (with its head) and `out/history.jsonl`; returns the facts of its record.

    Facts: `held_out`, by kind of pair (`label`; `policy`: label-sensitive ones on the merged model's own errors; `ranked`: all
    ranked replies that a rationale model would learn from; `rationale`: those of them that agree in their label), see
    `told_apart`; `right_scores`, the quantiles of the scores of held-out right responses, from which tau is chosen;
    `pairs_at_hand` (distinct ones that came out), `pairs_kept` (to learn from), `rationale_sensitive` (the share of these whose
    labels agree), `pairs_seen`, `distinct_pairs_seen` and `passes`, seen by distinct. Every candidate learning rate starts from
    the same weights and sees the same pairs; the one that tells most held-out pairs apart, a label model `label` and a
    rationale model `ranked` ones, is kept (the first of equals), and all are recorded under `candidates`.

    Args:
        spec: the resolved run; its method says which pairs are learnt from.
        data: folder of prepared rows.
        out: folder to write.
        stands_on: `backbone`: folder of the merged model; `pairs`: folder of the pairs.
        checkpoint: state of the run, from which it is resumed.

    Raises:
        ConfigError: pairs or rows are missing or faulty.
        Diverged: the loss stops being a number at every learning rate.
        Stopped: the process was asked to stop, and the state is saved.
    """
    settings = spec.settings
    assert isinstance(settings, RewardModel)
    torch.set_num_threads(spec.threads)
    kind = spec.method.removeprefix("reward-")
    model_spec = merged_model(spec, stands_on["backbone"])
    tokenizer = load_tokenizer(model_spec)
    padding = int(tokenizer.pad_token_id)  # type: ignore[arg-type]

    def read(name: str) -> list[Sides]:
        return tokenise_pairs(spec, read_pairs(stands_on["pairs"] / f"{name}.jsonl", spec.train_tasks), data, tokenizer)

    learnt = read(f"{kind}.train")
    at_hand = read_json(stands_on["pairs"] / "statistics.json")["train"]["pairs"][kind]["at_hand"]
    held = {name: read(f"{name}.validation") for name in ("label", "rationale")}
    pools = [[n for n, s in enumerate(learnt) if s.pair.task == task.name] for task in spec.train_tasks]
    seen = draw_from(pools, settings.pairs, spec.seed)
    batches = [
        [seen[i] for i in batch] for batch in group([learnt[n].length for n in seen], settings.batch_size, spec.seed)
    ]
    tokens = sum(2 * len(s.prompt) + len(s.chosen) + len(s.rejected) for s in (learnt[n] for n in seen))

    def train_at(rate: float, folder: Path, state: Checkpoint) -> Candidate:
        backbone = load_backbone(model_spec)
        model = add_lora(backbone, settings.lora, spec.seed).eval()
        head = reward_head(backbone.get_output_embeddings().in_features, backbone.dtype, spec.seed).to(backbone.device)
        history, spent = fit(model, head, learnt, batches, settings, rate, padding, state)
        results, right_scores = measure(model, head, held, settings)
        history[-1]["validation"] = 100 * (results[CHOSEN_BY[kind]]["accuracy"] or 0.0)
        save_reward(model, head, folder)
        facts = {
            "validation": history[-1]["validation"],
            "loss": history[-1]["loss"],
            "held_out": results,
            "right_scores": right_scores,
            **spent,
            "samples_per_second": round(len(seen) / spent["seconds"], 3),
        }
        return Candidate(facts, history).at_the_cost_of(tokens)

    best = best_of(spec, train_at, out, "adapter", checkpoint)
    return {
        "optimiser_steps": len(batches),
        "prompts_seen": len(seen),
        "pairs_at_hand": at_hand,
        "pairs_kept": len(learnt),
        "rationale_sensitive": round(sum(side.pair.kind == "rationale" for side in learnt) / len(learnt), 4),
        "pairs_seen": len(seen),
        "distinct_pairs_seen": len(set(seen)),
        "passes": round(len(seen) / len(set(seen)), 3),
        "pairs_cut_alike": sum(side.chosen == side.rejected for side in learnt),
        **best.facts,
    }
