"""Short exercises for pretraining: copying, look-up, word equality, membership, comparison, reading, verification, retelling.

Documents carry control characters that never reach the model: CLAIM..END around text whose words the auxiliary loss judges, ANSWER..END around
text that always counts in the loss, and MARK in front of a word that is wrong.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from . import lexicon as lx
from . import word_tasks as wt
from . import world as w
from .claims import NLI, Knobs, facts_for, make_claim

CLAIM, CLAIM_END, ANSWER, ANSWER_END, MARK = "\x01", "\x02", "\x03", "\x04", "\x05"
CONTENT_WORDS = tuple(
    dict.fromkeys(
        [
            *lx.NAMES,
            *lx.COLOURS,
            *w.VALUES["object"],
            *w.VALUES["place"],
            *w.VALUES["job"],
            *w.VALUES["animal"],
            *w.VALUES["food"],
            *lx.SYNONYMS.values(),
            *lx.GOOD_ADJECTIVES,
            *lx.BAD_ADJECTIVES,
        ]
    )
)
KINDS: tuple[tuple[str, ...], ...] = (
    lx.NAMES,
    lx.COLOURS,
    *(w.VALUES[s] for s in ("object", "place", "job", "animal", "food")),
)
TWO_WAY = (("No", "Yes"), ("False", "True"), ("Different", "Same"), ("no", "yes"), ("Negative", "Positive"))


def claim(text: str) -> str:
    """A text whose words are judged by the auxiliary loss; tildes become marks."""
    return CLAIM + text.replace("~", MARK) + CLAIM_END


def answer(text: str, tags: bool = False) -> str:
    """An answer (with a space before) that always counts in the loss, perhaps inside judgement tags."""
    return f"<Judgement>{ANSWER} {text} </Judgement>{ANSWER_END}" if tags else f"{ANSWER} {text}{ANSWER_END}"


def reasoned(why: str, label: str, before: str) -> str:
    """A reason and a label in judgement tags, behind a space unless `before` ends a line; all of it counts in the loss."""
    return f"{ANSWER}{'' if before.endswith(chr(10)) else ' '}{why} <Judgement> {label} </Judgement>{ANSWER_END}"


def _reply(rng: random.Random, pair: Sequence[str], truth: bool) -> str:
    return answer(pair[int(truth)], rng.random() < 0.2)


def _headed(rng: random.Random, pair: Sequence[str], lines: list[str], joint: str = "\n") -> str:
    """Lines under a head that names the two answers, so that the first answer is no guess."""
    names = rng.sample(pair, 2)
    return f"{names[0]} or {names[1]} ?\n" + joint.join(lines)


def copy_list(rng: random.Random, vocabulary: Sequence[str] = CONTENT_WORDS, most: int = 8) -> str:
    """`w1 ... wn : w1 ... wn`, perhaps between quotes."""
    words = " ".join(rng.sample(vocabulary, rng.randint(2, most)))
    if rng.random() < 0.4:
        return f'"{words}" : "{ANSWER}{words}{ANSWER_END}"'
    return f"{words} :{ANSWER} {words}{ANSWER_END}"


def key_values(rng: random.Random) -> str:
    """Pairs, then keys to be looked up."""
    keys, values = rng.sample(CONTENT_WORDS, 10)[:5], rng.choices(CONTENT_WORDS, k=5)
    n = rng.randint(2, 5)
    pairs = list(zip(keys[:n], values[:n], strict=True))
    text = ", ".join(f"{k} is {v}" for k, v in pairs) + "."
    for k, v in rng.sample(pairs, min(n, 3)):
        text += f" {k} is{ANSWER} {v}{ANSWER_END}."
    return text


def same_words(rng: random.Random) -> str:
    """Several pairs of words: the same thing (or a synonym) or not."""
    pair = rng.choice(TWO_WAY)
    lines = []
    for _ in range(rng.randint(3, 6)):
        truth, kind = rng.random() < 0.5, rng.choice(KINDS)
        a = rng.choice(kind)
        b = a if truth else rng.choice([v for v in kind if v != a])
        a, b = (lx.SYNONYMS[v] if v in lx.SYNONYMS and rng.random() < 0.4 else v for v in (a, b))
        joint = rng.choice((" = ", " and ", " , "))
        quote = '"' if rng.random() < 0.4 else ""
        lines.append(
            f"{quote}{a}{quote}{joint}{quote}{claim(('' if truth else '~') + b)}{quote} :{_reply(rng, pair, truth)}"
        )
    return _headed(rng, pair, lines)


def membership(rng: random.Random) -> str:
    """A list and questions whether a word is in it."""
    pair = rng.choice(TWO_WAY)
    kind = CONTENT_WORDS if rng.random() < 0.5 else rng.choice(KINDS)
    words = rng.sample(kind, rng.randint(2, 6))
    lines = ['"' + " ".join(words) + '"']
    for _ in range(rng.randint(2, 4)):
        truth = rng.random() < 0.5
        word = rng.choice(words) if truth else rng.choice([v for v in kind if v not in words] or ["house"])
        lines.append(
            f"{claim(('' if truth or word in words else '~') + word)} ?{_reply(rng, pair, truth or word in words)}"
        )
    return _headed(rng, pair, lines)


def same_lists(rng: random.Random) -> str:
    """Two short lists that agree or differ in one place, perhaps in another order."""
    pair = rng.choice(TWO_WAY)
    lines = []
    for _ in range(rng.randint(2, 3)):
        words = [rng.choice(kind) for kind in rng.sample(KINDS, rng.randint(2, 4))]
        other = list(words)
        truth = rng.random() < 0.5
        if not truth:
            at = rng.randrange(len(words))
            kind = next(k for k in KINDS if words[at] in k)
            other[at] = "~" + rng.choice([v for v in kind if v != words[at]])
        if rng.random() < 0.4:
            rng.shuffle(other)
        lines.append(f'"{" ".join(words)}" "{claim(" ".join(other))}" :{_reply(rng, pair, truth)}')
    return _headed(rng, pair, lines)


def reading(rng: random.Random, knobs: Knobs) -> str:
    """A passage and wh-questions with short answers."""
    facts = w.choose_facts(rng, rng.randint(1, 4), 0.1)
    lines = [w.passage(rng, facts, 0.2)]
    for fact in rng.sample([f for f in facts if not f.negated], min(3, sum(not f.negated for f in facts))):
        lines.append(w.ask_open(rng, fact) + answer(w.answer_to(fact)))
    return rng.choice(("\n", " ")).join(lines)


def retelling(rng: random.Random, knobs: Knobs) -> str:
    """A fact told twice in different words."""
    lines = []
    for fact in w.choose_facts(rng, rng.randint(1, 3), 0.15):
        lines.append(f"{w.sentence(w.state(rng, fact))} ={answer(w.sentence(w.state(rng, fact, synonyms=0.2)))}")
    return "\n".join(lines)


def verification(rng: random.Random, knobs: Knobs, most: int = 3) -> str:
    """A passage of one to `most` facts and several claims about it, as statements or as questions."""
    pair = rng.choice(TWO_WAY[:4])
    facts = w.choose_facts(rng, rng.randint(1, most), 0.1)
    if all(f.negated for f in facts):
        facts = facts_for(rng, knobs, 0.0)
    asked = rng.random() < 0.4
    quote = '"' if rng.random() < 0.5 else ""
    lines = [quote + w.passage(rng, facts, knobs.synonyms) + quote]
    for _ in range(rng.randint(2, 5)):
        truth = rng.random() < 0.5
        pool = [f for f in facts if not (asked and f.negated)] or facts
        statement, wrong, _ = make_claim(rng, pool if truth else facts, NLI[0] if truth else rng.choice(NLI[1:]), knobs)
        if asked and statement.negated:
            continue
        text = (
            w.ask_about(rng, statement, wrong, knobs.synonyms) + "?"
            if asked
            else w.sentence(w.state(rng, statement, wrong, knobs.synonyms))
        )
        lines.append(f"{quote}{claim(text)}{quote}{_reply(rng, pair, truth)}")
    return _headed(rng, pair, lines, rng.choice(("\n", " ")))


def three_way(rng: random.Random, knobs: Knobs) -> str:
    """A passage and claims that follow, contradict it or are open."""
    facts = facts_for(rng, knobs)
    lines = ['"' + w.passage(rng, facts, knobs.synonyms) + '"']
    for _ in range(rng.randint(2, 4)):
        kind = rng.choice(NLI)
        statement, wrong, _ = make_claim(rng, facts, kind, knobs)
        word = {"entailment": "Entailment", "neutral": "Neutral", "contradiction": "Contradiction"}[kind]
        lines.append(
            f'"{claim(w.sentence(w.state(rng, statement, wrong, knobs.synonyms)))}"{answer(word, rng.random() < 0.3)}'
        )
    return "\n".join(lines)


def opinions(rng: random.Random, knobs: Knobs) -> str:
    """Reviews with their polarity, from single words to whole sentences."""
    pair = rng.choice((("Negative", "Positive"), ("negative", "positive"), ("bad", "good"), ("No", "Yes")))
    lines = []
    for _ in range(rng.randint(2, 5)):
        good = rng.random() < 0.5
        if rng.random() < 0.35:
            word = rng.choice(
                (lx.GOOD_ADJECTIVES, lx.GOOD_NOUNS, lx.GOOD_VERBS)
                if good
                else (lx.BAD_ADJECTIVES, lx.BAD_NOUNS, lx.BAD_VERBS)
            )
            text = ("" if good else "~") + rng.choice(word)
        else:
            text = wt.sst2(rng, knobs, int(good))["sentence"]
        lines.append(f'"{claim(text)}"{_reply(rng, pair, good)}')
    return _headed(rng, pair, lines)


def grammar(rng: random.Random, knobs: Knobs) -> str:
    """Sentences with a verdict on their grammar."""
    pair = rng.choice((("wrong", "correct"), ("No", "Yes"), ("False", "True"), ("bad", "good")))
    lines = []
    for _ in range(rng.randint(2, 4)):
        good = rng.random() < 0.5
        lines.append(f'"{claim(wt.cola(rng, knobs, int(good))["sentence"])}"{_reply(rng, pair, good)}')
    return _headed(rng, pair, lines)


def causes(rng: random.Random) -> str:
    """Short stories of cause and effect, told forwards or backwards."""
    lines = []
    for cause, effect in rng.sample(lx.CAUSES, rng.randint(1, 3)):
        slots = {"P": rng.choice(lx.NAMES), "O": rng.choice(tuple(lx.OBJECTS)), "C": rng.choice(lx.COLOURS)}
        cause, effect = cause.format(**slots), effect.format(**slots)
        lines.append(
            rng.choice(
                (
                    f"{cause} As a result:{answer(effect)}",
                    f"{effect} This was because:{answer(cause)}",
                    f"The effect of {cause}{answer(effect)}",
                    f"The cause of {effect}{answer(cause)}",
                    f'"{cause}" is the cause of "{ANSWER}{effect}{ANSWER_END}"',
                )
            )
        )
    return "\n".join(lines)


def linked_events(rng: random.Random) -> str:
    """Pairs of events: does one cause the other? The wrong event is marked."""
    pair = rng.choice(TWO_WAY[:2])
    lines = []
    for _ in range(rng.randint(2, 4)):
        right, wrong = rng.sample(lx.CAUSES, 2)
        slots = {"P": rng.choice(lx.NAMES), "O": rng.choice(tuple(lx.OBJECTS)), "C": rng.choice(lx.COLOURS)}
        truth = rng.random() < 0.5
        side = rng.randrange(2)
        text = (right if truth else wrong)[1 - side].format(**slots)
        text = text if truth else " ".join("~" + word for word in text.split())
        lines.append(f'"{right[side].format(**slots)}" "{claim(text)}"{_reply(rng, pair, truth)}')
    return _headed(rng, pair, lines)


def senses(rng: random.Random) -> str:
    """Sentences with an ambiguous word, sorted by sense."""
    word = rng.choice(tuple(lx.SENSES))
    pair = rng.choice((("Different", "Same"), ("different", "same"), ("No", "Yes")))
    lines = []
    for _ in range(rng.randint(2, 4)):
        truth = rng.random() < 0.5
        a, b = rng.randrange(2), 0
        b = a if truth else 1 - a
        texts = [
            rng.choice(lx.SENSES[word][s]).format(P=rng.choice(lx.NAMES), C=rng.choice(lx.COLOURS)) for s in (a, b)
        ]
        second = (
            texts[1]
            if truth
            else texts[1].replace(word, "~" + word).replace(word.capitalize(), "~" + word.capitalize())
        )
        lines.append(f'"{texts[0]}" "{claim(second)}" {word}:{_reply(rng, pair, truth)}')
    return _headed(rng, pair, lines)


def pronouns(rng: random.Random) -> str:
    """A sentence with a pronoun and the answer to who is meant."""
    p = wt._pronoun_text(rng)
    who = p["a"] if p["first"] else p["b"]
    return f"{p['text']} {p['claim'].format(X='...')} Who?{answer(who)}"


def spelled(rng: random.Random) -> str:
    """Random characters and made-up words, so that byte tokens are trained."""
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZäöüéèñçßøåœ€–—…“”’日本語中文αβγ"
    words = ["".join(rng.choices(letters, k=rng.randint(2, 7))) for _ in range(rng.randint(2, 5))]
    text = " ".join(words)
    return f"{text} :{ANSWER} {text}{ANSWER_END}" if rng.random() < 0.5 else text
