"""Paper 1's reward model: an encoder with a scalar head, trained with the pairwise logistic loss on ranked responses.

Responses are sampled from the merged SFT model with rationales, the model that PPO starts from, for the micro models can
write a rationale only after SFT (the paper's chat model could without). The encoder reads the row's question and the
response as a pair of texts; its one output is the reward. All pairs of a row are learnt from at once, so that each of its
responses is read once (Ouyang et al. 2022, section 3.5, whose reason is overfitting). Steps: 1. responses, ranked, 2. as
the encoder reads them, 3. the loss, 4. training, as that of any encoder (`encoder.fit`), and how well held-out pairs are told
apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging as transformers_logging

from ...base.checkpoint import NOT_SAVED, Checkpoint
from ...base.errors import ConfigError
from ...base.files import write_jsonl
from ...config import RewardEncoder
from ...models.load import device, load_backbone, load_tokenizer
from ...tasks.rows import Row, load_rows
from ...tasks.task import Task
from ..candidates import Candidate, best_of
from ..encoder import EncoderTrainer, Item, collate, encode, fit, outputs, with_head
from ..merge import merged_model
from ..preferences import last_loss, told_apart
from ..replies import LEARNT_SPLITS, sample_replies
from ..schedule import draw_from, group
from .ranking import DROPPED_RESPONSES, RANKS, Comparison, Response, compare, rank_responses

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ...runs.spec import RunSpec


# 1. Responses, ranked ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ranked:
    """A row, its responses, and how they compare."""

    task: Task
    row: Row
    responses: list[Response]
    pairs: list[Comparison]


def collect_responses(
    spec: RunSpec,
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    data: Path,
    split: str,
    seed: int,
    dropped: Counter[str],
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
        if task.answer != "labels":
            raise ConfigError(f"task {task.name}: ranks need label words, and this task's answers are numbers")
        rows = load_rows(data, task.name, split)
        if not rows:
            raise ConfigError(f"{data / task.name / split}.jsonl: task {task.name} has no {split} rows")
        for row in rows[: -(-wanted // len(spec.train_tasks))]:
            asked.append((task, row))
    found = []
    for (task, row), replies in zip(asked, sample_replies(spec, model, tokenizer, asked, seed), strict=True):
        responses = rank_responses(task, row, [reply.text for reply in replies], spec.seed, dropped)
        found.append(Ranked(task, row, responses, compare(responses, dropped)))
    return found


# 2. As the encoder reads them -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ranking:
    """A row's responses as the encoder reads them, and how they compare."""

    task: str
    items: list[Item]
    pairs: list[Comparison]

    @property
    def length(self) -> int:
        """Tokens of the longest response."""
        return max(item.length for item in self.items)


def read_as(tokenizer: PreTrainedTokenizerBase, texts: Sequence[tuple[str, str]]) -> tuple[list[Item], int]:
    """Questions and responses as the encoder reads them, and how many had to be cut to `tokenizer.model_max_length`."""
    stripped: list[tuple[str, str | None]] = [(question, response.strip()) for question, response in texts]
    encodings, cut = encode(tokenizer, stripped, tokenizer.model_max_length)
    return [Item([encoding]) for encoding in encodings], cut


def rankings_of(tokenizer: PreTrainedTokenizerBase, ranked: Sequence[Ranked], dropped: Counter[str]) -> list[Ranking]:
    """The rows that have a pair whose sides differ as the encoder reads them; the others' pairs count as `cut alike`."""
    found = []
    for one in ranked:
        question = one.task.query.format_map(one.row.fields)
        items, _ = read_as(tokenizer, [(question, response.text) for response in one.responses])
        pairs = [pair for pair in one.pairs if items[pair.better] != items[pair.worse]]
        dropped["cut alike"] += len(one.pairs) - len(pairs)
        if pairs:
            found.append(Ranking(one.task.name, items, pairs))
    return found


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
    """Its loss is the weighted sum of `-log sigmoid(better - worse)` over the pairs of a batch (see `side_by_side`)."""

    def compute_loss(  # num_items_in_batch is transformers' own and not used
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The loss of a batch, and the model's outputs if they are asked for."""
        better, worse, weight = (inputs.pop(name) for name in ("better", "worse", "weight"))
        found = model(**inputs)
        rewards = found.logits[:, 0]
        loss = (weight * last_loss(rewards[better], rewards[worse])).sum()
        return (loss, found) if return_outputs else loss


def side_by_side(chosen: Sequence[Ranking], pad: int) -> dict[str, torch.Tensor]:
    """Tensors of some rows' responses; `better` and `worse` are the places of pairs, which weigh so that rows weigh alike."""
    better, worse, weight = [], [], []
    start = 0
    for one in chosen:
        better += [start + pair.better for pair in one.pairs]
        worse += [start + pair.worse for pair in one.pairs]
        weight += [1 / (len(one.pairs) * len(chosen))] * len(one.pairs)
        start += len(one.items)
    places = {"better": torch.tensor(better), "worse": torch.tensor(worse), "weight": torch.tensor(weight)}
    return collate([item for one in chosen for item in one.items], pad) | places


# 4. The whole run -------------------------------------------------------------------------------------------------------


def margins(
    model: PreTrainedModel, rankings: Sequence[Ranking], pad: int, batch_tokens: int
) -> list[tuple[Comparison, float]]:
    """Every pair, and its better side's score less the worse one's."""
    found = iter(scores(model.eval(), [item for one in rankings for item in one.items], pad, batch_tokens))
    pairs = []
    for one in rankings:
        rewards = [next(found) for _ in one.items]
        pairs += [(pair, rewards[pair.better] - rewards[pair.worse]) for pair in one.pairs]
    return pairs


def kinds_told_apart(found: Sequence[tuple[Comparison, float]]) -> dict[str, dict[str, float | int | None]]:
    """`told_apart` of all pairs, of each kind, and of label-sensitive ones of which the policy gave both sides (`policy`)."""
    chosen: dict[str, Callable[[Comparison], bool]] = {
        "all": lambda pair: True,
        "label": lambda pair: pair.kind == "label",
        "rationale": lambda pair: pair.kind == "rationale",
        "policy": lambda pair: pair.kind == "label" and pair.own,
    }
    return {name: told_apart([margin for pair, margin in found if fits(pair)]) for name, fits in chosen.items()}


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
        ConfigError: rows are missing, or no pair comes out.
        Diverged: the loss stops being a number at every learning rate.
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
    rankings: dict[str, list[Ranking]] = {}
    for split in LEARNT_SPLITS:
        dropped = Counter(dict.fromkeys(DROPPED_RESPONSES, 0))
        ranked = collect_responses(spec, policy, words, data, split, spec.seed + (split == "validation"), dropped)
        rankings[split] = rankings_of(tokenizer, ranked, dropped)
        if not rankings[split]:
            raise ConfigError(
                f"run {spec.address.path}: no {split} pair came out of {len(ranked)} rows: {dict(dropped)}"
            )
        told = Counter(RANKS[response.rank] for one in ranked for response in one.responses if response.sampled)
        ranked_facts[split] = {
            "rows": len(ranked),
            "ranks": {name: told[name] for name in RANKS},
            "pairs": sum(len(one.pairs) for one in rankings[split]),
            "dropped": dict(dropped),
        }
        write_jsonl(
            out / f"responses.{split}.jsonl",
            (
                {"task": one.task.name, "row": one.row.id, **asdict(response)}
                for one in ranked
                for response in one.responses
            ),
        )
    del policy

    learnt, held = rankings["train"], rankings["validation"]
    pools = [[n for n, one in enumerate(learnt) if one.task == task.name] for task in spec.train_tasks]
    seen = draw_from(pools, settings.rankings, spec.seed)
    batches = group([learnt[n].length for n in seen], settings.batch_size, spec.seed)
    ordered = [learnt[seen[i]] for batch in batches for i in batch]
    budget = spec.evaluation.batch_tokens

    def validate(model: PreTrainedModel) -> float:
        return 100 * float(kinds_told_apart(margins(model, held, pad, budget))["all"]["accuracy"] or 0.0)

    def train_at(rate: float, folder: Path, state: Checkpoint) -> Candidate:
        assert spec.encoder_spec is not None
        model = with_head(spec.encoder_spec, spec.seed, num_labels=1, problem_type="regression")
        found = fit(
            spec, model, ordered, rate, lambda rows: side_by_side(rows, pad), validate, folder, state, PairTrainer
        )
        return found.at_the_cost_of(sum(item.length for one in ordered for item in one.items))

    best = best_of(spec, train_at, out, "model", checkpoint)
    tokenizer.save_pretrained(out / "model")
    model, _ = load_reward_encoder(out)
    return {
        "ranked": ranked_facts,
        "optimiser_steps": len(batches),
        "prompts_seen": len(ordered),
        "pairs_seen": sum(len(one.pairs) for one in ordered),
        "held_out": kinds_told_apart(margins(model, held, pad, budget)),
        **best.facts,
    }
