"""What a row's metrics add up: values of sums, what cannot be computed, intervals of the parts."""

import math

import numpy as np
import pytest
from scenes import scene_rows, scenes

from rl4nlu.scores.intervals import bootstrap
from rl4nlu.tasks.metrics import row_scores, score
from rl4nlu.tasks.rows import Row
from rl4nlu.tasks.texts.cider import cider_d, read_corpus
from rl4nlu.tasks.texts.concepts import cover_concepts
from rl4nlu.tasks.texts.overlap import corpus_bleu, count_bleu, rouge
from rl4nlu.tasks.texts.statistics import count_statistics, explain_absence, values_of, width_of

TASK = scenes(metrics=["rouge-l", "bleu-4", "cider", "coverage", "judge", "perplexity", "output-perplexity"])
ROWS, TRAIN = scene_rows(7), scene_rows(9, "train")
TEXTS = [row.answers[n % 2] if n % 3 else "a dog ran" for n, row in enumerate(ROWS[:-1])] + [None]
MEASURED = [
    {"judge": 10.0 * n, "nll": n + 1.0, "tokens": 3, "output_nll": 1.0 * n * n, "output_tokens": n}
    for n in range(len(ROWS))
]


def count(texts=TEXTS, measured=MEASURED, train=TRAIN, task=TASK):
    return count_statistics(task, ROWS, texts, measured, train)


def test_metrics_are_means_over_rows_or_of_all_that_rows_add_up():
    found = score(TASK, ROWS, count())
    texts, corpus = [text or "" for text in TEXTS], read_corpus(row.answers for row in TRAIN)
    pairs = list(zip(texts, ROWS, strict=True))
    assert found["rouge-l"] == pytest.approx(100 * np.mean([rouge("rouge-l", t, r.answers) for t, r in pairs]))
    assert found["bleu-4"] == pytest.approx(corpus_bleu(np.sum([count_bleu(t, r.answers) for t, r in pairs], axis=0)))
    assert found["cider"] == pytest.approx(10 * np.mean([cider_d(t, r.answers, corpus) for t, r in pairs]))
    assert found["coverage"] == pytest.approx(100 * np.mean([cover_concepts(r.fields["words"], t) for t, r in pairs]))
    assert found["judge"] == pytest.approx(30)
    assert found["perplexity"] == pytest.approx(math.exp(sum(range(1, 8)) / 21))
    assert found["output-perplexity"] == pytest.approx(math.exp(sum(n * n for n in range(7)) / 21))
    assert all(value > 0 for value in found.values())


def test_what_cannot_be_computed_has_no_value_and_says_why():
    found = score(TASK, ROWS, count(measured=[None] * len(ROWS), train=[]))
    absent = [name for name, value in found.items() if math.isnan(value)]
    assert absent == ["cider", "judge", "perplexity", "output-perplexity"]
    assert "no judge is named for scenes" in explain_absence(TASK, "judge")
    assert "no model wrote" in explain_absence(TASK, "perplexity")
    assert "training references" in explain_absence(TASK, "cider")
    assert "Java" in explain_absence(TASK, "spice")
    assert "microworld" in explain_absence(TASK, "polarity")
    for name in ("spice", "meteor", "bertscore"):
        other = scenes(metrics=["rouge-l", name])
        assert math.isnan(score(other, ROWS, count(task=other))[name])


def test_rows_of_the_microworld_have_an_exact_metric_and_others_have_none():
    task = scenes(fields=["text"], query="{text}", concepts=None, metrics=["rouge-l", "polarity"])
    rows = [
        Row(str(n), {"text": "the plot is"}, None, answers=["good"], derivation={} if n else None) for n in range(3)
    ]
    found = count_statistics(task, rows, ["good .", "good .", "bad ."], [None] * 3, [])
    assert [row["polarity"] for row in found] == [[0.0, 0.0], [100.0, 1.0], [0.0, 1.0]]


def test_resampled_rows_are_scored_by_their_sums():
    counted = count()
    bounds = bootstrap(TASK, ROWS, counted, 200, 0)
    values = score(TASK, ROWS, counted)
    assert set(bounds) == set(TASK.metrics)
    assert all(low <= values[name] <= high and low < high for name, (low, high) in bounds.items())
    again = score(TASK, ROWS + ROWS, counted + counted)
    assert again == pytest.approx(values)


def test_a_row_alone_has_the_first_metric():
    scored = row_scores(TASK, ROWS, count())
    assert scored == [row["rouge-l"][0] for row in count()]
    none = scenes(metrics=["judge"])
    assert all(map(math.isnan, row_scores(none, ROWS, count(measured=[None] * len(ROWS), task=none))))


def test_statistics_have_their_width_and_zeros_have_no_value():
    for row in count():
        assert {name: len(numbers) for name, numbers in row.items()} == {name: width_of(name) for name in TASK.metrics}
    for name in TASK.metrics:
        assert np.isnan(values_of(name, np.zeros((2, width_of(name))))).all()


def test_a_row_without_references_is_named():
    with pytest.raises(ValueError, match="row lonely has no references"):
        count_statistics(TASK, [Row("lonely", {"words": "dog"}, None)], ["x"], [None], [])
