"""One row of each task of paper 3, whose answers are texts: reviews to go on with, words to write of, posts to sum up.

What a text says is worked out from its words again by `exact`, so that a judge that is fooled shows.
"""

from __future__ import annotations

import itertools
import random

from . import lexicon as lx
from . import world as w
from .claims import GeneratedRow, Knobs, why
from .opinion_tasks import review
from .world import Fact

MOST_REFERENCES = 6
"""References of a set of words; a fact has two or three wordings, and two facts have two orders."""

MOST_SUMMARISED = 2
"""Facts that a summary holds at most."""


def imdb(rng: random.Random, knobs: Knobs, want: int) -> GeneratedRow:
    """IMDB: a review as MovieReviews has them, always of the most sentences, so that a half of it says something."""
    return review(rng, knobs, want, knobs.clauses + 1)


def commongen(rng: random.Random, knobs: Knobs, want: int) -> GeneratedRow:
    """CommonGen: the content words of two facts; a reference states both, in any order and any wordings.

    Words of one fact stand together, so that it can be read which value belongs to which person; in which order is the
    facts' own, so that they never make two lists of words. `gave` is left out, for of two people nothing says who gave.
    """
    facts = [Fact("gave", "", ())]
    while any(fact.relation == "gave" for fact in facts):
        facts = sorted(w.choose_facts(rng, 2), key=repr)
    order = random.Random(repr(facts))
    words = [order.sample(parts, len(parts)) for parts in ([*fact.slots().values()] for fact in order.sample(facts, 2))]
    forms = (range(len(w.STATEMENTS[fact.relation])) for fact in facts)
    wordings = [
        [w.state(rng, fact, synonyms=0.0, form=form) for fact, form in zip(facts, chosen, strict=True)]
        for chosen in itertools.product(*forms)
    ]
    texts = [w.sentence(f"{one} and {other}") for pair in wordings for one, other in (pair, pair[::-1])]
    return {
        "concepts": list(dict.fromkeys(itertools.chain(*words))),
        "label": rng.sample(texts, min(MOST_REFERENCES, len(texts))),
        "derivation": why("all facts", facts, wanted=[fact.record() for fact in facts]),
    }


def tldr(rng: random.Random, knobs: Knobs, want: int) -> GeneratedRow:
    """TL;DR: a passage on several people that asks about one of them; the summary states the facts of that one.

    Wordings and synonyms of the passage vary, the summary's do not.
    """
    named: list[str] = []
    while not named:
        facts = w.choose_facts(rng, max(3, knobs.facts), knobs.negation)
        named = [name for name in lx.NAMES if 0 < len(facts_of(name, facts)) <= MOST_SUMMARISED]
    name = rng.choice(named)
    wanted = facts_of(name, facts)
    return {
        "prompt": f"{w.passage(rng, facts, knobs.synonyms)} What about {name}?\nTL;DR:",
        "label": summary(rng, name, wanted),
        "derivation": why("facts of one", facts, wanted=[fact.record() for fact in wanted], name=name),
    }


def facts_of(name: str, facts: list[Fact]) -> list[Fact]:
    """The facts that name somebody, in their order."""
    return [fact for fact in facts if name in (fact.person, *fact.values)]


def summary(rng: random.Random, name: str, facts: list[Fact]) -> str:
    """A sentence a fact, each in the wording that begins with the name."""
    return " ".join(w.sentence(w.state(rng, fact, synonyms=0.0, form=int(fact.person != name))) for fact in facts)
