"""Paper 1's reward model: an encoder with a scalar head, trained with the pairwise logistic loss on ranked responses.

Responses are sampled from the merged SFT model with rationales, the model that PPO starts from, for the micro models can
write a rationale only after SFT (the paper's chat model could without). The encoder reads the row's question and the
response as a pair of texts; its one output is the reward. Steps: 1. responses, ranked, 2. pairs as the encoder reads them,
3. the loss, 4. training, as that of any encoder (`encoder.fit`), and how well held-out pairs are told apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging as transformers_logging

from .checkpoint import NOT_SAVED, Checkpoint
from .config import ConfigError, RewardEncoder
from .data import load_rows
from .encoder import EncoderTrainer, Item, collate, encode, fit, outputs, with_head
from .history import best_of
from .lengths import draw, group
from .merging import merged_model
from .models import device, load_backbone, load_tokenizer
from .pairs import SPLITS, Pair, Question, sampled
from .prompts import build_prompt
from .ranking import DROPPED, RANKS, Response, ranked_pairs, responses_of
from .records import write_jsonl
from .reward_model import last_loss, told_apart

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from .runs import RunSpec


# 1. Responses, ranked ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ranked:
    """A row's question and its responses."""

    question: Question
    responses: list[Response]


def ranked_responses(
    spec: RunSpec, model: Any, tokenizer: PreTrainedTokenizerBase, data: Path, split: str, seed: int
) -> list[Ranked]:
    """The responses to the first rows of a split, task by task, in equal shares of every task.

    Raises:
        ConfigError: a task's answers are numbers, or it has no rows.
    """
    settings = spec.settings
    assert isinstance(settings, RewardEncoder)
    wanted = settings.prompts if split == "train" else settings.validation_prompts
    asked = []
    for task in spec.train_tasks:
        if task.parser != "words":
            raise ConfigError(f"task {task.name}: ranks need label words, and this task's answers are numbers")
        rows = load_rows(data, task.name, split)
        if not rows:
            raise ConfigError(f"{data / task.name / split}.jsonl: task {task.name} has no {split} rows")
        for row in rows[: -(-wanted // len(spec.train_tasks))]:
            asked.append(Question(task, row, build_prompt(task, row.fields, (), spec.protocol), {}, "", []))
    replies = sampled(spec, model, tokenizer, asked, seed)
    return [
        Ranked(q, responses_of(q.task, q.row, [reply.text for reply in some], spec.seed))
        for q, some in zip(asked, replies, strict=True)
    ]


# 2. Pairs as the encoder reads them -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sides:
    """A pair as the encoder reads it."""

    pair: Pair
    chosen: Item
    rejected: Item

    @property
    def length(self) -> int:
        """Tokens of the longer side."""
        return max(self.chosen.length, self.rejected.length)


def read_as(tokenizer: PreTrainedTokenizerBase, texts: Sequence[tuple[str, str]]) -> tuple[list[Item], int]:
    """Questions and responses as the encoder reads them, and how many had to be cut to `tokenizer.model_max_length`."""
    encodings, cut = encode(tokenizer, [(question, response.strip()) for question, response in texts], tokenizer.model_max_length)  # fmt: skip
    return [Item([encoding]) for encoding in encodings], cut


def sides_of(tokenizer: PreTrainedTokenizerBase, pairs: Sequence[Pair]) -> tuple[list[Sides], int]:
    """The pairs whose sides differ as the encoder reads them, and how many were cut to the same."""
    chosen, _ = read_as(tokenizer, [(pair.prompt, pair.chosen) for pair in pairs])
    rejected, _ = read_as(tokenizer, [(pair.prompt, pair.rejected) for pair in pairs])
    found = [Sides(*three) for three in zip(pairs, chosen, rejected, strict=True) if three[1] != three[2]]
    return found, len(pairs) - len(found)


def scores(model: PreTrainedModel, read: list[Item], pad: int, batch_tokens: int) -> list[float]:
    """The reward of every response."""
    found: list[float] = outputs(model, read, pad, batch_tokens)[:, 0].tolist()
    return found


def load_reward_encoder(folder: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The reward model in a run's folder, and its tokenizer; an ordinary transformers folder.

    Raises:
        ConfigError: the folder holds none.
    """
    if not (folder / "model" / "config.json").is_file():
        raise ConfigError(f"{folder / 'model'}: holds no reward encoder (no config.json); was the run trained?")
    model = AutoModelForSequenceClassification.from_pretrained(folder / "model").to(device()).eval()
    return model.requires_grad_(False), AutoTokenizer.from_pretrained(folder / "model")


# 3. The loss ------------------------------------------------------------------------------------------------------------


class PairTrainer(EncoderTrainer):
    """Its loss is the mean of `-log sigmoid(chosen - rejected)` over pairs; a batch holds the chosen sides, then the rejected."""

    def compute_loss(  # num_items_in_batch is transformers' own and not used
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The loss of a batch, and the model's outputs if they are asked for."""
        found = model(**inputs)
        chosen, rejected = found.logits[:, 0].chunk(2)
        loss = last_loss(chosen, rejected).mean()
        return (loss, found) if return_outputs else loss


def side_by_side(chosen: Sequence[Sides], pad: int) -> dict[str, torch.Tensor]:
    """Tensors of some pairs, for `PairTrainer`."""
    return collate([side.chosen for side in chosen] + [side.rejected for side in chosen], pad)


# 4. The whole run -------------------------------------------------------------------------------------------------------


def margins(model: PreTrainedModel, sides: Sequence[Sides], pad: int, batch_tokens: int) -> list[float]:
    """Chosen less rejected score of every pair."""
    both = scores(model.eval(), [s.chosen for s in sides] + [s.rejected for s in sides], pad, batch_tokens)
    return [a - b for a, b in zip(both[: len(sides)], both[len(sides) :], strict=True)]


def kinds_told_apart(sides: Sequence[Sides], found: Sequence[float]) -> dict[str, dict[str, float | int | None]]:
    """`told_apart` of all pairs, of each kind, and of label-sensitive ones of which the policy gave both sides (`policy`)."""
    chosen = {
        "all": [True for _ in sides],
        "label": [s.pair.kind == "label" for s in sides],
        "rationale": [s.pair.kind == "rationale" for s in sides],
        "policy": [s.pair.kind == "label" and s.pair.origin == "policy" for s in sides],
    }
    return {name: told_apart([m for m, one in zip(found, which, strict=True) if one]) for name, which in chosen.items()}


def train(
    spec: RunSpec, data: Path, out: Path, stands_on: dict[str, Path], checkpoint: Checkpoint = NOT_SAVED
) -> dict[str, Any]:
    """Train a reward encoder: `out/model`, `out/history.jsonl` and the ranked `out/responses.<split>.jsonl`; returns facts.

    Facts: `ranked`, by split how often each rank came (`ranks`), pairs, and what was dropped; `held_out`, see
    `kinds_told_apart`. Sampling starts over where a run was stopped; training goes on from `checkpoint`.

    Args:
        spec: the resolved run.
        data: folder of prepared rows.
        out: folder to write.
        stands_on: `backbone`: folder of the merged model.
        checkpoint: state of the run, from which it is resumed.

    Raises:
        ConfigError: rows are missing, no pair comes out, or the loss stops being a number.
        Stopped: the process was asked to stop, and the state is saved.
    """
    settings = spec.settings
    assert isinstance(settings, RewardEncoder)
    assert spec.encoder_spec is not None
    torch.set_num_threads(spec.threads)
    transformers_logging.disable_progress_bar()
    merged = merged_model(spec, stands_on["backbone"])
    words, policy = load_tokenizer(merged), load_backbone(merged)
    tokenizer = load_tokenizer(spec.encoder_spec)
    tokenizer.padding_side, tokenizer.model_max_length = "right", spec.encoder_spec.max_length
    pad = int(tokenizer.pad_token_id)  # type: ignore[arg-type]

    ranked_facts: dict[str, Any] = {}
    sides: dict[str, list[Sides]] = {}
    for split in SPLITS:
        ranked = ranked_responses(spec, policy, words, data, split, spec.seed + (split == "validation"))
        dropped = Counter(dict.fromkeys(DROPPED, 0))
        pairs = [p for one in ranked for p in ranked_pairs(one.question.task, one.question.row, one.responses, dropped)]
        sides[split], dropped["cut alike"] = sides_of(tokenizer, pairs)
        if not sides[split]:
            raise ConfigError(
                f"run {spec.address.path}: no {split} pair came out of {len(ranked)} rows: {dict(dropped)}"
            )
        told = Counter(RANKS[response.rank] for one in ranked for response in one.responses if response.sampled)
        ranked_facts[split] = {
            "rows": len(ranked),
            "ranks": {name: told[name] for name in RANKS},
            "pairs": len(sides[split]),
            "dropped": dict(dropped),
        }
        write_jsonl(
            out / f"responses.{split}.jsonl",
            (
                {"task": one.question.task.name, "row": one.question.row.id, **asdict(response)}
                for one in ranked
                for response in one.responses
            ),
        )
    del policy

    learnt, held = sides["train"], sides["validation"]
    pools = [[n for n, s in enumerate(learnt) if s.pair.task == task.name] for task in spec.train_tasks]
    together = [n for pool in pools for n in pool]
    seen = [together[i] for i in draw([len(pool) for pool in pools if pool], settings.pairs, spec.seed)]
    batches = group([learnt[n].length for n in seen], settings.batch_size, spec.seed)
    ordered = [learnt[seen[i]] for batch in batches for i in batch]
    budget = spec.evaluation.batch_tokens

    def validate(model: PreTrainedModel) -> float:
        return 100 * float(told_apart(margins(model, held, pad, budget))["accuracy"] or 0.0)

    best = best_of(
        settings.learning_rates,
        lambda rate, folder: fit(
            spec,
            with_head(spec.encoder_spec, spec.seed, num_labels=1, problem_type="regression"),  # type: ignore[arg-type]
            ordered,
            rate,
            lambda chosen: side_by_side(chosen, pad),
            validate,
            folder,
            checkpoint.part(folder.name.lstrip(".")),
            PairTrainer,
        ),
        out,
        "model",
    )
    tokenizer.save_pretrained(out / "model")
    model, _ = load_reward_encoder(out)
    return {
        "ranked": ranked_facts,
        "optimiser_steps": len(batches),
        "prompts_seen": len(ordered),
        "tokens_trained": sum(side.chosen.length + side.rejected.length for side in ordered),
        "held_out": kinds_told_apart(held, margins(model, held, pad, budget)),
        **best,
    }
