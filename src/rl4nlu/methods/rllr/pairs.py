"""Pairs of responses that reward models learn from (paper 2): which of two answers to one question is better.

*Label-sensitive* pairs differ in their label: the gold label with its rationale against a wrong label with a rationale for
it. *Rationale-sensitive* pairs agree in their label: of some replies sampled from the merged model, the one whose rationale
a judge likes best against the one that it likes least. Steps: 1. supplied pairs, 2. replies, 3. judgement, 4. sampled
pairs and further negatives, 5. statistics, among them the paper's motive: how many of the pairs that plain RLHF learns
from (best against worst reply, whatever they say) differ in nothing but the rationale.
"""

from __future__ import annotations

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
        if task.parser != "words":
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


def pair_rationales(asked: Sequence[Question], replies: Sequence[list[Reply]]) -> list[Pair]:
    """Rationale-sensitive pairs: best against worst among each row's replies of its commonest label."""
    pairs = []
    for q, row in zip(asked, replies, strict=True):
        counts = Counter(reply.label for reply in row)
        commonest = max(counts, key=lambda label: (counts[label], label == str(q.row.label)), default=None)
        if found := find_extremes([reply for reply in row if reply.label == commonest]):
            pairs.append(Pair(q.task.name, q.row.id, q.prompt, found[0].text, found[1].text, "rationale", "policy"))
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


# 5. The whole run -------------------------------------------------------------------------------------------------------


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


def train(
    spec: RunSpec,
    data: Path,
    out: Path,
    stands_on: dict[str, Path],
    checkpoint: Checkpoint = NOT_SAVED,
    cache: Path | None = None,
) -> dict[str, Any]:
    """Write `<kind>.<split>.jsonl` for both kinds and splits, and `statistics.json`; returns facts of the record.

    Held-out label-sensitive pairs are the supplied ones and, as origin `policy`, those on the model's own errors.

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
        found = {"label": label, "rationale": pair_rationales(asked, judged)}
        for kind, pairs in found.items():
            if not pairs and split == "train":
                raise ConfigError(
                    f"run {spec.address.path}: no {kind}-sensitive {split} pair came out of {len(everything)} rows and "
                    f"{len(asked)} x {settings.replies} replies; ask for more (pairs.prompts, pairs.replies)"
                )
            write_jsonl(out / f"{kind}.{split}.jsonl", (asdict(pair) for pair in pairs))
        origins = {kind: dict(Counter(pair.origin for pair in pairs)) for kind, pairs in found.items()}
        facts[split] = {**statistics(asked, replies, judged), "pairs": origins}
        facts[split] |= {"verdicts": dict(counts)} if counts else {}
    write_json(out / "statistics.json", facts)
    return {**facts, "seconds": round(time.perf_counter() - started, 3)}
