"""Judges of the microworld's texts: classifiers of a review's sentiment and of a summary, fine-tuned from micro-bert-base.

They learn from the generators' validation split, which neither pretraining nor any experiment reads. Like a reward model
of human preferences they are right on what they know and can be fooled by what they don't: `exact` is what tells.

    python -m rl4nlu.microworld.judges --judge micro-sentiment --out pretrained/micro-sentiment
"""

from __future__ import annotations

import argparse
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.files import REPOSITORY, file_digest
from . import world as w
from .arguments import fact_of
from .claims import Knobs
from .generators import rows
from .pretrain import save
from .text_tasks import facts_of, summary
from .world import Fact

if TYPE_CHECKING:
    import torch

BASE = REPOSITORY / "resources" / "micro" / "micro-bert-base"
SPLIT = "validation"
FAULTS_OF_SUMMARIES = ("changed", "short", "overlong", "changed", "other", "short")
"""What is wrong with the summaries that a judge learns from, in turn; what is hard to see comes twice. See `spoil`."""


@dataclass(frozen=True)
class JudgedText:
    """What a judge reads, whether it is good, and what it is an example of."""

    texts: tuple[str, ...]
    good: bool
    kind: str


@dataclass(frozen=True)
class Recipe:
    """How a judge is made: `examples` of `learnt` + `held_out` rows, in the order of the rows."""

    examples: Callable[[int, int], list[JudgedText]]
    learnt: int
    epochs: int
    learning_rate: float
    held_out: int = 500
    batch_size: int = 32


def review_examples(count: int, seed: int) -> list[JudgedText]:
    """Whole movie reviews: a positive one is good."""
    made = rows("movie-reviews", SPLIT, count, seed)
    return [JudgedText((row["text"],), bool(row["label"]), row["derivation"]["rule"]) for row in made]


def summary_examples(count: int, seed: int) -> list[JudgedText]:
    """Posts with their summary, and each with a wrong one."""
    found = []
    for number, row in enumerate(rows("tldr", SPLIT, count, seed, Knobs(facts=4))):
        rng = random.Random(f"judged|{seed}|{number}")
        kind, wrong = spoil(rng, row["derivation"], FAULTS_OF_SUMMARIES[number % len(FAULTS_OF_SUMMARIES)])
        found += [JudgedText((row["prompt"], f" {row['label']}"), True, "right")]
        found += [JudgedText((row["prompt"], f" {wrong}"), False, kind)]
    return found


def spoil(rng: random.Random, derivation: dict[str, Any], kind: str) -> tuple[str, str]:
    """A wrong summary of a post, and its kind: `changed` where one of a single fact cannot be `short`.

    changed: a fact says something else of the same person; overlong: a fact of somebody else is added; other: the facts of
    somebody else; short: a fact is missing (the shipped judge hardly ever sees that).
    """
    name, facts = derivation["name"], [fact_of(record) for record in derivation["facts"]]
    wanted = facts_of(name, facts)
    rest = [fact for fact in facts if fact not in wanted]
    if kind == "overlong":
        wanted.insert(rng.randint(0, len(wanted)), rng.choice(rest))
    elif kind == "other":
        name = rng.choice(rest).person
        wanted = facts_of(name, facts)
    elif kind == "short" and len(wanted) > 1:
        wanted.pop(rng.randrange(len(wanted)))
    else:
        kind, at = "changed", rng.randrange(len(wanted))
        wanted[at] = falsify(rng, name, wanted[at], facts)
    return kind, summary(rng, name, wanted)


def falsify(rng: random.Random, name: str, fact: Fact, facts: list[Fact]) -> Fact:
    """A fact on `name` that is none of `facts`."""
    if rng.random() < 0.2:
        return replace(fact, negated=not fact.negated)
    while True:
        changed = w.change(rng, fact, facts)[0]
        if name in (changed.person, *changed.values) and not w.holds(changed, facts):
            return changed


RECIPES = {
    "micro-sentiment": Recipe(review_examples, 4000, 4, 1e-3),
    "micro-summary-judge": Recipe(summary_examples, 4000, 8, 3e-4),
}


def train_judge(recipe: Recipe, seed: int, out: Path, name: str, log: Callable[[str], None] = print) -> dict[str, Any]:
    """Fine-tune a judge, save it in half precision and return its record, which says how often it is right on held-out rows."""
    import torch
    import transformers

    from ..base.code import code_digest

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    start, cpu = time.time(), time.process_time()
    tokenizer = transformers.AutoTokenizer.from_pretrained(BASE)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        BASE, num_labels=2, id2label={0: "bad", 1: "good"}, label2id={"bad": 0, "good": 1}, dtype=torch.float32
    )
    examples = recipe.examples(recipe.learnt + recipe.held_out, seed)
    cut = len(examples) * recipe.learnt // (recipe.learnt + recipe.held_out)
    curve = learn(model, tokenizer, examples[:cut], recipe, seed, log)
    shares = shares_right(model, tokenizer, examples[cut:])
    record = {
        "model": name,
        "base": BASE.name,
        "base_digest": file_digest(BASE / "model.safetensors"),
        "seed": seed,
        "split": SPLIT,
        **{key: value for key, value in asdict(recipe).items() if key != "examples"},
        "loss_curve": curve,
        "held_out_accuracy": shares.pop("all"),
        "held_out_accuracy_by_kind": shares,
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "threads": 1,
        "code": code_digest("microworld.judges"),
        "wall_seconds": round(time.time() - start, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
    }
    save(model, transformers.AutoTokenizer.from_pretrained(BASE), out, record)  # the other one remembers how it padded
    return record


def batch_of(tokenizer: Any, examples: Sequence[JudgedText]) -> dict[str, torch.Tensor]:
    """The tensors of some examples."""
    texts = list(zip(*(example.texts for example in examples), strict=True))
    batch: dict[str, torch.Tensor] = tokenizer(*map(list, texts), padding=True, truncation=True, return_tensors="pt")
    return batch


def learn(
    model: Any, tokenizer: Any, examples: list[JudgedText], recipe: Recipe, seed: int, log: Callable[[str], None]
) -> list[float]:
    """Fine-tune all weights by AdamW, its rate up over a tenth of the steps and then down to zero; the mean loss of each epoch."""
    import torch

    optimiser = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, weight_decay=0.01)
    steps = recipe.epochs * math.ceil(len(examples) / recipe.batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min((step + 1) / (0.1 * steps), (steps - step) / (0.9 * steps))
    )
    curve = []
    model.train()
    for epoch in range(recipe.epochs):
        order = random.Random(f"judge|{seed}|{epoch}").sample(examples, len(examples))
        losses = []
        for at in range(0, len(order), recipe.batch_size):
            chosen = order[at : at + recipe.batch_size]
            labels = torch.tensor([int(example.good) for example in chosen])
            loss = model(**batch_of(tokenizer, chosen), labels=labels).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            optimiser.zero_grad(set_to_none=True)
            losses.append(float(loss.detach()))
        curve.append(round(sum(losses) / len(losses), 4))
        log(f"epoch {epoch + 1} of {recipe.epochs}: loss {curve[-1]}")
    return curve


def shares_right(model: Any, tokenizer: Any, examples: list[JudgedText]) -> dict[str, float]:
    """The share of the examples that a judge is right on: of all, and of each kind."""
    import torch

    model.eval()
    hits: dict[str, list[bool]] = {"all": []}
    with torch.no_grad():
        for at in range(0, len(examples), 64):
            chosen = examples[at : at + 64]
            guessed = model(**batch_of(tokenizer, chosen)).logits.argmax(-1).tolist()
            for example, guess in zip(chosen, guessed, strict=True):
                hits["all"].append(bool(guess) == example.good)
                hits.setdefault(example.kind, []).append(bool(guess) == example.good)
    return {kind: round(sum(found) / len(found), 4) for kind, found in sorted(hits.items())}


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--judge", required=True, choices=list(RECIPES))
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    record = train_judge(RECIPES[arguments.judge], arguments.seed, arguments.out, arguments.judge)
    print(record["held_out_accuracy"], record["held_out_accuracy_by_kind"])


if __name__ == "__main__":
    main()
