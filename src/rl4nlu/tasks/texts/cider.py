"""CIDEr-D: how much a text is worded as its references are, rare words counting most (Vedantam et al. 2015).

n-grams of one to four words are weighted by tf-idf, texts are compared by clipped cosines, and a text of another length
than a reference's pays for it (sigma = 6). Numbers are those of pycocoevalcap 1.2: from 0 to 10, lengths in bigrams.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LONGEST = 4
"""Words of the longest n-gram."""
SIGMA = 6.0
SCALE = 10.0

Gram = tuple[str, ...]


def split_words(text: str) -> list[str]:
    """A text's words in lower case, without punctuation."""
    return re.findall(r"\w+(?:'\w+)?", text.lower())


def count_grams(text: str) -> Counter[Gram]:
    """How often each n-gram of one to four words stands in a text."""
    words = split_words(text)
    return Counter(
        tuple(words[start : start + n]) for n in range(1, LONGEST + 1) for start in range(len(words) - n + 1)
    )


@dataclass(frozen=True)
class Corpus:
    """In how many documents each n-gram stands; a document is all references of one row."""

    documents: int
    frequency: Counter[Gram]

    def rarity(self, gram: Gram) -> float:
        """The n-gram's inverse document frequency; one that no document has counts as in one."""
        return math.log(self.documents) - math.log(max(1, self.frequency[gram]))


def read_corpus(references: Iterable[Sequence[str]]) -> Corpus:
    """The corpus of rows' references."""
    frequency: Counter[Gram] = Counter()
    documents = 0
    for texts in references:
        documents += 1
        frequency.update({gram for text in texts for gram in count_grams(text)})
    return Corpus(documents, frequency)


def weigh(grams: Counter[Gram], corpus: Corpus) -> list[dict[Gram, float]]:
    """The tf-idf weights of a text's n-grams, by their length."""
    weights: list[dict[Gram, float]] = [{} for _ in range(LONGEST)]
    for gram, count in grams.items():
        weights[len(gram) - 1][gram] = count * corpus.rarity(gram)
    return weights


def cosine(answer: dict[Gram, float], reference: dict[Gram, float]) -> float:
    """Cosine of two weighings, the answer's clipped to the reference's; 0 where one is empty."""
    norms = math.sqrt(sum(w * w for w in answer.values())) * math.sqrt(sum(w * w for w in reference.values()))
    shared = sum(min(w, reference[gram]) * reference[gram] for gram, w in answer.items() if gram in reference)
    return shared / norms if norms else 0.0


def cider_d(answer: str, references: Sequence[str], corpus: Corpus) -> float:
    """CIDEr-D of a text against its references, from 0 to 10: the mean over references and lengths of n-grams."""
    own = count_grams(answer)
    weights, length = weigh(own, corpus), sum(count for gram, count in own.items() if len(gram) == 2)
    total = 0.0
    for reference in references:
        other = count_grams(reference)
        away = length - sum(count for gram, count in other.items() if len(gram) == 2)
        alike = sum(map(cosine, weights, weigh(other, corpus))) / LONGEST
        total += alike * math.exp(-(away**2) / (2 * SIGMA**2))
    return SCALE * total / len(references)
