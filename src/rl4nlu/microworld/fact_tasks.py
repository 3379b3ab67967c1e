"""One row of each task that asks what follows from stated facts (MRPC, STS-B, QQP, MNLI, QNLI, RTE, BoolQ, CB, MultiRC, ReCoRD, AX).

Each function takes a random generator, the knobs and the wanted class and returns the official fields plus a derivation; text may
still hold mismatch marks (see `world`).
"""

from __future__ import annotations

import random
import re
from dataclasses import replace

from . import lexicon as lx
from . import world as w
from .claims import NLI, GeneratedRow, Knobs, facts_for, make_claim, why
from .world import Fact

NAME_PATTERN = re.compile(r"\b(?:" + "|".join(lx.NAMES) + r")\b")
STSB_WEIGHTS = {"person": 1.0, "verb": 1.5, "object": 1.0, "place": 1.0, "colour": 0.5}


def nli(rng: random.Random, knobs: Knobs, want: int, speech: bool = False) -> GeneratedRow:
    """MNLI: premise of two or more facts; `speech` gives the mismatched genre."""
    facts = facts_for(rng, knobs)
    claim, wrong, base = make_claim(rng, facts, NLI[want], knobs)
    premise = w.passage(rng, facts, knobs.synonyms)
    if speech:
        premise = rng.choice(("Well, you know, ", "I heard this: ", "Oh yes, they told me, ")) + premise
    return {
        "premise": premise,
        "hypothesis": w.sentence(w.state(rng, claim, wrong, knobs.synonyms)),
        "label": want,
        "derivation": why(NLI[want], facts, claim, wrong, base),
    }


def mnli_mm(rng: random.Random, knobs: Knobs, want: int) -> GeneratedRow:
    """MNLI mismatched: the same relations in a spoken register."""
    return nli(rng, knobs, want, speech=True)


def ax(rng: random.Random, knobs: Knobs, want: int) -> GeneratedRow:
    """GLUE diagnostics: single facts with more negation."""
    return nli(rng, replace(knobs, facts=2, negation=0.5), want)


def rte(rng: random.Random, knobs: Knobs, want: int) -> GeneratedRow:
    """RTE: does the first text entail the second? Label 0 is entailment."""
    facts = facts_for(rng, knobs)
    relation = "entailment" if want == 0 else rng.choice(("neutral", "neutral", "contradiction"))
    claim, wrong, base = make_claim(rng, facts, relation, knobs)
    return {
        "sentence1": w.passage(rng, facts, knobs.synonyms),
        "sentence2": w.sentence(w.state(rng, claim, wrong, knobs.synonyms)),
        "label": want,
        "derivation": why(relation, facts, claim, wrong, base),
    }


def superglue_rte(rng: random.Random, knobs: Knobs, want: int) -> GeneratedRow:
    """RTE with SuperGLUE's field names and label words."""
    row = rte(rng, knobs, want)
    return {
        "premise": row["sentence1"],
        "hypothesis": row["sentence2"],
        "label": ("entailment", "not_entailment")[want],
        "derivation": row["derivation"],
    }


def axb(rng: random.Random, knobs: Knobs, want: int) -> GeneratedRow:
    """SuperGLUE's broad-coverage diagnostics: two short sentences and the phenomenon that decides."""
    row = rte(rng, replace(knobs, facts=2, negation=0.4), want)
    changed = row["derivation"]["changed"]
    logic = (
        "Negation"
        if "not" in changed
        else "Named entities"
        if "person" in changed
        else "Lexical"
        if changed
        else "Paraphrase"
    )
    return {**row, "label": ("entailment", "not_entailment")[want], "logic": logic}


def mrpc(rng: random.Random, knobs: Knobs, want: int) -> GeneratedRow:
    """MRPC: two clauses, said again in other words (1) or with one thing changed (0)."""
    facts = w.choose_facts(rng, 2, knobs.negation)
    wrong: dict[Fact, tuple[str, ...]] = {}
    again = list(facts)
    changed: tuple[str, ...] = ()
    if want == 0:
        at = rng.randrange(2)
        if rng.random() < knobs.negation:
            again[at] = replace(facts[at], negated=not facts[at].negated)
            changed = ("not",) if again[at].negated else tuple(facts[at].slots())
        else:
            again[at], slot = w.change(rng, facts[at], facts, knobs.distractors)
            changed = (slot,)
        wrong[again[at]] = changed
    if rng.random() < 0.5:
        again.reverse()
    texts = []
    for group, marks in ((facts, {}), (again, wrong)):
        clauses = [w.state(rng, f, marks.get(f, ()), knobs.synonyms) for f in group]
        texts.append(w.sentence(rng.choice((" and ", ", and ", ", but ", " while ")).join(clauses)))
    return {
        "sentence1": texts[0],
        "sentence2": texts[1],
        "label": want,
        "derivation": why(
            "paraphrase" if want else "changed", facts, None, changed, second=[f.record() for f in again]
        ),
    }


def stsb(rng: random.Random, knobs: Knobs, want: int) -> GeneratedRow:
    """STS-B: five minus the weights of the parts that differ; `want` runs over 0..5 as a target."""
    names = list(STSB_WEIGHTS)
    picks = {
        "person": lx.NAMES,
        "verb": [v[2] for v in lx.TRANSITIVE],
        "object": list(lx.OBJECTS),
        "place": list(lx.PLACES),
        "colour": lx.COLOURS,
    }
    first = {n: rng.choice(picks[n]) for n in names}
    changed: list[str] = []
    for _ in range(50):
        changed = [n for n in names if rng.random() < 1 - want / 5]
        if abs(5 - sum(STSB_WEIGHTS[n] for n in changed) - want) <= 0.5:
            break
    second = {n: rng.choice([v for v in picks[n] if v != first[n]]) if n in changed else first[n] for n in names}
    past = {v[2]: v[3] for v in lx.TRANSITIVE}
    texts = []
    for parts, marks in ((first, []), (second, changed)):
        words = {
            n: lx.SYNONYMS[v] if v in lx.SYNONYMS and rng.random() < knobs.synonyms else v for n, v in parts.items()
        }
        passive = rng.random() < 0.3
        if passive:
            words["verb"] = past[parts["verb"]]
        words = {n: ("~" if n in marks else "") + v for n, v in words.items()}
        form = (
            "{a} {object} was {verb} by {person} in the {place}"
            if passive
            else "{person} {verb} {a} {object} in the {place}"
        )
        texts.append(w.sentence(form.format(a=w.article(words["colour"]), **words)))
    score = 5 - sum(STSB_WEIGHTS[n] for n in changed)
    return {
        "sentence1": texts[0],
        "sentence2": texts[1],
        "label": float(score),
        "derivation": {
            "rule": "five minus the weights of what differs",
            "first": first,
            "second": second,
            "changed": changed,
            "weights": STSB_WEIGHTS,
        },
    }


def qqp(rng: random.Random, knobs: Knobs, want: int) -> GeneratedRow:
    """QQP: two questions that ask the same thing (1) or not (0)."""
    fact = w.choose_fact(rng)
    other = fact
    wrong: tuple[str, ...] = ()
    open_question = rng.random() < 0.6
    if want == 0:
        slot = ""
        while not slot or (open_question and slot not in ("person", "receiver")):
            if open_question and rng.random() < 0.3:
                other = w.choose_fact(rng, rng.choice([r for r in w.RELATIONS if r != fact.relation]), fact.person)
                slot = "person"
            else:
                other, slot = w.change(rng, fact, [], 0.0)
        wrong = (slot,)
    if open_question:
        one, two = w.ask_open(rng, fact), w.ask_open(rng, other, wrong)
    else:
        one = w.sentence(w.ask_about(rng, fact, synonyms=knobs.synonyms), "?")
        two = w.sentence(w.ask_about(rng, other, wrong, knobs.synonyms), "?")
    return {
        "question1": one,
        "question2": two,
        "label": want,
        "derivation": why("same question" if want else "changed", [fact], other, wrong, fact),
    }


def qnli(rng: random.Random, knobs: Knobs, want: int) -> GeneratedRow:
    """QNLI: does the sentence hold the answer? Label 0 is entailment."""
    facts = w.choose_facts(rng, 2)
    asked = rng.choice(facts)
    wrong: tuple[str, ...] = ()
    base = asked
    while want == 1 and any((f.relation, f.person) == (asked.relation, asked.person) for f in facts):
        if rng.random() < 0.6:
            person = rng.choice(lx.NAMES)
            asked, wrong = replace(base, person=person), ("person",)
            if person in base.values:
                asked = base
        else:
            asked, wrong = w.choose_fact(rng, person=base.person), ("person",)
    clauses = [w.state(rng, f, synonyms=knobs.synonyms) for f in facts]
    return {
        "question": w.ask_open(rng, asked, wrong),
        "sentence": w.sentence(" and ".join(clauses)),
        "label": want,
        "derivation": why("answered" if want == 0 else "not answered", facts, asked, wrong, base),
    }


def boolq(rng: random.Random, knobs: Knobs, want: int) -> GeneratedRow:
    """BoolQ: a yes/no question about a passage; what the passage does not state is a no."""
    facts = facts_for(rng, knobs)
    rule = "stated"
    wrong: tuple[str, ...] = ()
    if want:
        claim, _, base = make_claim(rng, [f for f in facts if not f.negated], "entailment", knobs)
    else:
        negated = [f for f in facts if f.negated]
        if negated and rng.random() < 0.4:
            base = rng.choice(negated)
            claim, wrong, rule = replace(base, negated=False), tuple(base.slots()), "negated"
        else:
            rule, base = "not stated", rng.choice(facts)
            claim = base
            while w.holds(replace(claim, negated=False), facts) or claim.negated or not wrong:
                claim, slot = w.change(rng, replace(base, negated=False), facts, knobs.distractors)
                wrong = (slot,)
    return {
        "question": w.ask_about(rng, claim, wrong, knobs.synonyms),
        "passage": w.passage(rng, facts, knobs.synonyms),
        "label": bool(want),
        "derivation": why(rule, facts, claim, wrong, base),
    }


def cb(rng: random.Random, knobs: Knobs, want: int) -> GeneratedRow:
    """CB: what a speaker is committed to about an embedded clause."""
    fact, other = w.choose_facts(rng, 2)
    who = rng.choice([n for n in lx.NAMES if n not in (fact.person, *fact.values)])
    kind, claim = NLI[want], fact
    wrong: tuple[str, ...] = ()
    verb = rng.choice({"entailment": lx.FACTIVE, "neutral": lx.OPEN, "contradiction": lx.COUNTER}[kind])
    if kind == "contradiction":
        wrong = ("person",)
        if rng.random() < 0.5:
            verb, wrong = rng.choice(lx.FACTIVE), ("not",)
            claim = replace(fact, negated=True)
    premise = (
        w.sentence(w.state(rng, other))
        + " "
        + w.sentence(f"{who} {verb} {w.state(rng, fact, synonyms=knobs.synonyms)}")
    )
    return {
        "premise": premise,
        "hypothesis": w.sentence(w.state(rng, claim, wrong, knobs.synonyms)),
        "label": kind,
        "derivation": why(kind, [fact, other], claim, wrong, fact, verb=verb, speaker=who),
    }


def multirc(rng: random.Random, knobs: Knobs, want: int) -> GeneratedRow:
    """MultiRC: a passage with one or two questions, each with right and wrong answers."""
    facts = w.choose_facts(rng, max(3, knobs.facts))
    double = [f for f in facts if f.relation in ("likes", "ate")]
    if double:
        facts.append(w.change(rng, double[0], [], 0.0)[0])
        facts[-1] = replace(facts[-1], person=double[0].person)
        if facts[-1].values == double[0].values:
            facts.pop()
    questions, count, notes = [], 0, []
    for at, fact in enumerate(rng.sample(facts, 2)):
        right = {
            w.answer_to(f)
            for f in facts
            if f.relation == fact.relation
            and f.person == fact.person
            and (f.relation != "gave" or f.values[1] == fact.values[1])
        }
        wrong: set[str] = set()
        pool = [w.answer_to(f) for f in facts if f.relation == fact.relation and f.person != fact.person]
        while len(wrong) < 2:
            value = (
                rng.choice(pool)
                if pool and rng.random() < knobs.distractors
                else w.answer_to(w.choose_fact(rng, fact.relation))
            )
            if value not in right:
                wrong.add(value)
        answers = [(t, 1) for t in sorted(right)] + [(t, 0) for t in sorted(wrong)]
        rng.shuffle(answers)
        questions.append(
            {
                "question": w.ask_open(rng, fact),
                "idx": at,
                "answers": [{"text": t, "label": v, "idx": count + i} for i, (t, v) in enumerate(answers)],
            }
        )
        count += len(answers)
        notes.append(fact.record())
    rng.shuffle(facts)
    return {
        "passage": {"text": w.passage(rng, facts, 0.0), "questions": questions},
        "derivation": why("asked facts", facts, questions=notes),
    }


def record(rng: random.Random, knobs: Knobs, want: int) -> GeneratedRow:
    """ReCoRD: whose name stands at @placeholder? Entities are all mentions of names, the end offset inclusive."""
    while True:
        facts = w.choose_facts(rng, max(3, knobs.facts), 0.0, same=0.7)
        fact = rng.choice(facts)
        if (
            len({f.person for f in facts}) > 1
            and sum(f.relation == fact.relation and f.values == fact.values for f in facts) == 1
        ):
            break
    text = w.passage(rng, facts, knobs.synonyms)
    text += "\n@highlight\n" + w.sentence(w.state(rng, rng.choice([f for f in facts if f is not fact])))
    query = w.sentence(w.state(rng, fact, synonyms=knobs.synonyms)).replace(fact.person, "@placeholder")
    spans = [{"start": m.start(), "end": m.end() - 1} for m in NAME_PATTERN.finditer(text)]
    answers = [{**s, "text": fact.person} for s in spans if text[s["start"] : s["end"] + 1] == fact.person]
    return {
        "source": "microworld",
        "passage": {"text": text, "entities": spans},
        "qas": [{"query": query, "idx": 0, "answers": answers}],
        "derivation": why("who", facts, fact, (), fact),
    }
