"""Pairs of responses that reward models learn from (paper 2): which of two answers to one question is better.

*Label-sensitive* pairs differ in their label: the gold label with its rationale against a wrong label with a rationale for
it. *Rationale-sensitive* pairs agree in their label and differ in their rationale. RLHF's reward model, the rationale model,
learns from replies sampled from the merged model and ranked by a judge: whatever their labels, as the paper describes it
(most of its pairs, not all, are of one label), or rationale-sensitive pairs only (`Pairs.mix`). Both models learn from
equal numbers of pairs, none of them twice in a file. Steps: 1. supplied pairs, 2. replies, 3. judgement, 4. sampled pairs and
further negatives, 5. equal numbers, 6. statistics, among them the paper's motive: how many pairs of best and worst reply
differ in nothing but the rationale.
"""

from __future__ import annotations

import itertools
import random
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from ...base.checkpoint import NOT_SAVED, Checkpoint
from ...base.errors import ConfigError, nearest
from ...base.files import read_jsonl, write_json, write_jsonl
from ...config import Pairs, Protocol
from ...models.load import load_backbone, load_tokenizer
from ...tasks.prompts import answer_text, write_prompt
from ...tasks.reading import read_response
from ...tasks.rows import load_rationales, load_rows
from ...tasks.task import Task
from ..merge import merged_model
from ..replies import LEARNT_SPLITS, Reply, sample_replies
from ..schedule import draw_from
from .judge import Question, judge

if TYPE_CHECKING:
    from ...runs.spec import RunSpec


@dataclass(frozen=True)
class Pair:
    """Two responses to one row's prompt.

    Attributes:
        task: its name.
        row: the row's id.
        prompt: text.
        chosen: the better response.
        rejected: the worse one.
        kind: whether the two differ in their label or in their rationale only.
        origin: where the rejected side comes from: `supplied`, `policy`, `swapped` or `ungrounded` (see `Pairs.negatives`).
    """

    task: str
    row: str
    prompt: str
    chosen: str
    rejected: str
    kind: Literal["label", "rationale"]
    origin: str = "supplied"


def read_pairs(path: Path, tasks: Sequence[Task]) -> list[Pair]:
    """The pairs of a file, checked: two different sides, each a rationale and one of the task's labels.

    Raises:
        ConfigError: names file, line, and what is wrong.
    """
    known = {task.name: task for task in tasks}
    pairs = []
    for number, line in enumerate(read_jsonl(path), 1):
        try:
            pair = Pair(**line)
        except TypeError as error:
            raise ConfigError(f"{path}: line {number}: is no pair: {error}") from None
        where = f"{path}: line {number} (task {pair.task}, row {pair.row})"
        if pair.task not in known:
            raise ConfigError(f"{where}: unknown task{nearest(pair.task, list(known))} Known: {', '.join(known)}.")
        if pair.chosen == pair.rejected:
            raise ConfigError(f"{where}: chosen and rejected are equal: {pair.chosen!r}")
        for side in ("chosen", "rejected"):
            text = getattr(pair, side)
            reading = read_response(known[pair.task], text, response="rationale")
            if not reading.rationale:
                raise ConfigError(f"{where}: {side} has an empty rationale: {text!r}")
            if reading.fault is not None:
                words = ", ".join(known[pair.task].words)
                raise ConfigError(f"{where}: {side} has a fault ({reading.fault}): {text!r}; label words: {words}")
        pairs.append(pair)
    return pairs


def make_questions(spec: RunSpec, data: Path, split: str) -> list[Question]:
    """Every row of the mixture that has a rationale for its own label.

    Raises:
        ConfigError: no rationales, an empty one, or one for a label that the task does not know.
    """
    found = []
    for task in spec.train_tasks:
        if task.answer != "labels":
            raise ConfigError(f"task {task.name}: pairs need label words, and this task's answers are numbers")
        reasons = load_rationales(data, task.name, split)
        for row in load_rows(data, task.name, split):
            texts = {}
            for label, rationale in reasons.get(row.id, {}).items():
                try:
                    texts[label] = answer_text(task, label, spec.protocol, "test", rationale)
                except ValueError as error:
                    raise ConfigError(f"{data / task.name}/rationales.jsonl: row {row.id} ({split}): {error}") from None
            gold = texts.pop(str(row.label), None)
            if gold is not None:
                prompt = write_prompt(task, row.fields, (), spec.protocol).text
                found.append(Question(task, row, prompt, reasons[row.id], gold, list(texts.values())))
    if not found:
        raise ConfigError(f"run {spec.address.path}: no {split} row has a rationale for its label")
    return found


def choose_questions(asked: list[Question], tasks: Sequence[Task], n: int, seed: int) -> list[Question]:
    """At most `n` questions, drawn by `seed` in equal shares of every task, each at most once, task by task."""
    pools = [[place for place, q in enumerate(asked) if q.task.name == task.name] for task in tasks]
    drawn = [asked[place] for place in dict.fromkeys(draw_from(pools, n, seed))]
    names = [task.name for task in tasks]
    return sorted(drawn, key=lambda q: names.index(q.task.name))


def pair_supplied(asked: Iterable[Question]) -> list[Pair]:
    """Gold label and its rationale against each wrong label and its rationale (paper 2, section 2.2)."""
    return [Pair(q.task.name, q.row.id, q.prompt, q.gold, wrong, "label") for q in asked for wrong in q.wrong]


# 4. Sampled pairs and further negatives ---------------------------------------------------------------------------------


def find_extremes(replies: Sequence[Reply]) -> tuple[Reply, Reply] | None:
    """The replies that the judge likes best and least; None where it likes all alike."""
    if not replies:
        return None
    best, worst = max(replies, key=lambda r: r.score), min(replies, key=lambda r: r.score)
    return (best, worst) if best.score > worst.score else None


def rank_replies(replies: Sequence[Reply], gold: str, settings: Pairs) -> list[tuple[Reply, Reply]]:
    """Better and worse of one row's replies, by the judge: every two that it ranks differently, or its extremes.

    Of one label only where `settings.mix` says so; the extremes are then those among replies of the commonest label (of
    equally common ones `gold`).
    """
    same = settings.mix == "same-label"
    if settings.pairing == "every":
        ordered = sorted(replies, key=lambda reply: -reply.score)
        every = itertools.combinations(ordered, 2)
        return [(a, b) for a, b in every if a.score > b.score and (a.label == b.label or not same)]
    if same:
        counts = Counter(reply.label for reply in replies)
        commonest = max(counts, key=lambda label: (counts[label], label == gold), default=None)
        replies = [reply for reply in replies if reply.label == commonest]
    extremes = find_extremes(replies)
    return [extremes] if extremes else []


def pair_replies(asked: Sequence[Question], replies: Sequence[list[Reply]], settings: Pairs) -> list[Pair]:
    """The pairs of ranked replies that the rationale model learns from; see `rank_replies`."""
    pairs = []
    for q, row in zip(asked, replies, strict=True):
        for better, worse in rank_replies(row, str(q.row.label), settings):
            kind: Literal["label", "rationale"] = "rationale" if better.label == worse.label else "label"
            pairs.append(Pair(q.task.name, q.row.id, q.prompt, better.text, worse.text, kind, "policy"))
    return pairs


def pair_own_errors(asked: Sequence[Question], replies: Sequence[list[Reply]], chance: random.Random) -> list[Pair]:
    """Label-sensitive pairs on the model's own text: a right reply (or the supplied answer) against a wrong one."""
    pairs = []
    for q, row in zip(asked, replies, strict=True):
        right = [reply.text for reply in row if reply.label == str(q.row.label)] or [q.gold]
        wrong = [reply.text for reply in row if reply.label != str(q.row.label)]
        if wrong:
            sides = chance.choice(right), chance.choice(wrong)
            pairs.append(Pair(q.task.name, q.row.id, q.prompt, *sides, "label", "policy"))
    return pairs


def pair_swapped(asked: Sequence[Question], protocol: Protocol, chance: random.Random) -> list[Pair]:
    """The gold answer against the same rationale with a wrong label: a response that contradicts itself."""
    pairs = []
    for q in asked:
        label = chance.choice([label for label in q.task.labels if label != q.row.label])
        text = answer_text(q.task, label, protocol, "test", q.reasons[str(q.row.label)])
        pairs.append(Pair(q.task.name, q.row.id, q.prompt, q.gold, text, "label", "swapped"))
    return pairs


def pair_ungrounded(asked: Sequence[Question], chance: random.Random) -> list[Pair]:
    """The gold answer against that of another row of the same task and label: a rationale about something else."""
    pairs = []
    for q in asked:
        others = [
            o.gold for o in asked if o.task.name == q.task.name and o.row.label == q.row.label and o.gold != q.gold
        ]
        if others:
            pairs.append(Pair(q.task.name, q.row.id, q.prompt, q.gold, chance.choice(others), "label", "ungrounded"))
    return pairs


def pair_labels(
    wanted: Sequence[str],
    everything: Sequence[Question],
    asked: Sequence[Question],
    judged: Sequence[list[Reply]],
    protocol: Protocol,
    chance: random.Random,
) -> list[Pair]:
    """Label-sensitive pairs of the `wanted` origins: of all questions or, on the model's own errors, of those that it was asked."""
    pairs: list[Pair] = []
    if "supplied" in wanted:
        pairs += pair_supplied(everything)
    if "policy" in wanted:
        pairs += pair_own_errors(asked, judged, chance)
    if "swapped" in wanted:
        pairs += pair_swapped(everything, protocol, chance)
    if "ungrounded" in wanted:
        pairs += pair_ungrounded(everything, chance)
    return pairs


# 5. Equal numbers -------------------------------------------------------------------------------------------------------


def drop_repeated(pairs: Iterable[Pair]) -> list[Pair]:
    """The pairs, each once: the same prompt with the same two texts is the same pair, whichever is chosen; the first stays."""
    found: dict[tuple[str, frozenset[str]], Pair] = {}
    for pair in pairs:
        found.setdefault((pair.prompt, frozenset((pair.chosen, pair.rejected))), pair)
    return list(found.values())


def equalise(label: Sequence[Pair], rationale: Sequence[Pair], chance: random.Random) -> tuple[list[Pair], list[Pair]]:
    """As many pairs of one as of the other in every task, drawn by `chance` where there are more; the order stays.

    A reward model's tasks have equal shares in what it sees, however many pairs they have (`schedule.draw`): with equal
    numbers in every task, both models see equally many distinct pairs, equally often.
    """
    sizes = [Counter(pair.task for pair in pairs) for pairs in (label, rationale)]

    def draw(pairs: Sequence[Pair]) -> list[Pair]:
        kept = set()
        for task in sizes[0]:
            places = [n for n, pair in enumerate(pairs) if pair.task == task]
            kept.update(chance.sample(places, min(size[task] for size in sizes)))
        return [pairs[n] for n in sorted(kept)]

    return draw(label), draw(rationale)


# 6. The whole run -------------------------------------------------------------------------------------------------------


def statistics(
    asked: Sequence[Question], replies: Sequence[list[Reply]], judged: Sequence[list[Reply]]
) -> dict[str, Any]:
    """What the replies are like; `same_label` is the share of best-against-worst pairs whose labels are equal."""
    ranked = [found for row in judged if (found := find_extremes(row))]
    everything = [(q, reply) for q, row in zip(asked, replies, strict=True) for reply in row]
    return {
        "rows": len(asked),
        "replies": len(everything),
        "right": sum(reply.label == str(q.row.label) for q, reply in everything) / len(everything),
        "unreadable": sum(reply.label is None for _, reply in everything) / len(everything),
        "ranked_pairs": len(ranked),
        "same_label": sum(best.label == worst.label for best, worst in ranked) / len(ranked) if ranked else None,
    }


def count_pairs(distinct: Sequence[Pair], repeated: int, kept: Sequence[Pair]) -> dict[str, Any]:
    """Numbers of one file's pairs: distinct ones at hand, repeats that were dropped, and those kept, by kind and origin."""
    return {
        "at_hand": len(distinct),
        "repeated": repeated,
        "kept": len(kept),
        "kinds": dict(Counter(pair.kind for pair in kept)),
        "origins": dict(Counter(pair.origin for pair in kept)),
    }


def train(
    spec: RunSpec,
    data: Path,
    out: Path,
    stands_on: dict[str, Path],
    checkpoint: Checkpoint = NOT_SAVED,
    cache: Path | None = None,
) -> dict[str, Any]:
    """Write `<kind>.<split>.jsonl` for both kinds and splits, and `statistics.json`; returns facts of the record.

    `label` is what the label model learns from, `rationale` the ranked replies that the rationale model learns from. Held-out
    label-sensitive pairs are the supplied ones and, as origin `policy`, those on the model's own errors.

    Args:
        spec: the resolved run.
        data: folder of prepared rows and rationales.
        out: folder to write.
        stands_on: `backbone`: folder of the merged model.
        checkpoint: not used; this stage is short, and starts over where it was stopped.
        cache: folder of a server's verdicts (pairs.judge: endpoint), which a restart asks for once.

    Raises:
        ConfigError: rationales are missing or faulty, or no pair came out.
    """
    settings = spec.settings
    assert isinstance(settings, Pairs)
    torch.set_num_threads(spec.threads)
    started = time.perf_counter()
    model_spec = merged_model(spec, stands_on["backbone"])
    tokenizer, model = load_tokenizer(model_spec), load_backbone(model_spec)
    facts: dict[str, Any] = {}
    for split, n in zip(LEARNT_SPLITS, (settings.prompts, settings.validation_prompts), strict=True):
        chance = random.Random(f"pairs|{spec.seed}|{split}")
        everything = make_questions(spec, data, split)
        asked = choose_questions(everything, spec.train_tasks, n, spec.seed)
        rows = [(q.task, q.row) for q in asked]
        replies = sample_replies(spec, model, tokenizer, rows, spec.seed + (split == "validation"))
        counts: Counter[str] = Counter()
        judged = judge(spec, asked, replies, cache, counts)
        wanted = settings.negatives if split == "train" else ("supplied", "policy")
        label = pair_labels(wanted, everything, asked, judged, spec.protocol, chance)
        found = {"label": label, "rationale": pair_replies(asked, judged, settings)}
        distinct = {name: drop_repeated(pairs) for name, pairs in found.items()}
        kept = distinct
        if split == "train" and settings.equal_numbers:
            kept = dict(zip(distinct, equalise(distinct["label"], distinct["rationale"], chance), strict=True))
        counted = {}
        for name, pairs in kept.items():
            if not pairs and split == "train":
                raise ConfigError(
                    f"run {spec.address.path}: no {split} pair for the {name} model came out of {len(everything)} rows and "
                    f"{len(asked)} x {settings.replies} replies; ask for more (pairs.prompts, pairs.replies)"
                )
            write_jsonl(out / f"{name}.{split}.jsonl", (asdict(pair) for pair in pairs))
            counted[name] = count_pairs(distinct[name], len(found[name]) - len(distinct[name]), pairs)
        facts[split] = {**statistics(asked, replies, judged), "pairs": counted}
        facts[split] |= {"verdicts": dict(counts)} if counts else {}
    write_json(out / "statistics.json", facts)
    return {**facts, "seconds": round(time.perf_counter() - started, 3)}
