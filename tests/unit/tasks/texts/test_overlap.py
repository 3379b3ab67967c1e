"""BLEU and ROUGE are those of their libraries, of one text and of many whose counts are added up."""

import json

import numpy as np
import pytest

from rl4nlu.tasks.texts.overlap import corpus_bleu, count_bleu, rouge

ANSWERS = ["the dog runs over a field", "a cat sleeping on the mats", "", "birds sing"]
REFERENCES = [
    ["the dog runs over the field", "a dog runs over a wide green field"],
    ["a cat sleeps on the mat", "the cat sleeps on the old mat"],
    ["a horse"],
    ["birds sing", "all birds sing at dawn"],
]


def test_added_counts_give_the_bleu_of_all_texts():
    from sacrebleu.metrics import BLEU

    sums = np.sum([count_bleu(*pair) for pair in zip(ANSWERS, REFERENCES, strict=True)], axis=0)
    streams = [[some[n] if n < len(some) else None for some in REFERENCES] for n in range(2)]
    expected = BLEU(tokenize="none", smooth_method="none").corpus_score(ANSWERS, streams).score
    assert corpus_bleu(sums) == pytest.approx(expected, abs=1e-9)
    assert 10 < expected < 90


def test_weights_of_texts_are_those_of_repeated_texts():
    counts = np.array([count_bleu(*pair) for pair in zip(ANSWERS, REFERENCES, strict=True)])
    assert corpus_bleu(np.array([2.0, 1, 0, 0]) @ counts) == pytest.approx(corpus_bleu(counts[[0, 0, 1]].sum(0)))


def test_bleu_of_official_sentences_is_that_of_the_library(official_data):
    from sacrebleu.metrics import BLEU

    lines = (official_data / "other" / "CommonGen" / "dev.jsonl").read_text().splitlines()
    scenes = [json.loads(line)["scene"] for line in lines]
    answers, references = [some[0] for some in scenes], [some[1:] for some in scenes]
    longest = max(map(len, references))
    streams = [[some[n] if n < len(some) else None for some in references] for n in range(longest)]
    expected = BLEU(tokenize="none", smooth_method="none").corpus_score(answers, streams).score
    sums = np.sum([count_bleu(*pair) for pair in zip(answers, references, strict=True)], axis=0)
    assert corpus_bleu(sums) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("metric", "kind"), [("rouge-1", "rouge1"), ("rouge-2", "rouge2"), ("rouge-l", "rougeL")])
def test_rouge_is_that_of_the_nearest_reference(metric, kind):
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer([kind], use_stemmer=True)
    for answer, references in zip(ANSWERS, REFERENCES, strict=True):
        expected = max(scorer.score(reference, answer)[kind].fmeasure for reference in references)
        assert rouge(metric, answer, references) == pytest.approx(expected)
    assert rouge(metric, "", ["a horse"]) == 0
