"""CIDEr-D: by hand on small texts, and equal to pycocoevalcap where that is installed."""

import json
import math

import pytest

from rl4nlu.tasks.texts.cider import cider_d, count_grams, read_corpus, split_words

DOCUMENTS = [["a dog runs fast"], ["a cat runs", "a cat sleeps"], ["a horse jumps"]]


def test_words_have_no_case_and_no_punctuation():
    assert split_words("It's 3 Dogs, running-fast.") == ["it's", "3", "dogs", "running", "fast"]


def test_a_document_is_all_references_of_a_row():
    corpus = read_corpus(DOCUMENTS)
    assert (corpus.documents, corpus.frequency["a",], corpus.frequency["a", "cat"], corpus.frequency["runs",]) == (
        3,
        3,
        1,
        2,
    )
    assert corpus.rarity(("a",)) == 0
    assert corpus.rarity(("never", "seen")) == corpus.rarity(("a", "cat")) == math.log(3)


def test_a_text_is_compared_by_weighted_grams_clipped_and_by_its_length():
    corpus = read_corpus(DOCUMENTS)
    assert cider_d("a dog runs fast", ["a dog runs fast"], corpus) == pytest.approx(10)
    assert cider_d("a horse", ["a dog runs fast"], corpus) == 0  # only "a" is shared, which all documents have
    assert cider_d("", ["a dog runs fast"], corpus) == 0
    # of "dog dog" one dog counts: unigrams 1 * 1 / (2 * |dog, runs, fast|), no bigram is shared, lengths 1 and 3
    third, half = math.log(3), math.log(1.5)
    unigrams = third * third / (2 * third * math.sqrt(2 * third**2 + half**2))
    expected = 10 * unigrams / 4 * math.exp(-(2**2) / (2 * 6**2))
    assert cider_d("dog dog", ["a dog runs fast"], corpus) == pytest.approx(expected)
    two = cider_d("a cat runs", DOCUMENTS[1], corpus)  # equal texts of three words have no grams of four to be alike in
    assert two == pytest.approx((7.5 + cider_d("a cat runs", ["a cat sleeps"], corpus)) / 2)


def test_numbers_are_those_of_pycocoevalcap(official_data):
    cider = pytest.importorskip("pycocoevalcap.cider.cider")
    lines = (official_data / "other" / "CommonGen" / "dev.jsonl").read_text().splitlines()
    references = [[" ".join(split_words(text)) for text in json.loads(line)["scene"]] for line in lines]
    answers = [some[n % len(some)].split()[: 3 + n % 9] for n, some in enumerate(references[1:] + references[:1])]
    answers = [
        " ".join(words + some[0].split()[: n % 7])
        for n, (words, some) in enumerate(zip(answers, references, strict=True))
    ]
    corpus = read_corpus(references)
    own = [cider_d(answer, some, corpus) for answer, some in zip(answers, references, strict=True)]
    mean, each = cider.Cider().compute_score(dict(enumerate(references)), {n: [a] for n, a in enumerate(answers)})
    assert own == pytest.approx(each, abs=1e-12)
    assert sum(own) / len(own) == pytest.approx(mean, abs=1e-12)
    assert mean > 0.1


def test_grams_have_one_to_four_words():
    assert len(count_grams("a b c d e")) == 5 + 4 + 3 + 2
