"""Pretraining documents: the skills of `skills` and instruction documents of every task, mixed by a curriculum.

All task rows come from train splits with seeds of their own; instruction wording is never the evaluation's (a test compares them).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from . import skills as sk
from . import templates as tp
from .arguments import ARGUE, similarity_class
from .claims import NLI, GeneratedRow, Knobs
from .curriculum import Curriculum
from .generators import clean, marked_rows
from .templates import Phrasing
from .vocabulary import world_words
from .world import unmark

# how often instruction documents take each task; SST-2 and COPA are learned soonest and shown least, to leave headroom
TASK_WEIGHTS = {
    "cola": 6,
    "sst2": 1.5,
    "mrpc": 5,
    "stsb": 2,
    "qqp": 1.5,
    "mnli": 1.5,
    "qnli": 1.5,
    "rte": 2.5,
    "wnli": 1,
    "boolq": 3,
    "cb": 1,
    "copa": 2,
    "multirc": 1,
    "record": 1,
    "wic": 5,
    "wsc": 1,
}
# how often documents with reasons take each task: paper 2's tasks, of which only these documents show the last four
REASONED_WEIGHTS = {
    "sst2": 1.5,
    "mrpc": 3,
    "qqp": 3,
    "mnli": 4,
    "stsb-classes": 3,
    "movie-reviews": 2.5,
    "ag-news": 1.5,
    "app-reviews": 2.5,
}
GENERATORS = {"stsb-classes": "stsb"}
"""The generator of a task that has another one's rows."""
REASONED_SHARE = 0.7
"""Share of the documents with reasons that show them; the others ask the same for the label alone."""


@dataclass
class Case:
    """One task row in the letters of the wordings: texts a, b, c (marks kept), the word q, the class or the number."""

    texts: dict[str, str]
    klass: int = 0
    number: float | None = None
    claims: str = "b"  # the letters whose words the auxiliary loss judges
    reason: str = ""  # why the class holds

    def q(self) -> str:
        """`cause` or `effect` for COPA, else empty."""
        return self.texts.get("q", "")


def cases(task: str, row: GeneratedRow, rng: random.Random) -> Case:
    """A row as a case; of a row with many answers one is drawn."""
    label: Any = row.get("label")
    if task in ("cola", "sst2"):
        return Case({"a": row["sentence"]}, label, claims="a")
    if task in ("movie-reviews", "ag-news"):
        return Case({"a": row["text"]}, label, claims="")
    if task == "app-reviews":
        return Case({"a": row["review"]}, label - 1, claims="")
    if task == "stsb-classes":
        return Case({"a": row["sentence1"], "b": row["sentence2"]}, int(similarity_class(row["derivation"]["changed"])))
    if task in ("mrpc", "rte", "wnli"):
        return Case({"a": row["sentence1"], "b": row["sentence2"]}, label)
    if task == "stsb":
        return Case({"a": row["sentence1"], "b": row["sentence2"]}, number=label)
    if task == "qqp":
        return Case({"a": row["question1"], "b": row["question2"]}, label)
    if task in ("mnli", "cb"):
        return Case({"a": row["premise"], "b": row["hypothesis"]}, NLI.index(label) if task == "cb" else label)
    if task == "qnli":
        return Case({"a": unmark(row["question"]), "b": row["sentence"]}, label, claims="")
    if task == "boolq":
        return Case({"a": row["question"], "b": row["passage"]}, int(label), claims="a")
    if task == "copa":
        return Case(
            {"a": row["premise"], "b": row["choice1"], "c": row["choice2"], "q": row["question"]}, label, claims="bc"
        )
    if task == "wic":
        return Case({"a": row["sentence1"], "b": row["sentence2"], "c": row["word"]}, int(label))
    if task == "wsc":
        return Case(
            {"a": row["text"], "b": row["target"]["span1_text"], "c": row["target"]["span2_text"]},
            int(label),
            claims="",
        )
    if task == "multirc":
        question = rng.choice(row["passage"]["questions"])
        value = rng.randrange(2)
        reply = rng.choice([a for a in question["answers"] if a["label"] == value])
        text = reply["text"] if value else " ".join("~" + word for word in reply["text"].split())
        return Case({"a": row["passage"]["text"], "b": question["question"], "c": text}, value, claims="c")
    if task == "record":
        text, query = row["passage"]["text"], row["qas"][0]
        gold = query["answers"][0]["text"]
        names = sorted({text[e["start"] : e["end"] + 1] for e in row["passage"]["entities"]} - {gold})
        value = rng.randrange(2)
        name = gold if value else "~" + rng.choice(names)
        return Case({"a": text.split("\n@highlight")[0], "b": query["query"].replace("@placeholder", name)}, value)
    raise KeyError(f"task {task!r} has no case")


def reason_of(task: str, row: GeneratedRow, rng: random.Random) -> str:
    """The argument for a row's own label, as a sentence."""
    row, generator = clean(row), GENERATORS.get(task, task)
    derivation, label = row["derivation"], row["label"]
    if generator == "mnli":
        label = derivation["rule"]
    elif generator == "stsb":
        label = similarity_class(derivation["changed"])
    fields = {key: value for key, value in row.items() if isinstance(value, str)}
    text = ARGUE[generator](rng, derivation, fields, label, label, True)
    return text[0].upper() + text[1:]


def query_text(form: str, case: Case) -> str:
    """A query form filled; a claim that stands after what it speaks of is wrapped for the auxiliary loss."""
    first = min((form.find("{" + k + "}") for k in case.texts if k != "q" and k not in case.claims), default=-1)
    words = {}
    for letter, text in case.texts.items():
        judged = letter in case.claims and first < form.find("{" + letter + "}")
        words[letter] = sk.claim(text) if judged else unmark(text)
    return form.format(**words)


def label_words(
    rng: random.Random, wording: Phrasing, borrowed: Sequence[tuple[str, ...]]
) -> tuple[tuple[str, ...], bool]:
    """Words for the classes and whether they are natural; else they are `borrowed` ones, perhaps turned round."""
    if not wording.labels:
        return (), True
    if rng.random() < 0.72 or len(wording.conditions) != 2:
        return wording.labels[0] if rng.random() < 0.75 else rng.choice(wording.labels), True
    other = rng.choice(borrowed)
    return (other if rng.random() < 0.5 else other[::-1]), False


def instruction(
    rng: random.Random,
    streams: dict[str, Iterator[GeneratedRow]],
    borrowed: Sequence[tuple[str, ...]],
    weights: dict[str, float] = TASK_WEIGHTS,
    reasons: bool = False,
) -> str:
    """An instruction document: task wording, label words, some solved items and one more; with `reasons`, each says why."""
    task = rng.choices(list(weights), list(weights.values()))[0]
    wording = tp.TASK_WORDING[task]
    count = rng.choices(range(1, 7), [5, 1.5, 0.7, 0, 0, 0] if reasons else [5, 2, 1.5, 1, 0.7, 0.5])[0]
    found: list[Case] = []
    while len(found) < count:
        row = next(streams[GENERATORS.get(task, task)])
        case = cases(task, row, rng)
        if not found or case.q() == found[0].q():
            case.reason = reason_of(task, row, rng) if reasons else ""
            found.append(case)
    names, natural = label_words(rng, wording, borrowed)
    words = {"q": found[0].q()}
    order = list(range(len(names)))
    rng.shuffle(order)
    listed = " or ".join(f'"{names[i]}"' for i in order) if names else "a number such as 3.5"
    formats = tp.REASONED_FORMATS if reasons else tp.FORMATS
    shape = rng.choice(formats)
    if "{w}" not in shape and rng.random() < 0.5:
        shape = formats[0]
    form = shape.format(w=listed)
    text = rng.choice(wording.instructions).format(**words)
    if names and (not natural or rng.random() < 0.3):
        text += " " + " ".join(f'Say "{names[i]}" if {wording.conditions[i].format(**words)}.' for i in order)
    head, item, tags = rng.choices(tp.SKELETONS, [5 if "System_prompt" in s[0] else 1 for s in tp.SKELETONS])[0]
    query = rng.choice(wording.queries)
    if rng.random() < 0.4:  # signs set apart from words, as some corpora write them
        query, text = query.replace(": ", " : "), text.replace("?", " ?").replace(".", " .")
    carrier = rng.choice(tp.CARRIERS) if rng.random() < 0.35 else "{q}"
    items = []
    for case in found:
        reply = f"{case.number:.1f}" if case.number is not None else names[case.klass]
        asked = item.format(q=carrier.replace("{q}", query_text(query, case)))
        items.append(asked + (sk.reasoned(case.reason, reply, asked) if reasons else sk.answer(reply, tags)))
    start = head.format(i=text, f=form)
    if count > 1 and rng.random() < 0.6:
        demos = "\n".join(f"[ {x} ]" for x in items[:-1])
        return f"{start}{rng.choice(tp.DEMO_LINES)}{demos}\n\n{items[-1]}"
    return start + rng.choice(("\n", "\n\n")).join(items)


def reasons(rng: random.Random, streams: dict[str, Iterator[GeneratedRow]], borrowed: Sequence[tuple[str, ...]]) -> str:
    """An instruction document of one of paper 2's tasks, most of them with a reason before each label."""
    return instruction(rng, streams, borrowed, REASONED_WEIGHTS, rng.random() < REASONED_SHARE)


def documents(seed: int | str, curriculum: Curriculum, knobs: Knobs | None = None) -> Iterator[tuple[str, str]]:
    """Kinds and documents without end, mixed as the curriculum says at the time."""
    knobs = knobs or Knobs()
    rng = random.Random(f"corpus|{seed}")
    shown = [*TASK_WEIGHTS, *(REASONED_WEIGHTS if curriculum.reasons else ())]
    generators = dict.fromkeys(GENERATORS.get(task, task) for task in shown)
    streams = {task: marked_rows(task, "train", f"corpus{seed}", knobs) for task in generators}
    wordings = [wording for task, wording in tp.TASK_WORDING.items() if task in shown]
    borrowed = [words for wording in wordings for words in wording.labels if len(words) == 2] + tp.OTHER_LABELS
    vocabulary = world_words()
    makers: dict[str, Callable[[random.Random], str]] = {
        "copy_list": lambda r: sk.copy_list(r, most=curriculum.longest_copy()),
        "vocabulary": partial(sk.copy_list, vocabulary=vocabulary, most=12),
        "key_values": sk.key_values,
        "same_words": sk.same_words,
        "membership": sk.membership,
        "same_lists": sk.same_lists,
        "causes": sk.causes,
        "linked_events": sk.linked_events,
        "senses": sk.senses,
        "pronouns": sk.pronouns,
        "spelled": sk.spelled,
        "instruction": partial(instruction, streams=streams, borrowed=borrowed),
        "reasons": partial(reasons, streams=streams, borrowed=borrowed),
        **{
            name: partial(getattr(sk, name), knobs=knobs)
            for name in ("reading", "retelling", "three_way", "opinions", "grammar")
        },
        "verification": lambda r: sk.verification(r, knobs, most=curriculum.most_facts()),
    }
    while True:
        weights = curriculum.weights()
        for name in rng.choices(list(weights), list(weights.values()), k=50):
            yield name, makers[name](rng)
