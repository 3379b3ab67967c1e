"""Concept coverage: the share of the words that a text should hold which it does hold, in any regular form.

Two words are forms of one where Porter's (1980) stemmer gives them one stem: "looking" is "look". Irregular forms ("sat")
are missed; CommonGen's own sentences of its development rows reach 97 %.
"""

from __future__ import annotations

from functools import cache

from .cider import split_words


@cache
def stem(word: str) -> str:
    """Porter's stem of a word in lower case."""
    return str(_stemmer().stem(word))


@cache
def _stemmer():  # type: ignore[no-untyped-def] # nltk has no types
    from nltk.stem.porter import PorterStemmer

    return PorterStemmer()


def cover_concepts(concepts: str, text: str) -> float:
    """Share of the words of `concepts` that stand in `text`, from 0 to 1; each counts once.

    Raises:
        ValueError: `concepts` holds no word.
    """
    wanted = {stem(word) for word in split_words(concepts)}
    if not wanted:
        raise ValueError(f"{concepts!r} holds no concept")
    return len(wanted & {stem(word) for word in split_words(text)}) / len(wanted)
