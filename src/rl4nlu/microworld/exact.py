"""What a generated text says, read again from its words: the exact counterparts of what a judge guesses.

Every wording of a fact and of an opinion is a pattern here. A clause that no pattern fits says nothing; it counts among
what was said, so that chatter costs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from . import lexicon as lx
from . import world as w
from .arguments import fact_of
from .world import Fact

Exact = Callable[[Mapping[str, str], Mapping[str, Any], str], float]
"""(fields and derivation of a row, answer) -> a number from 0 to 1."""

NOT = "(?P<negated> not)?"
BETWEEN_FACTS = re.compile(r"[.?!\n]+|,? (?:and|but|while) ")
CONCESSIONS = (r"(?P<conceded>.+?),? (?:but|yet) (?P<main>.+)", r"(?P<main>.+?),? (?:although|even though) (?P<conceded>.+)")  # fmt: skip


def any_of(words: Iterable[str]) -> str:
    """A pattern that any of some words fits."""
    return "|".join(sorted(words, key=lambda word: (-len(word), word)))


def slot_pattern(slot: str, before: str = "") -> str:
    """The pattern of a slot's values and their synonyms."""
    values = [*w.VALUES[slot], *(lx.SYNONYMS[v] for v in w.VALUES[slot] if v in lx.SYNONYMS)]
    return f"{before}(?P<{slot}>{any_of(values)})"


def statement_pattern(relation: str, form: str) -> re.Pattern[str]:
    """The pattern of one of the wordings in `world.STATEMENTS`."""
    article = "an? "
    first = next((slot for slot in ("colour", "object", "job") if slot in w.SLOTS[relation]), "")
    slots = {slot: slot_pattern(slot, article if slot == first else "") for slot in ("person", *w.SLOTS[relation])}
    verbs = {name: f"(?:{yes}|(?P<negated>{no.replace('{not}', 'not ')}))" for name, (yes, no) in w.VERBS.items()}
    return re.compile(form.format(**slots, **verbs, **{"not": NOT}))


STATEMENT_PATTERNS = [(name, statement_pattern(name, form)) for name, forms in w.STATEMENTS.items() for form in forms]
GOOD = frozenset(lx.GOOD_ADJECTIVES + lx.GOOD_NOUNS + lx.GOOD_VERBS)
_SUBJECT = f"the (?:{any_of(lx.ASPECTS)})"
OPINIONS = [
    re.compile(pattern)
    for pattern in (
        f"i (?P<negated>never )?(?P<word>{any_of(lx.GOOD_VERBS + lx.BAD_VERBS)}) {_SUBJECT}",
        f"{_SUBJECT} is (?P<negated>not |hardly )?a (?P<word>{any_of(lx.GOOD_NOUNS + lx.BAD_NOUNS)})",
        f"{_SUBJECT} is (?:(?P<negated>{any_of(lx.NEGATORS)}) |(?:{any_of(lx.INTENSIFIERS)}) )?"
        f"(?P<word>{any_of(lx.GOOD_ADJECTIVES + lx.BAD_ADJECTIVES)})",
    )
]


def without_capital(clause: str) -> str:
    """A clause as it stands within a sentence: names keep their capital."""
    return clause if clause.split(" ")[0] in lx.NAMES else clause[:1].lower() + clause[1:]


def read_fact(clause: str) -> Fact | None:
    """The fact that a clause states, synonyms as their first words; None where it states none."""
    for relation, pattern in STATEMENT_PATTERNS:
        if found := pattern.fullmatch(clause):
            said = found.groupdict()
            values = tuple(lx.CANONICAL.get(said[slot], said[slot]) for slot in w.SLOTS[relation])
            return Fact(relation, said["person"], values, said.get("negated") is not None)
    return None


def read_facts(text: str) -> list[Fact | None]:
    """What each clause of a text states, repetitions kept."""
    clauses = [clause.strip() for clause in BETWEEN_FACTS.split(text)]
    return [read_fact(without_capital(clause)) for clause in clauses if clause]


def read_opinion(clause: str) -> bool | None:
    """Whether a clause praises; None where it gives no opinion."""
    for pattern in OPINIONS:
        if found := pattern.fullmatch(clause):
            return (found["word"] in GOOD) != (found["negated"] is not None)
    return None


def read_verdict(sentence: str) -> bool | None:
    """Whether the main clause of a sentence of a review praises; None where a clause of it gives no opinion."""
    sentence = without_capital(sentence)
    for form in CONCESSIONS:
        if found := re.fullmatch(form, sentence):
            opinions = [read_opinion(found[part]) for part in ("main", "conceded")]
            return None if None in opinions else opinions[0]
    return read_opinion(sentence)


def score_facts(fields: Mapping[str, str], derivation: Mapping[str, Any], text: str) -> float:
    """F1 of the facts that an answer states against those that it should: `derivation["wanted"]`."""
    wanted = {fact_of(record) for record in derivation["wanted"]}
    said = read_facts(text)
    return 2 * len(wanted & set(said)) / (len(wanted) + len(said))


def score_polarity(fields: Mapping[str, str], derivation: Mapping[str, Any], text: str) -> float:
    """Share of the sentences of a continuation that praise; the one that `fields["text"]` begins is one of them."""
    begun = fields["text"].rpartition(".")[2]
    sentences = [sentence.strip() for sentence in f"{begun} {text}".split(".") if sentence.strip()]
    return sum(read_verdict(sentence) is True for sentence in sentences) / max(1, len(sentences))


EXACT: dict[str, Exact] = {"polarity": score_polarity, "facts": score_facts}
"""Metric -> what computes it of one answer."""
