"""Claims about stated facts: how a claim stands to them, one that stands as wanted, and the record of why a label holds."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any

from . import world as w
from .world import Fact

GeneratedRow = dict[str, Any]
NLI = ("entailment", "neutral", "contradiction")


@dataclass(frozen=True)
class Knobs:
    """How hard the tasks are. The defaults leave headroom for a model of half a million parameters."""

    label_noise: float = 0.0  # share of rows whose label is replaced by another one (recorded as noisy)
    facts: int = 3  # most facts in a passage (at least two)
    distractors: float = 0.4  # how often a wrong value is one that another fact states
    negation: float = 0.15  # how often a fact is negated
    clauses: int = 3  # most clauses in a review or a judged sentence
    synonyms: float = 0.3  # how often a word with a synonym is replaced by it

    def __post_init__(self) -> None:
        for name in ("label_noise", "distractors", "negation", "synonyms"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"knob {name} is {getattr(self, name)}; it must lie between 0 and 1")
        if not 2 <= self.facts <= 6 or not 1 <= self.clauses <= 3:
            raise ValueError(f"knobs facts={self.facts}, clauses={self.clauses}; allowed are 2..6 and 1..3")


def relation_of(claim: Fact, facts: list[Fact]) -> str:
    """Entailment, contradiction or neutral: how a claim stands to the stated facts."""
    if w.holds(claim, facts):
        return "entailment"
    for fact in facts:
        if (fact.relation, fact.person) != (claim.relation, claim.person):
            continue
        same = fact.values == claim.values
        if same and fact.negated != claim.negated:
            return "contradiction"
        if claim.relation in w.EXCLUSIVE and not same and not fact.negated:
            return "entailment" if claim.negated else "contradiction"
    return "neutral"


def make_claim(rng: random.Random, facts: list[Fact], want: str, knobs: Knobs) -> tuple[Fact, tuple[str, ...], Fact]:
    """A claim that stands to the facts as wanted, the slots it gets wrong, and the fact it was made from."""
    for _ in range(500):
        base = rng.choice(facts)
        if want == "entailment":
            claim = base
            if base.relation == "has" and not base.negated and rng.random() < 0.25:
                claim = replace(base, values=("", base.values[1]))
            return claim, (), base
        if want == "contradiction" and (base.relation not in w.EXCLUSIVE or rng.random() < 0.3):
            claim, wrong = (
                replace(base, negated=not base.negated),
                ("not",) if not base.negated else tuple(base.slots()),
            )
        elif want == "neutral" and rng.random() < 0.2:
            claim = w.choose_fact(rng, person=base.person)
            wrong = w.SLOTS[claim.relation]
        else:
            claim, slot = w.change(rng, base, facts, knobs.distractors)
            wrong = (slot,)
        if relation_of(claim, facts) == want:
            return claim, wrong, base
    raise RuntimeError(f"no claim with relation {want!r} found for {facts}")


def facts_for(rng: random.Random, knobs: Knobs, negation: float | None = None) -> list[Fact]:
    """Two or more facts, at least one of them not negated."""
    while True:
        found = w.choose_facts(rng, rng.randint(2, knobs.facts), knobs.negation if negation is None else negation)
        if not all(f.negated for f in found):
            return found


def why(
    rule: str,
    facts: list[Fact],
    claim: Fact | None = None,
    wrong: tuple[str, ...] = (),
    base: Fact | None = None,
    **more: Any,
) -> dict[str, Any]:
    """The derivation of a label as plain data."""
    out: dict[str, Any] = {"rule": rule, "facts": [f.record() for f in facts]}
    if claim:
        out["claim"] = claim.record()
    if base:
        out["evidence"] = base.record()
    return {**out, "changed": list(wrong), **more}
