"""One row of each task of paper 2 that GLUE has not: reviews of films, texts of news, reviews of apps.

They use only words that the world already has, so that models pretrained on it read them (see `vocabulary.world_words`).
"""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

from . import lexicon as lx
from . import world as w
from .claims import GeneratedRow, Knobs
from .word_tasks import opinion

# ---- movie reviews -----------------------------------------------------------------------------------------------
WHOLE = ("film", "movie")
PARTS = tuple(aspect for aspect in lx.ASPECTS if aspect not in WHOLE)
CONCEDED = 0.3  # how often a sentence also concedes something, which does not count


def _judged(
    rng: random.Random, good: bool, knobs: Knobs, of: tuple[str, ...], left: list[str]
) -> tuple[str, dict[str, Any]]:
    """A sentence whose main clause judges one of `of`, and what it says; parts are taken from those `left`."""
    main = opinion(rng, good, knobs, False, of)
    said: dict[str, Any] = {"text": main, "good": good}
    if knobs.clauses == 1 or rng.random() >= CONCEDED:
        return w.sentence(main), said
    said["conceded"] = opinion(rng, not good, knobs, False, (left.pop(),))
    form = rng.choice(("{c}, but {m}", "{c}, yet {m}", "{m}, although {c}", "{m}, even though {c}"))
    return w.sentence(form.format(c=said["conceded"], m=main)), said


def movie_reviews(rng: random.Random, knobs: Knobs, want: int) -> GeneratedRow:
    """MovieReviews: a sentence on the film as a whole decides; without one, what most sentences say of its parts does.

    A clause that is conceded (before `but` and `yet`, behind `although`) never counts.
    """
    return review(rng, knobs, want, rng.randint(2, knobs.clauses + 1))


def review(rng: random.Random, knobs: Knobs, want: int, count: int) -> GeneratedRow:
    """A movie review of `count` sentences."""
    good, verdict = bool(want), rng.random() < 0.5
    sure = 0 if verdict else count // 2 + 1
    signs = [good] * sure
    signs += [good != (rng.random() < knobs.distractors) for _ in range(count - sure - int(verdict))]
    rng.shuffle(signs)
    left = rng.sample(PARTS, len(PARTS))
    made = [_judged(rng, sign, knobs, (left.pop(),), left) for sign in signs]
    whole = _judged(rng, good, knobs, WHOLE, left) if verdict else None
    if whole:
        made.insert(rng.choice((0, len(made))), whole)
    return {
        "text": " ".join(text for text, _ in made),
        "label": want,
        "derivation": {
            "rule": "verdict" if whole else "most sentences",
            "verdict": whole[1] if whole else None,
            "said": [what for _, what in made],
        },
    }


# ---- news --------------------------------------------------------------------------------------------------------
TOPICS = ("World", "Sports", "Business", "Science")
EVENTS = {
    "World": (
        "the minister asked for peace in the {place}", "the war in the {place} ended", "the king and the queen want peace",
        "the police closed the {place}", "the minister left the {place}", "the queen gave the {place} a new law",
        "the king said no to the war in the {place}", "the police stopped {person} in the {place}",
    ),
    "Sports": (
        "the coach praised the team of the {place}", "the team of {person} won the match", "{person} lost the race in the {place}",
        "the league gave {person} a prize", "the team lost the game in the {place}", "{person} hit the ball in the last match",
        "the coach of {person} left the team", "the goal of {person} won the game",
    ),
    "Business": (
        "the company sold {thing} in the {place}", "the price of {food} rose in the {place}", "the bank gave {person} a loan",
        "the company of {person} needs more money", "the market in the {place} sells {food}",
        "the company bought a bank in the {place}", "the workers of the company want more money",
        "{person} sold the company for much money",
    ),
    "Science": (
        "a computer measures the light of the sun", "the new computer of {person} reads text", "{person} studied the birds of the {place}",
        "a test shows that the medicine of {person} works", "the new model finds errors in text",
        "{person} measures the wave of the sea", "the computer in the {place} got an update",
        "a test shows how the plant grows in the {place}",
    ),
}  # fmt: skip
MENTIONS = {
    "World": ("after the war", "because of the minister", "without the police"),
    "Sports": ("after the match", "because of the game", "without the coach"),
    "Business": ("because of the price", "after the loan", "without the bank"),
    "Science": ("because of the computer", "after the test", "without medicine"),
}


def event(rng: random.Random, topic: str, but: tuple[str, ...] = ()) -> str:
    """A clause of a topic whose form is none of `but`."""
    form = rng.choice([f for f in EVENTS[topic] if f not in but])
    slots = {
        "person": lx.NAMES,
        "place": tuple(lx.PLACES),
        "food": tuple(lx.FOODS),
        "thing": [many for _, many in lx.THINGS],
    }
    return form.format(**{name: rng.choice(values) for name, values in slots.items()})


def ag_news(rng: random.Random, knobs: Knobs, want: int) -> GeneratedRow:
    """AG News: the topic that most sentences have; what follows on `after`, `because of` and `without` is no topic."""
    topic, count = TOPICS[want], rng.randint(2, knobs.clauses + 1)
    main = {2: rng.choice((1, 2)), 3: 2}.get(count, rng.choice((2, 3)))
    others = rng.sample([t for t in TOPICS if t != topic], 2)
    kinds = [topic] * main
    for other in others[: count - main]:
        kinds.append(other if main > 1 and rng.random() < knobs.distractors else "")
    rng.shuffle(kinds)
    texts: list[str] = []
    events: list[dict[str, str]] = []
    used: list[str] = []
    for kind in kinds:
        clause = event(rng, kind, tuple(used)) if kind else w.state(rng, w.choose_fact(rng), synonyms=knobs.synonyms)
        if kind:
            used += [form for form in EVENTS[kind] if form.split("{")[0] and clause.startswith(form.split("{")[0])]
            events.append({"topic": kind, "text": clause})
            if rng.random() < knobs.distractors / 2:
                clause += " " + rng.choice(MENTIONS[rng.choice([t for t in TOPICS if t != kind])])
        texts.append(w.sentence(clause))
    return {
        "text": " ".join(texts),
        "label": want,
        "derivation": {"rule": "most sentences", "topic": topic, "events": events},
    }


# ---- app reviews -------------------------------------------------------------------------------------------------
APP_PARTS = ("app", "update", "game", "sound", "text", "clock", "picture")
USEFUL = ("useful", "fast", "good", "great", "clever", "smart", "pleasant", "lovely")
USELESS = ("useless", "slow", "bad", "awful", "clumsy", "poor", "ugly", "messy")
STRONG = ("very", "really", "truly")


def remark(rng: random.Random, points: int, part: str, negation: float) -> str:
    """A clause on a part of an app: one point for praise, two for strong praise, as many less for complaints."""
    good, strong = points > 0, abs(points) == 2
    if points == -2 and part in ("app", "game") and rng.random() < 0.3:
        return f"the {part} crashes"
    negated = not strong and rng.random() < max(0.05, negation)
    if rng.random() < 0.3:
        verb = rng.choice(lx.GOOD_VERBS if good != negated else lx.BAD_VERBS)
        adverb = "never " if negated else rng.choice(STRONG[1:]) + " " if strong else ""
        return f"i {adverb}{verb} the {part}"
    adverb = rng.choice(lx.NEGATORS) + " " if negated else rng.choice(STRONG) + " " if strong else ""
    return f"the {part} is {adverb}{rng.choice(USEFUL if good != negated else USELESS)}"


def app_reviews(rng: random.Random, knobs: Knobs, want: int) -> GeneratedRow:
    """AppReviews: three stars and the sum of all remarks' points, which are held between one star and five."""
    count, points = rng.randint(2, max(2, knobs.clauses)), [0]
    while 0 in points or max(-2, min(2, sum(points))) != want - 2:
        points = [rng.choice((-2, -1, 1, 2)) for _ in range(count)]
    parts = rng.sample(APP_PARTS, len(points))
    remarks: list[dict[str, Any]] = [
        {"text": remark(rng, value, part, knobs.negation), "points": value}
        for value, part in zip(points, parts, strict=True)
    ]
    text = remarks[0]["text"]
    for before, one in pairwise(remarks):
        same = (before["points"] > 0) == (one["points"] > 0)
        text += rng.choice((" and ", ". ") if same else (", but ", ". ")) + one["text"]
    text = " ".join(w.sentence(sentence) for sentence in text.split(". "))
    return {
        "review": text,
        "label": want + 1,
        "derivation": {"rule": "sum of points", "remarks": remarks, "sum": sum(points)},
    }
