"""Facts of the microworld and their many wordings: statements, questions, changed copies and short passages.

A word that a claim gets wrong is marked by a tilde in front (`~green`). Marks feed the auxiliary loss of pretraining and the
derivations; `unmark` removes them before a row leaves the package.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from . import lexicon as lx

SLOTS = {
    "has": ("colour", "object"),
    "lives": ("place",),
    "job": ("job",),
    "likes": ("animal",),
    "ate": ("food",),
    "gave": ("object", "receiver"),
}
RELATIONS = tuple(SLOTS)
# a person has one home and one job, so another value contradicts; the other relations leave room for more
EXCLUSIVE = ("lives", "job")
VALUES = {
    "colour": lx.COLOURS,
    "object": tuple(lx.OBJECTS),
    "place": tuple(lx.PLACES),
    "job": tuple(lx.JOBS),
    "animal": tuple(lx.ANIMALS),
    "food": tuple(lx.FOODS),
    "receiver": lx.NAMES,
    "person": lx.NAMES,
}
# wordings; {not} and the verbs take the negation, if any
STATEMENTS = {
    "has": (
        "{person} {has} {colour} {object}",
        "{person} {owns} {colour} {object}",
        "{colour} {object} {belongs} to {person}",
    ),
    "lives": ("{person} {lives} in the {place}", "the home of {person} is{not} in the {place}"),
    "job": ("{person} is{not} {job}", "{person} {works} as {job}"),
    "likes": ("{person} {likes} {animal}", "{person} is{not} fond of {animal}"),
    "ate": ("{person} {ate} the {food}", "the {food} was{not} eaten by {person}"),
    "gave": ("{person} {gave} {object} to {receiver}", "{receiver} {got} {object} from {person}"),
}
POLAR_QUESTIONS = {
    "has": (
        "does {person} have {colour} {object}",
        "does {person} own {colour} {object}",
        "does {colour} {object} belong to {person}",
    ),
    "lives": ("does {person} live in the {place}", "is the home of {person} in the {place}"),
    "job": ("is {person} {job}", "does {person} work as {job}"),
    "likes": ("does {person} like {animal}", "is {person} fond of {animal}"),
    "ate": ("did {person} eat the {food}", "was the {food} eaten by {person}"),
    "gave": ("did {person} give {object} to {receiver}", "did {receiver} get {object} from {person}"),
}
OPEN_QUESTIONS = {
    "has": ("What does {person} have?", "What does {person} own?", "Which thing belongs to {person}?"),
    "lives": ("Where does {person} live?", "In which place is the home of {person}?"),
    "job": ("What is the job of {person}?", "What does {person} work as?"),
    "likes": ("What does {person} like?", "What is {person} fond of?"),
    "ate": ("What did {person} eat?", "What was eaten by {person}?"),
    "gave": ("What did {person} give to {receiver}?", "What did {receiver} get from {person}?"),
}
# verb -> (plain, negated)
VERBS = {
    "has": ("has", "does {not}have"),
    "owns": ("owns", "does {not}own"),
    "belongs": ("belongs", "does {not}belong"),
    "lives": ("lives", "does {not}live"),
    "works": ("works", "does {not}work"),
    "likes": ("likes", "does {not}like"),
    "ate": ("ate", "did {not}eat"),
    "gave": ("gave", "did {not}give"),
    "got": ("got", "did {not}get"),
}


@dataclass(frozen=True)
class Fact:
    """One thing that holds (or, negated, does not hold) of a person."""

    relation: str
    person: str
    values: tuple[str, ...]
    negated: bool = False

    def slots(self) -> dict[str, str]:
        """The named parts of the fact, the person included."""
        return {"person": self.person, **dict(zip(SLOTS[self.relation], self.values, strict=True))}

    def record(self) -> dict[str, object]:
        """The fact as plain data for a derivation."""
        return {"relation": self.relation, "negated": self.negated, **self.slots()}


def unmark(text: str) -> str:
    """The text as a reader sees it, without mismatch marks."""
    return text.replace("~", "")


def marked_words(text: str) -> list[str]:
    """The words of a marked text that carry a mismatch mark."""
    return [w.strip("~.,?") for w in text.split() if w.startswith("~")]


def article(word: str) -> str:
    """`a` or `an` in front of a (possibly marked) word."""
    return f"{'an' if unmark(word)[:1] in 'aeiou' else 'a'} {word}"


def sentence(text: str, end: str = ".") -> str:
    """A clause with a capital at its start and a full stop at its end."""
    at = 1 if text.startswith("~") else 0
    return text[:at] + text[at : at + 1].upper() + text[at + 1 :] + end


def choose_fact(rng: random.Random, relation: str | None = None, person: str | None = None) -> Fact:
    """A random fact, of the given relation and person if any."""
    relation = relation or rng.choice(RELATIONS)
    person = person or rng.choice(lx.NAMES)
    values = [rng.choice(VALUES[slot]) for slot in SLOTS[relation]]
    while relation == "gave" and values[1] == person:
        values[1] = rng.choice(lx.NAMES)
    return Fact(relation, person, tuple(values))


def choose_facts(rng: random.Random, count: int, negation: float = 0.0, same: float = 0.5) -> list[Fact]:
    """Several facts, no two about the same relation of the same person; `same` is how often a fact repeats an earlier relation."""
    found: list[Fact] = []
    people = rng.sample(lx.NAMES, max(2, (count + 2) // 2))
    while len(found) < count:
        relation = rng.choice(found).relation if found and rng.random() < same else None
        fact = choose_fact(rng, relation, rng.choice(people))
        if any((f.relation, f.person) == (fact.relation, fact.person) for f in found):
            continue
        if any(f.relation == fact.relation and f.values == fact.values for f in found):
            continue
        found.append(replace(fact, negated=rng.random() < negation))
    return found


def change(rng: random.Random, fact: Fact, others: list[Fact], distractors: float = 0.5) -> tuple[Fact, str]:
    """A copy with one slot changed, the new value from another fact with probability `distractors`; and that slot's name."""
    names = ["person", *SLOTS[fact.relation]]
    slot = rng.choice(names)
    if fact.relation in ("lives", "job", "likes", "ate") and slot == "person" and rng.random() < 0.5:
        slot = SLOTS[fact.relation][0]
    old = fact.slots()[slot]
    pool = [f.slots()[slot] for f in others if f.slots().get(slot, old) != old and f.relation == fact.relation]
    new = rng.choice(pool) if pool and rng.random() < distractors else rng.choice(VALUES[slot])
    while new == old or new in (fact.person, *fact.values):
        new = rng.choice(VALUES[slot])
    if slot == "person":
        return replace(fact, person=new), slot
    values = tuple(new if s == slot else v for s, v in zip(SLOTS[fact.relation], fact.values, strict=True))
    return replace(fact, values=values), slot


def holds(claim: Fact, facts: list[Fact]) -> bool:
    """Whether a claim is among the facts (a colour left out of the claim matches any colour)."""
    for fact in facts:
        if (fact.relation, fact.person, fact.negated) != (claim.relation, claim.person, claim.negated):
            continue
        if all(c in ("", f) for c, f in zip(claim.values, fact.values, strict=True)):
            return True
    return False


def fill(rng: random.Random, form: str, fact: Fact, wrong: tuple[str, ...] = (), synonyms: float = 0.4) -> str:
    """A wording filled with a fact's slots; the slots named in `wrong` are marked."""
    words = {}
    for slot, value in fact.slots().items():
        if value in lx.SYNONYMS and rng.random() < synonyms:
            value = lx.SYNONYMS[value]
        words[slot] = ("~" if slot in wrong and value else "") + value
    if "colour" in words:
        words["colour"] = article(words["colour"]) if words["colour"] else article(words["object"]).split()[0]
    elif "object" in words:
        words["object"] = article(words["object"])
    if "job" in words:
        words["job"] = article(words["job"])
    no = ("~" if "not" in wrong else "") + "not"
    verbs = {v: forms[1].replace("{not}", no + " ") if fact.negated else forms[0] for v, forms in VERBS.items()}
    return form.format(**words, **verbs, **{"not": f" {no}" if fact.negated else ""})


def state(
    rng: random.Random, fact: Fact, wrong: tuple[str, ...] = (), synonyms: float = 0.4, form: int | None = None
) -> str:
    """A clause (no capital, no full stop) that says the fact."""
    forms = STATEMENTS[fact.relation]
    return fill(rng, rng.choice(forms) if form is None else forms[form % len(forms)], fact, wrong, synonyms)


def ask_about(rng: random.Random, fact: Fact, wrong: tuple[str, ...] = (), synonyms: float = 0.4) -> str:
    """A yes/no question about the fact, in lower case and without a question mark."""
    return fill(rng, rng.choice(POLAR_QUESTIONS[fact.relation]), replace(fact, negated=False), wrong, synonyms)


def ask_open(rng: random.Random, fact: Fact, wrong: tuple[str, ...] = ()) -> str:
    """A wh-question whose answer is the fact's value."""
    return fill(rng, rng.choice(OPEN_QUESTIONS[fact.relation]), fact, wrong, 0.0)


def answer_to(fact: Fact) -> str:
    """The short answer to `ask_open`."""
    slots = fact.slots()
    if fact.relation == "has":
        return article(slots["colour"]) + " " + slots["object"]
    if fact.relation == "gave":
        return article(slots["object"])
    value = fact.values[0]
    return article(value) if fact.relation == "job" else f"the {value}" if fact.relation in ("lives", "ate") else value


def passage(rng: random.Random, facts: list[Fact], synonyms: float = 0.4) -> str:
    """Several facts as short sentences, some joined by a conjunction."""
    text, at = [], 0
    while at < len(facts):
        clause = state(rng, facts[at], synonyms=synonyms)
        if at + 1 < len(facts) and rng.random() < 0.3:
            clause += rng.choice((" and ", ", but ", " while ")) + state(rng, facts[at + 1], synonyms=synonyms)
            at += 1
        text.append(sentence(clause))
        at += 1
    return " ".join(text)
