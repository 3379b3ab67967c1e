"""Arguments from why a row's label holds: for the label, and plausible ones for a wrong label.

An argument for the right label quotes what decides. One for a wrong label quotes what does not decide (a conceded clause,
another fact), values rightly quoted words wrongly, or quotes what the row does not say; half of the time it does the last.
An ungrounded rationale always quotes what the row does not say, whatever the label.
A row with label noise is argued for as printed: its printed label gets the argument of a wrong one.
All words are in the world's vocabulary (tested), most of them in its own sentences.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from . import lexicon as lx
from . import opinion_tasks as ot
from . import world as w
from .claims import Knobs
from .fact_tasks import STSB_WEIGHTS
from .word_tasks import opinion
from .world import Fact

Derivation = dict[str, Any]
Argue = Callable[[random.Random, Derivation, dict[str, str], Any, Any, bool], str]
"""(chance, derivation, fields, right label, label to argue for, grounded) -> text; labels are the generator's own."""

MISQUOTED = 0.5
"""Share of the arguments for a wrong label that quote what the row does not say."""

KNOBS = Knobs()


def invented(make: Callable[[], str], fields: dict[str, str]) -> str:
    """A clause that `make` gives and that no field holds."""
    said = " ".join(fields.values()).lower()
    return next(clause for _ in range(1000) if (clause := make()).lower() not in said)


# Facts ------------------------------------------------------------------------------------------------------------


def fact_of(record: dict[str, Any]) -> Fact:
    """The fact that a derivation holds as plain data."""
    slots = w.SLOTS[record["relation"]]
    return Fact(record["relation"], record["person"], tuple(record[s] for s in slots), record["negated"])


def says(fact: Fact, rng: random.Random) -> str:
    """The fact as a clause, in one of its wordings."""
    return w.state(rng, fact, synonyms=0.0)


def other_fact(rng: random.Random, fact: Fact, facts: list[Fact]) -> Fact:
    """A fact that differs from `fact` in one part and is none of `facts`."""
    for _ in range(100):
        changed = w.change(rng, fact, facts, 0.5)[0]
        if not w.holds(changed, facts) and changed.values[0]:
            return changed
    return w.choose_fact(rng)


def unrelated(rng: random.Random, facts: list[Fact]) -> Fact:
    """A fact about other people, which none of `facts` states."""
    people = [n for n in lx.NAMES if n not in {f.person for f in facts}]
    return w.choose_fact(rng, person=rng.choice(people))


def inference(rng: random.Random, d: Derivation, f: dict[str, str], right: Any, label: Any, grounded: bool) -> str:
    """MNLI and RTE: what the first text says of the claim."""
    first, second = ("the first", "the second")
    facts, claim, base = [fact_of(r) for r in d["facts"]], fact_of(d["claim"]), fact_of(d["evidence"])
    rest = [fact for fact in facts if fact != base] or [base]
    claimed = says(claim, rng)
    if not grounded:
        facts = [unrelated(rng, facts)]
        claim = facts[0] if label == "entailment" else other_fact(rng, facts[0], facts)
        base, claimed, rest = facts[0], says(claim, rng), facts
    elif right != label:
        misquoted = rng.random() < MISQUOTED
        if label == "entailment" and misquoted:
            base = claim
        elif label == "contradiction" and (misquoted or right == "entailment"):
            base = other_fact(rng, claim, [*facts, claim])
        elif label == "neutral":
            base = rng.choice(rest)
    elif label == "neutral":
        same = [fact for fact in facts if fact.person == claim.person or fact.relation == claim.relation]
        base = base if base in same else rng.choice(same or facts)
    if label == "entailment":
        return f"It is said in {first} that {says(base, rng)}, so {second} follows."
    if label == "contradiction":
        return f"It is said in {first} that {says(base, rng)}, but in {second} that {claimed}."
    return f"It is not said in {first} that {claimed}, only that {says(base, rng)}."


def two_way(rng: random.Random, d: Derivation, f: dict[str, str], right: Any, label: Any, grounded: bool) -> str:
    """RTE: as MNLI, where no entailment is neutral or a contradiction (as the row is, if it is none)."""
    relation = d["rule"]
    if label == 0:
        wanted = "entailment"
    else:
        wanted = relation if relation != "entailment" else rng.choice(("neutral", "contradiction"))
    return inference(rng, d, f, relation, wanted, grounded)


def paraphrase(rng: random.Random, d: Derivation, f: dict[str, str], right: Any, label: Any, grounded: bool) -> str:
    """MRPC: what both say, or what one of them says otherwise."""
    facts, again = ([fact_of(r) for r in d[key]] for key in ("facts", "second"))
    if not grounded:
        one = unrelated(rng, facts)
        facts, again = [one], [one] if label == 1 else [other_fact(rng, one, [one])]
    same = [fact for fact in facts if fact in again]
    apart = next(((a, b) for a in facts if a not in again for b in again if b not in facts), None)
    if label == 1:
        quoted = same if right == 0 and grounded else facts[:2]
        if right == 0 and grounded and apart and rng.random() < MISQUOTED:
            quoted = [rng.choice(apart)]
        return (
            f"It is said in the first and in the second that {' and that '.join(says(fact, rng) for fact in quoted)}."
        )
    one = rng.choice(facts)
    first, second = apart or (one, other_fact(rng, one, facts))
    return f"It is said in the first that {says(first, rng)}, but in the second that {says(second, rng)}."


def same_question(rng: random.Random, d: Derivation, f: dict[str, str], right: Any, label: Any, grounded: bool) -> str:
    """QQP: what the two questions ask about, named by the person and by what is asked or claimed."""
    asked, other = fact_of(d["evidence"]), fact_of(d["claim"])
    polar = f["question1"].lower().startswith(("does", "did", "is", "was"))

    def named(fact: Fact) -> str:
        return f"if {says(fact, rng)}" if polar else ABOUT[fact.relation].format(**fact.slots())

    if not grounded:
        asked = unrelated(rng, [asked, other])
        other = asked
    if label == 1:
        return f"The first and the second ask {named(rng.choice((asked, other)) if right != label else asked)}."
    while right != label or not grounded:
        other = w.change(rng, asked, [], 0.0)[0]
        if polar or named(other) != named(asked):
            break
    return f"The first asks {named(asked)}, but the second asks {named(other)}."


ABOUT = {
    "has": "what {person} has", "lives": "where {person} lives", "job": "what the job of {person} is",
    "likes": "what {person} likes", "ate": "what {person} ate", "gave": "what {person} gave to {receiver}",
}  # fmt: skip


def yes_no(rng: random.Random, d: Derivation, f: dict[str, str], right: Any, label: Any, grounded: bool) -> str:
    """BoolQ: whether the passage states what is asked."""
    facts, claim, base = [fact_of(r) for r in d["facts"]], fact_of(d["claim"]), fact_of(d["evidence"])
    if not grounded:
        base = unrelated(rng, facts)
        claim = base if label else other_fact(rng, base, [base])
    elif label and not right and rng.random() < MISQUOTED:
        base = claim
    elif not label and right:
        base = (
            other_fact(rng, claim, [*facts, claim])
            if rng.random() < MISQUOTED
            else rng.choice([x for x in facts if x != base] or facts)
        )
    if label:
        return f"The passage says that {says(base, rng)}."
    return f"The passage does not say that {says(claim, rng)}. It says that {says(base, rng)}."


# Similarity -------------------------------------------------------------------------------------------------------


def similarity(rng: random.Random, d: Derivation, f: dict[str, str], right: Any, label: Any, grounded: bool) -> str:
    """STS-B in classes: which parts differ, with what they are in the two sentences; a wrong class has other parts."""
    parts, changed = list(STSB_WEIGHTS), list(d["changed"])
    if str(label) != str(right) or not grounded:
        sets = [[p for i, p in enumerate(parts) if number >> i & 1] for number in range(2 ** len(parts))]
        fitting = [s for s in sets if similarity_class(s) == str(label) and s != changed] or [changed]
        least = min(len(set(s) ^ set(changed)) for s in fitting)
        changed = rng.choice([s for s in fitting if not grounded or len(set(s) ^ set(changed)) == least])
    same = [part for part in parts if part not in changed]
    if not changed:
        return f"The same are {listed(same)}, and no word differs in meaning."
    if not same:
        return f"Different are {listed(changed)}, and nothing is the same."
    return f"Different {'are' if len(changed) > 1 else 'is'} {listed(changed)}, and the same {'are' if len(same) > 1 else 'is'} {listed(same)}."


def similarity_class(changed: Sequence[str]) -> str:
    """The class of a pair in which these parts differ: the score, rounded, a half upwards."""
    return str(int(5 - sum(STSB_WEIGHTS[part] for part in changed) + 0.5))


def listed(words: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


# Opinions ---------------------------------------------------------------------------------------------------------


def valued(clauses: Sequence[str], good: bool) -> str:
    """Quoted clauses of a review, and what they are said to amount to."""
    return f"The review says that {' and that '.join(clauses)}, which is {'good' if good else 'bad'}."


def sentiment(rng: random.Random, d: Derivation, f: dict[str, str], right: Any, label: Any, grounded: bool) -> str:
    """SST-2: the main clause; for a wrong label the other clause, the main one wrongly valued, or an invented one."""
    good, main = bool(label), d["main"]
    other = invented(lambda: opinion(rng, good, KNOBS, False), f)
    quoted = main if right == label else other
    if right != label and rng.random() >= MISQUOTED:
        quoted = conceded(f["sentence"], main) or main
    if not grounded:
        quoted = other
    quoted = f"it is {quoted}" if quoted.startswith(("a ", "an ")) else quoted
    return valued([quoted], good)


def conceded(sentence: str, main: str) -> str:
    """What a review says besides its main clause, without the conjunction."""
    rest = (
        sentence.replace(main, " ")
        .replace("even though", " ")
        .replace("although", " ")
        .replace(", but", " ")
        .replace(", yet", " ")
    )
    words = rest.strip(" ,.").split()
    words = words[1:] if words[:1] == ["and"] else words[:-1] if words[-1:] == ["and"] else words
    return " ".join(words)


def film(rng: random.Random, d: Derivation, f: dict[str, str], right: Any, label: Any, grounded: bool) -> str:
    """Movie reviews: the sentence on the film as a whole, else two of its parts; for a wrong label what does not decide."""
    good = bool(label)
    if not grounded:
        return valued([invented(lambda: opinion(rng, good, KNOBS, False), f)], good)
    said, whole = d["said"], d["verdict"]
    if right == label:
        quoted = [whole["text"]] if whole else [s["text"] for s in said if s["good"] == good][:2]
        return valued(quoted, good)
    if rng.random() < MISQUOTED:
        quoted = [invented(lambda: opinion(rng, good, KNOBS, False, rng.choice((ot.WHOLE, ot.PARTS))), f)]
    else:
        against = [s["text"] for s in said if s["good"] == good] + [
            s["conceded"] for s in said if s["good"] != good and "conceded" in s
        ]
        quoted = [rng.choice(against or [s["text"] for s in said])]
    return valued(quoted, good)


def topic(rng: random.Random, d: Derivation, f: dict[str, str], right: Any, label: Any, grounded: bool) -> str:
    """AG News: a sentence of the topic; for a wrong label one of another topic, or an invented one."""
    wanted = ot.TOPICS[int(label)]
    fitting = [e["text"] for e in d["events"] if e["topic"] == wanted]
    quoted = rng.choice(fitting or [e["text"] for e in d["events"]])
    if not grounded or (right != label and not (fitting and rng.random() < 0.5) and rng.random() < MISQUOTED):
        quoted = invented(lambda: ot.event(rng, wanted), f)
    return f"The text says that {quoted}, which is {wanted} news."


POINTS = {2: "very good", 1: "good", 0: "as good as bad", -1: "bad", -2: "very bad"}


def stars(rng: random.Random, d: Derivation, f: dict[str, str], right: Any, label: Any, grounded: bool) -> str:
    """App reviews: the remarks and what their points come to; for a wrong label some of them, or invented ones."""
    points = int(label) - 3
    remarks = [(r["text"], r["points"]) for r in d["remarks"]]
    if not grounded or (right != label and rng.random() < MISQUOTED):
        parts = rng.sample(ot.APP_PARTS, 2)
        worth = [points] if points else [1, -1]
        quoted = [
            invented(lambda p=p, part=part: ot.remark(rng, p, part, 0.1), f)  # type: ignore[misc]
            for p, part in zip(worth, parts, strict=False)
        ]
    elif right == label:
        quoted = [text for text, _ in remarks]
    else:
        fitting = [text for text, p in remarks if p * points > 0] or [text for text, _ in remarks]
        quoted = [rng.choice(fitting)]
    return f"It says that {' and that '.join(quoted)}, which is {POINTS[points]}."


# Words ------------------------------------------------------------------------------------------------------------


def argue_grammar(rng: random.Random, d: Derivation, f: dict[str, str], right: Any, label: Any, grounded: bool) -> str:
    """CoLA: the word that breaks a rule, or that none does."""
    if label == 1:
        return "Every word here fits."
    words = [word.strip(".,?") for word in f["sentence"].split()]
    broken = [word for word in d["changed"] if word]
    if not grounded:
        named = rng.choice([one for one, _ in lx.NOUNS if one not in words])
    else:
        named = broken[0] if right == 0 and broken else rng.choice(words[1:] or words)
    return f"The word {named if named in lx.NAMES else named.lower()} does not fit here."


def sense(rng: random.Random, d: Derivation, f: dict[str, str], right: Any, label: Any, grounded: bool) -> str:
    """WiC: a sentence that uses the word in the sense of the first, and whether the second does so."""
    word = f["word"]
    at = d["senses"][0]
    if not grounded:
        word = rng.choice([other for other in lx.SENSES if other != word])
        at = rng.randrange(2)
    shown = rng.choice(lx.SENSES[word][at]).format(P=rng.choice(lx.NAMES), C=rng.choice(lx.COLOURS)).strip(".")
    how = "also" if label else "not"
    return f"The first {word} is as in {shown}. The second is {how} as in it."


def cause(rng: random.Random, d: Derivation, f: dict[str, str], right: Any, label: Any, grounded: bool) -> str:
    """COPA: the chosen option as the cause or the effect of the premise."""
    chosen = f["choice1"] if label == 0 else f["choice2"]
    if not grounded:
        chosen = rng.choice(lx.CAUSES)[0].format(P=rng.choice(lx.NAMES), O="box", C="red")
    premise = f["premise"]
    effect, reason = (premise, chosen) if f["question"] == "cause" else (chosen, premise)
    return f"{effect.rstrip('.')} because {inside(reason)}."


def inside(sentence: str) -> str:
    """A sentence as a clause inside another one."""
    text = sentence.rstrip(".")
    return text if text.split()[0] in lx.NAMES else text[0].lower() + text[1:]


ARGUE: dict[str, Argue] = {
    "mnli": inference,
    "rte": two_way,
    "mrpc": paraphrase,
    "qqp": same_question,
    "boolq": yes_no,
    "stsb": similarity,
    "sst2": sentiment,
    "movie-reviews": film,
    "ag-news": topic,
    "app-reviews": stars,
    "cola": argue_grammar,
    "wic": sense,
    "copa": cause,
}
"""The generators whose derivations suffice for an argument."""
