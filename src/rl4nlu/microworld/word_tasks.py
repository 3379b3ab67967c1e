"""One row of each task that rests on words rather than facts: CoLA, SST-2, WiC, COPA, WNLI, WSC and AX-g."""

from __future__ import annotations

import random
import re
from typing import Any

from . import lexicon as lx
from . import world as w
from .claims import GeneratedRow, Knobs


# ---- CoLA ----------------------------------------------------------------------------------------------------
def _noun_phrase(rng: random.Random, things: bool = False) -> tuple[str, bool]:
    """A noun phrase and whether it is plural."""
    one, many = rng.choice(lx.THINGS if things else lx.NOUNS)
    plural = rng.random() < 0.5
    adjective = rng.choice(lx.COLOURS) + " " if things and rng.random() < 0.4 else ""
    if plural:
        return f"{rng.choice(('the', 'two', 'some'))} {adjective}{many}", True
    return f"{rng.choice(('the', 'a', 'every'))} {adjective}{one}", False


def _clause(rng: random.Random, wrong: str) -> str | None:
    """A clause that is well formed or, with `wrong`, breaks that one rule; None if the rule does not apply to the form drawn."""
    kind = rng.choice(("agree", "agree", "perfect", "future", "passive", "there", "reflexive", "question", "copula"))
    subject, plural = _noun_phrase(rng)
    near = f" near {_noun_phrase(rng, True)[0]}" if rng.random() < 0.4 else ""
    transitive = rng.random() < 0.6
    verb = rng.choice(lx.TRANSITIVE if transitive else lx.INTRANSITIVE)
    target = " " + _noun_phrase(rng, True)[0] if transitive else ""
    if wrong == "valency" and kind in ("agree", "perfect", "future"):
        target = "" if transitive else " ~" + _noun_phrase(rng, True)[0]
    elif wrong == "valency":
        return None
    if wrong == "determiner":
        if subject.split()[0] in ("the", "some"):
            subject = f"the ~a {subject.split(' ', 1)[1]}"
        else:
            one, many = rng.choice(lx.NOUNS)
            subject = rng.choice((f"a ~{many}", f"every ~{many}", f"two ~{one}"))
    if wrong == "order":
        first, last = subject.split()[0], subject.split()[-1]
        subject = f"~{last} {first}"
    bad = "~" if wrong in ("agreement", "form") else ""
    if kind == "agree":
        if wrong == "form":
            return None
        form = verb[0] if plural != (wrong == "agreement") else verb[1]
        return f"{subject}{near} {bad}{form}{target}"
    if kind == "perfect":
        aux = "have" if plural != (wrong == "agreement") else "has"
        if wrong == "form":
            return f"{subject} {aux} ~{verb[1]}{target}"
        return f"{subject}{near} {'~' if wrong == 'agreement' else ''}{aux} {verb[3]}{target}"
    if kind == "future":
        if wrong == "agreement":
            return None
        aux = rng.choice(("will", "can", "did not", "must"))
        return f"{subject}{near} {aux} {bad}{verb[1] if wrong == 'form' else verb[0]}{target}"
    if kind == "passive":
        verb = rng.choice(lx.TRANSITIVE)
        thing, things = _noun_phrase(rng, True)
        be = "were" if things != (wrong == "agreement") else "was"
        form = verb[0] if wrong == "form" else verb[3]
        if wrong == "form" and verb[0] == verb[3]:
            return None
        return f"{thing} {'~' if wrong == 'agreement' else ''}{be} {'~' if wrong == 'form' else ''}{form} by {subject}"
    if kind == "there":
        if wrong == "form" or subject.split()[0] in ("the", "every"):
            return None
        be = "are" if plural != (wrong == "agreement") else "is"
        place = rng.choice(tuple(lx.PLACES))
        return f"there {bad}{be} {subject} in the {place}"
    if kind == "reflexive":
        if wrong not in ("", "reflexive"):
            return None
        name = rng.choice(lx.NAMES)
        other = rng.choice(lx.NAMES)
        pronoun = lx.PRONOUN[name]
        if wrong:
            return f"{name} saw ~{lx.REFLEXIVE['he' if pronoun == 'she' else 'she']} in the picture"
        return rng.choice(
            (
                f"{name} saw {lx.REFLEXIVE[pronoun]} in the picture",
                f"{other} saw {lx.REFLEXIVE[lx.PRONOUN[other]]} in the picture",
            )
        )
    if kind == "copula":
        if wrong == "form":
            return None
        be = "are" if plural != (wrong == "agreement") else "is"
        return f"{subject}{near} {bad}{be} {rng.choice(('happy', 'tired', 'hungry'))}"
    do = "do" if plural != (wrong == "agreement") else "does"
    return f"{'~' if wrong == 'agreement' else ''}{do} {subject} {'~' if wrong == 'form' else ''}{verb[1] if wrong == 'form' else verb[0]}{target}?"


def _reflexive_or(rng: random.Random, wrong: str) -> str:
    while True:
        clause = _clause(rng, wrong)
        if clause is not None and (wrong != "reflexive" or "self" in clause):
            return clause


def cola(rng: random.Random, knobs: Knobs, want: int) -> GeneratedRow:
    """CoLA: a sentence that follows the grammar (1) or breaks one rule (0)."""
    rule = "" if want else rng.choice(("agreement", "agreement", "form", "determiner", "order", "valency", "reflexive"))
    clauses = rng.randint(1, min(2, knobs.clauses))
    at = rng.randrange(clauses)
    parts = []
    for i in range(clauses):
        clause = _reflexive_or(rng, rule if i == at else "")
        while clauses > 1 and clause.endswith("?"):
            clause = _reflexive_or(rng, rule if i == at else "")
        parts.append(clause)
    text = rng.choice((" and ", " because ", ", but ")).join(parts)
    if clauses == 1 and not text.endswith("?") and rng.random() < 0.2:
        text = f"{rng.choice(lx.NAMES)} {rng.choice(('thinks', 'knows', 'says'))} that {text}"
    text = w.sentence(text.rstrip("?"), "?" if text.endswith("?") else ".")
    return {
        "sentence": text,
        "label": want,
        "derivation": {"rule": f"breaks {rule}" if rule else "follows the grammar", "changed": w.marked_words(text)},
    }


# ---- SST-2 ---------------------------------------------------------------------------------------------------
def opinion(rng: random.Random, good: bool, knobs: Knobs, mark: bool, aspects: tuple[str, ...] = lx.ASPECTS) -> str:
    """A clause with the given polarity, perhaps by negating the opposite; its opinion word is marked if asked."""
    aspect = rng.choice(aspects)
    negated = rng.random() < max(0.05, knobs.negation)
    word_good = good != negated
    bad = "~" if mark else ""
    adjective = rng.choice(lx.GOOD_ADJECTIVES if word_good else lx.BAD_ADJECTIVES)
    noun = rng.choice(lx.GOOD_NOUNS if word_good else lx.BAD_NOUNS)
    verb = rng.choice(lx.GOOD_VERBS if word_good else lx.BAD_VERBS)
    kind = rng.randrange(4)
    if kind == 0:
        return f"i {'never ' if negated else ''}{bad}{verb} the {aspect}"
    if kind == 1:
        return f"the {aspect} is {rng.choice(('not', 'hardly')) + ' ' if negated else ''}a {bad}{noun}"
    adverb = (
        rng.choice(lx.NEGATORS) + " " if negated else rng.choice(lx.INTENSIFIERS) + " " if rng.random() < 0.3 else ""
    )
    return f"the {aspect} is {adverb}{bad}{adjective}"


def sst2(rng: random.Random, knobs: Knobs, want: int) -> GeneratedRow:
    """SST-2: a review whose main clause decides; what comes before `but` or stands under `although` does not."""
    good, bad = bool(want), not want
    kind = rng.choice(("one", "and", "but", "although", "fragment") if knobs.clauses > 1 else ("one", "fragment"))
    main = opinion(rng, good, knobs, bad)
    if kind == "and":
        text = f"{opinion(rng, good, knobs, bad)} and {main}"
    elif kind == "but":
        first = opinion(rng, not good, knobs, False)
        if knobs.clauses > 2 and rng.random() < 0.3:
            first += " and " + opinion(rng, not good, knobs, False)
        text = f"{first} {rng.choice((', but', ', yet'))} {main}"
    elif kind == "although":
        first, word = opinion(rng, not good, knobs, False), rng.choice(("although", "even though"))
        text = f"{word} {first} , {main}" if rng.random() < 0.5 else f"{main} , {word} {first}"
    elif kind == "fragment":
        words, mark = (lx.GOOD_ADJECTIVES if good else lx.BAD_ADJECTIVES), "" if good else "~"
        one, two = rng.sample(words, 2)
        a, b = rng.sample(lx.ASPECTS, 2)
        text = f"{w.article(mark + one)} {a} with {w.article(mark + two)} {b}"
    else:
        text = main
    return {
        "sentence": text,
        "label": want,
        "derivation": {
            "rule": kind,
            "main": w.unmark(main) if kind != "fragment" else w.unmark(text),
            "polarity": "positive" if want else "negative",
        },
    }


# ---- WiC -----------------------------------------------------------------------------------------------------
def wic(rng: random.Random, knobs: Knobs, want: int) -> GeneratedRow:
    """WiC: one word in two sentences, in the same sense (True) or not."""
    word = rng.choice(tuple(lx.SENSES))
    sense = rng.randrange(2)
    other = sense if want else 1 - sense
    first = rng.randrange(3)
    second = rng.choice([i for i in range(3) if i != first or other != sense])
    texts = [
        lx.SENSES[word][s][i].format(P=rng.choice(lx.NAMES), C=rng.choice(lx.COLOURS))
        for s, i in ((sense, first), (other, second))
    ]
    spans = [re.search(rf"\b{word}\b", t, re.IGNORECASE) for t in texts]
    start1, start2 = (m.start() for m in spans if m)
    marked = texts[1] if want else texts[1][:start2] + "~" + texts[1][start2:]
    return {
        "word": word,
        "sentence1": texts[0],
        "sentence2": marked,
        "start1": start1,
        "end1": start1 + len(word),
        "start2": start2,
        "end2": start2 + len(word),
        "label": bool(want),
        "derivation": {"rule": "same sense" if want else "two senses", "senses": [sense, other]},
    }


# ---- COPA ----------------------------------------------------------------------------------------------------
def copa(rng: random.Random, knobs: Knobs, want: int) -> GeneratedRow:
    """COPA: which of two options is the cause (or effect) of the premise; the wrong one belongs to another event."""
    right, wrong = rng.sample(range(len(lx.CAUSES)), 2)
    question = rng.choice(("cause", "effect"))
    person = rng.choice(lx.NAMES)
    slots = {"P": person, "O": rng.choice(tuple(lx.OBJECTS)), "C": rng.choice(lx.COLOURS)}
    cause, effect = (t.format(**slots) for t in lx.CAUSES[right])
    premise, good = (effect, cause) if question == "cause" else (cause, effect)
    bad = lx.CAUSES[wrong][0 if question == "cause" else 1].format(**slots)
    bad = " ".join("~" + word for word in bad.split())
    choices = (good, bad) if want == 0 else (bad, good)
    return {
        "premise": premise,
        "choice1": choices[0],
        "choice2": choices[1],
        "question": question,
        "label": want,
        "derivation": {
            "rule": "cause and effect",
            "event": right,
            "other_event": wrong,
            "cause": cause,
            "effect": effect,
        },
    }


# ---- pronouns --------------------------------------------------------------------------------------------------
def _pronoun_text(rng: random.Random, things: bool | None = None) -> dict[str, Any]:
    """A sentence with a pronoun and its two candidates; `first` says that the pronoun means the first of them."""
    things = rng.random() < 0.3 if things is None else things
    if things:
        text, claim, first = rng.choice(lx.THING_SCHEMAS)
        a, b = rng.sample(tuple(lx.OBJECTS), 2)
        it = "it"
    else:
        text, claim, first = rng.choice(lx.PERSON_SCHEMAS)
        a, b = rng.sample(rng.choice((lx.WOMEN, lx.MEN)), 2)
        it = lx.PRONOUN[a]
    return {
        "text": text.format(A=a, B=b, it=it),
        "a": a,
        "b": b,
        "it": it,
        "claim": claim,
        "first": first,
        "things": things,
    }


def wnli(rng: random.Random, knobs: Knobs, want: int) -> GeneratedRow:
    """WNLI: the sentence with the pronoun replaced by the right (1) or the wrong (0) candidate."""
    p = _pronoun_text(rng)
    name = p["a"] if p["first"] == bool(want) else p["b"]
    return {
        "sentence1": p["text"],
        "sentence2": p["claim"].format(X=("" if want else "~") + name),
        "label": want,
        "derivation": {
            "rule": "pronoun",
            "pronoun": p["it"],
            "refers_to": p["a"] if p["first"] else p["b"],
            "claimed": name,
        },
    }


def wsc(rng: random.Random, knobs: Knobs, want: int) -> GeneratedRow:
    """WSC: does the pronoun refer to the noun phrase? Span indices count words."""
    p = _pronoun_text(rng)
    name = p["a"] if p["first"] == bool(want) else p["b"]
    words = [re.sub(r"\W", "", word) for word in p["text"].split()]
    span = ("The " if name == p["a"] else "the ") + name if p["things"] else name
    at = words.index(name) - int(p["things"])
    return {
        "text": p["text"],
        "target": {"span1_index": at, "span1_text": span, "span2_index": words.index(p["it"]), "span2_text": p["it"]},
        "label": bool(want),
        "derivation": {"rule": "pronoun", "refers_to": p["a"] if p["first"] else p["b"], "claimed": name},
    }


def axg(rng: random.Random, knobs: Knobs, want: int) -> GeneratedRow:
    """AX-g: a pair of rows that differ in the pronoun's gender only; the answer is the same for both."""
    text, claim, first = rng.choice(lx.PERSON_SCHEMAS)
    a, b = rng.sample(tuple(lx.JOBS), 2)
    name = a if first == (want == 0) else b
    rows = []
    for pronoun in ("he", "she"):
        rows.append(
            {
                "premise": w.sentence(text.format(A=f"the {a}", B=f"the {b}", it=pronoun), ""),
                "hypothesis": w.sentence(claim.format(X=f"the {name}"), ""),
                "label": ("entailment", "not_entailment")[want],
                "derivation": {"rule": "pronoun", "refers_to": a if first else b, "claimed": name},
            }
        )
    return {"pair": rows}
