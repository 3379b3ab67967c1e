"""Metrics against scikit-learn and SciPy, against brute force, and against the papers' own averages."""

import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sk
from synthetic import make_predictions, make_rows

from rl4nlu.tasks.metrics import (
    average,
    class_metrics,
    class_numbers,
    correlation,
    ranks,
    record_units,
    row_scores,
    score,
    summarise,
    token_f1,
)
from rl4nlu.tasks.metrics import numbers as numbers_of
from rl4nlu.tasks.rows import Row
from rl4nlu.tasks.task import METRIC_NAMES, load_tasks

TASKS = load_tasks()
JUDGING = sorted(name for name, task in TASKS.items() if task.answer != "text")
WORD_TASKS = [t for t in TASKS.values() if t.labels and t.layout == "plain"]


def rows_of(labels: list, groups: list | None = None) -> list[Row]:
    return [Row(str(i), {}, label, groups[i] if groups else None) for i, label in enumerate(labels)]


def all_metrics(task, rows, predictions, confidence=None):
    names = [n for n in METRIC_NAMES if n in ("accuracy", "f1", "macro-f1", "matthews")]
    return score(task.model_copy(update={"metrics": names}), rows, predictions, confidence)


@st.composite
def judged(draw, invalid: bool = True):
    task = draw(st.sampled_from(WORD_TASKS))
    labels = st.sampled_from(list(task.labels))
    pairs = draw(st.lists(st.tuples(labels, labels | st.none() if invalid else labels), min_size=1, max_size=40))
    return task, [g for g, _ in pairs], [p for _, p in pairs]


@given(judged())
def test_class_metrics_equal_scikit_learn_with_invalid_as_a_class_of_its_own(case) -> None:
    task, gold, predicted = case
    shown = ["<invalid>" if p is None else p for p in predicted]
    found = all_metrics(task, rows_of(gold), predicted)
    positive = next(iter(task.labels))
    seen = sorted({*gold, *shown} - {"<invalid>"})
    assert found["accuracy"] == pytest.approx(100 * sk.accuracy_score(gold, shown))
    assert found["f1"] == pytest.approx(
        100 * sk.f1_score(gold, shown, labels=[positive], average="macro", zero_division=0)
    )
    assert found["macro-f1"] == pytest.approx(
        100 * sk.f1_score(gold, shown, labels=seen, average="macro", zero_division=0)
    )
    assert found["matthews"] == pytest.approx(100 * sk.matthews_corrcoef(gold, shown), abs=1e-6)


@given(judged(invalid=False))
def test_binary_f1_and_matthews_equal_counting_by_hand(case) -> None:
    task, gold, predicted = case
    if len(task.labels) != 2:
        return
    positive = next(iter(task.labels))
    tp = sum(g == p == positive for g, p in zip(gold, predicted, strict=True))
    fp = sum(p == positive != g for g, p in zip(gold, predicted, strict=True))
    fn = sum(g == positive != p for g, p in zip(gold, predicted, strict=True))
    tn = len(gold) - tp - fp - fn
    found = all_metrics(task, rows_of(gold), predicted)
    below = math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    assert found["f1"] == pytest.approx(200 * tp / (2 * tp + fp + fn) if tp + fp + fn else 0)
    assert found["matthews"] == pytest.approx(100 * (tp * tn - fp * fn) / below if below else 0)


@given(judged())
def test_an_unparseable_answer_is_never_better_than_a_wrong_one(case) -> None:
    task, gold, predicted = case
    rows = rows_of(gold)
    for n, p in enumerate(predicted):
        if p is None:
            right = [*predicted[:n], gold[n], *predicted[n + 1 :]]
            assert all_metrics(task, rows, right)["accuracy"] > all_metrics(task, rows, predicted)["accuracy"]
            assert row_scores(task, rows, predicted)[n] == 0.0


numbers = st.floats(0, 5).map(lambda x: round(x, 1))


@given(st.lists(st.tuples(numbers, numbers), min_size=2, max_size=40))
def test_correlations_equal_scipy(pairs) -> None:
    gold, predicted = [g for g, _ in pairs], [p for _, p in pairs]
    found = score(TASKS["stsb"], rows_of(gold), predicted)
    if len(set(gold)) < 2 or len(set(predicted)) < 2:
        assert found == {"spearman": 0.0, "pearson": 0.0}
    else:
        assert found["spearman"] == pytest.approx(100 * stats.spearmanr(gold, predicted).statistic, abs=1e-6)
        assert found["pearson"] == pytest.approx(100 * stats.pearsonr(gold, predicted).statistic, abs=1e-6)


@given(st.lists(numbers, min_size=1, max_size=30))
def test_ranks_equal_scipy(values) -> None:
    np.testing.assert_allclose(ranks(np.array(values), np.ones((1, len(values))))[0], stats.rankdata(values))


def test_numbers_are_clamped_and_unparseable_ones_are_the_middle_of_the_range_and_not_right_at_all() -> None:
    task, rows = TASKS["stsb"], rows_of([0.0, 2.0, 3.0, 5.0])
    assert score(task, rows, [-3.0, 2.0, 3.0, 99.0]) == score(task, rows, [0.0, 2.0, 3.0, 5.0])
    assert score(task, rows, [None, 2.0, 3.0, None]) == score(task, rows, [2.5, 2.0, 3.0, 2.5])
    assert row_scores(task, rows, [None, 2.0, 2.0, 9.0]) == pytest.approx([0.0, 1.0, 0.8, 1.0])
    assert row_scores(task, rows_of([2.5]), [None]) == [0.0]


@pytest.mark.parametrize("name", JUDGING)
def test_what_stands_in_an_unparseable_answers_place_does_not_depend_on_the_gold_label(name: str) -> None:
    """The same answers under other gold labels: as if the same had been said each time, whatever was right."""
    task = TASKS[name]
    if task.answer == "number":
        answers = [None, 1.0, None, 4.0]
        read = [numbers_of(task, rows_of(gold), answers)[1].tolist() for gold in ([0.0] * 4, [5.0] * 4, [0.0, 5.0] * 2)]
    else:
        first, *_, last = task.labels
        answers = [None, first, None, last]
        read = [class_numbers(task, rows_of(gold), answers)[1].tolist() for gold in ([first] * 4, [last] * 4)]
        assert read[0][0] == len(task.labels)
    assert all(one == read[0] for one in read)


def test_unparseable_numbers_alone_tell_nothing_apart_and_a_few_do_not_turn_a_score_round() -> None:
    task = TASKS["stsb"]
    gold = [round(random.Random(n).uniform(0, 5), 1) for n in range(300)]
    rows = rows_of(gold)
    assert score(task, rows, [None] * 300) == {"spearman": 0.0, "pearson": 0.0}
    found = [score(task, rows, [None if n % 8 < k else g for n, g in enumerate(gold)])["spearman"] for k in range(9)]
    assert found[0] == 100.0
    assert found == sorted(found, reverse=True)
    assert found[4] > 50


def test_rows_without_a_number_are_named() -> None:
    with pytest.raises(ValueError, match="task stsb: row 1 has no number"):
        score(TASKS["stsb"], rows_of([1.0, None]), [1.0, 2.0])


questions = st.lists(
    st.lists(st.tuples(st.sampled_from("01"), st.sampled_from(["0", "1", None])), min_size=1, max_size=5),
    min_size=1,
    max_size=6,
)


@given(questions)
def test_multirc_equals_brute_force(asked) -> None:
    flat = [(q, g, p) for q, answers in enumerate(asked) for g, p in answers]
    rows = rows_of([g for _, g, _ in flat], [str(q) for q, _, _ in flat])
    found = score(TASKS["multirc"], rows, [p for _, _, p in flat])
    gold = [g == "1" for _, g, _ in flat]
    marked = [p == "1" for _, _, p in flat]
    assert found["multirc-f1a"] == pytest.approx(100 * sk.f1_score(gold, marked, zero_division=0))
    exact = [all(g == p for g, p in answers) for answers in asked]
    assert found["multirc-em"] == pytest.approx(100 * sum(exact) / len(exact))


def query(group: str, candidates: list[str], answers: list[str]) -> list[Row]:
    return [
        Row(f"{group}.{i}", {"candidate": c}, "1" if c in answers else "0", group, answers)
        for i, c in enumerate(candidates)
    ]


def test_record_chooses_one_candidate_and_takes_the_best_gold_answer() -> None:
    task = TASKS["record"]
    rows = query("a", ["Mary Ann", "the Bank", "Rome"], ["Rome", "Ann"])
    assert score(task, rows, ["0", "0", "1"]) == {"record-f1": 100.0, "record-em": 100.0}
    assert score(task, rows, ["1", "0", "1"]) == {"record-f1": pytest.approx(200 / 3), "record-em": 0.0}, (
        "first positive"
    )
    assert score(task, rows, ["1", "0", "1"], confidence=[0.1, 0.2, 0.9])["record-em"] == 100.0, "confidence decides"
    assert score(task, rows, ["0", "0", "0"])["record-em"] == 0.0, "first that was judged"
    assert score(task, rows, [None, None, "0"])["record-em"] == 100.0, "unparseable ones come last"
    assert score(task, rows, [None, None, None]) == {"record-f1": 0.0, "record-em": 0.0}
    assert len(record_units(task, rows + query("b", ["x"], ["x"]), ["0"] * 4)) == 2


@given(st.lists(st.sampled_from("ab"), min_size=1, max_size=4), st.lists(st.sampled_from("ab"), min_size=1, max_size=4))
def test_token_f1_equals_the_best_matching_of_words(answer, gold) -> None:
    # doubled letters: a lone "a" is an article, which the official normalisation drops
    answer, gold = [w * 2 for w in answer], [w * 2 for w in gold]
    best = max(
        sum(x == y for x, y in zip(answer, order, strict=False))
        for order in itertools.permutations(gold + [""] * len(answer), len(answer))
    )
    assert token_f1(" ".join(answer), " ".join(gold)) == pytest.approx(2 * best / (len(answer) + len(gold)))


def test_record_normalisation_is_squads() -> None:
    assert token_f1("The  U.S. Bank!", "us bank") == 1.0
    assert token_f1("An apple", "apple") == 1.0
    assert token_f1("pear", "apple") == 0.0


@given(
    st.lists(st.tuples(*[st.sampled_from(["entailment", "not_entailment", None])] * 2), min_size=1, max_size=20),
    st.data(),
)
def test_gender_parity_is_the_share_of_pairs_that_agree(pairs, data) -> None:
    labels = [data.draw(st.sampled_from(["entailment", "not_entailment"])) for _ in pairs]
    rows = rows_of([g for g in labels for _ in range(2)], [f"pair {i // 2}" for i in range(2 * len(pairs))])
    flat = [p for pair in pairs for p in pair]
    found = score(TASKS["axg"], rows, flat)
    assert found["gender-parity"] == pytest.approx(100 * sum(a == b and a is not None for a, b in pairs) / len(pairs))
    assert found["accuracy"] == pytest.approx(
        100 * sum(p == r.label for p, r in zip(flat, rows, strict=True)) / len(flat)
    )


def test_every_task_is_scored_by_its_own_metrics() -> None:
    for task in map(TASKS.__getitem__, JUDGING):
        rows = [
            Row(str(i), {n: str(i) for n in task.fields}, label, "g", ["0", "1"])
            for i, label in enumerate(list(task.labels) or [1.0, 4.0])
        ]
        perfect = score(task, rows, [row.label for row in rows])
        assert list(perfect) == task.metrics
        if task.layout != "pairs":
            assert set(perfect.values()) == {100.0}


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), min_size=2, max_size=40))
def test_metrics_from_counts_are_scikit_learns(pairs: list[tuple[int, int]]) -> None:
    gold, predicted = map(list, zip(*pairs, strict=True))
    counts = np.zeros((1, 3, 4))
    for g, p in pairs:
        counts[0, g, p] += 1
    found = {name: value[0] / 100 for name, value in class_metrics(counts).items()}
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(gold, predicted))
    assert found["matthews"] == pytest.approx(sk.matthews_corrcoef(gold, predicted))
    assert found["f1"] == pytest.approx(sk.f1_score(gold, predicted, labels=[0], average="macro", zero_division=0))
    present = sorted({*gold, *(p for p in predicted if p < 3)})
    assert found["macro-f1"] == pytest.approx(
        sk.f1_score(gold, predicted, labels=present, average="macro", zero_division=0)
    )


@given(st.lists(st.tuples(st.sampled_from([0.0, 1.5, 2.0, 3.3]), st.integers(0, 3)), min_size=2, max_size=12))
def test_weighted_ranks_are_those_of_repeated_values(pairs: list[tuple[float, int]]) -> None:
    values, times = np.array([v for v, _ in pairs]), np.array([t for _, t in pairs])
    if not times.sum():
        return
    found = ranks(values, times[None].astype(float))[0]
    wanted = stats.rankdata(np.repeat(values, times))
    assert np.repeat(found, times) == pytest.approx(wanted)


def test_weighted_correlation_is_that_of_repeated_values() -> None:
    rng = np.random.default_rng(0)
    x, y, times = rng.normal(size=30), rng.normal(size=30), rng.integers(0, 4, size=30)
    found = correlation(x[None], y[None], times[None].astype(float))[0] / 100
    assert found == pytest.approx(stats.pearsonr(np.repeat(x, times), np.repeat(y, times))[0])
    assert correlation(x[None], np.ones((1, 30)), times[None].astype(float))[0] == 0


@pytest.mark.parametrize("name", JUDGING)
def test_the_score_is_the_resamples_function_where_every_unit_is_drawn_once(name: str) -> None:
    task = TASKS[name]
    rows = make_rows(task, 61)
    for seed, invalid in ((1, 0.2), (2, 0.0), (3, 1.0)):
        predictions = make_predictions(task, rows, 0.6, str(seed), invalid)
        summary = summarise(task, rows, [make_predictions(task, rows, 0.1, "x"), predictions])
        found = summary.evaluate(np.ones((1, summary.codes.shape[1])), summary.codes[1])
        for metric, value in score(task, rows, predictions).items():
            assert found[metric][0] == pytest.approx(value, abs=1e-9), metric


def test_the_score_of_plain_series_is_rounded_as_their_dot_product() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        x, y = rng.normal(size=(2, 300))
        dx, dy = x - x.mean(), y - y.mean()
        assert correlation(x[None], y[None], None)[0] == 100 * ((dx @ dy) / np.sqrt((dx @ dx) * (dy @ dy)))


def test_confidences_choose_record_candidates() -> None:
    task = TASKS["record"]
    rows = make_rows(task, 60)
    rng = random.Random(1)
    predictions, confidence = [rng.choice(["0", "1"]) for _ in rows], [rng.random() for _ in rows]
    found = summarise(task, rows, [predictions, predictions], [None, confidence])
    assert found.values(1)["record-em"] == score(task, rows, predictions, confidence)["record-em"]
    assert found.values(0)["record-em"] == score(task, rows, predictions)["record-em"] != found.values(1)["record-em"]


@pytest.mark.parametrize(("name", "most"), [("sst2", 2 * 3), ("cola", 2 * 3), ("mnli", 3 * 4)])
def test_resamples_count_distinct_outcomes_however_many_rows_there_are(name: str, most: int) -> None:
    """What makes a thousand resamples cheap: rows of one label and one prediction (or none) are one unit."""
    rows = make_rows(TASKS[name], 400)
    predictions = make_predictions(TASKS[name], rows, 0.7, "t", 0.1)
    codes = summarise(TASKS[name], rows, [predictions]).codes
    assert codes.shape == (1, 400)
    assert 1 < len(np.unique(codes)) <= most


def test_faulty_calls_are_refused() -> None:
    rows = rows_of(["1", "0"])
    with pytest.raises(ValueError, match="1 predictions for 2 rows"):
        score(TASKS["cola"], rows, ["1"])
    with pytest.raises(ValueError, match="0 predictions for 0 rows"):
        score(TASKS["cola"], [], [])
    with pytest.raises(ValueError, match="'2' is no label"):
        score(TASKS["cola"], rows, ["1", "2"])


# paper 1, Table 1 (GLUE) and Table 10 (SuperGLUE): LLAMA2-7B-chat, PPO-ST
GLUE = {
    "mnli": 88.8,
    "mnli-mm": 88.2,
    "qqp": 70.5,
    "qnli": 93.2,
    "sst2": 96.4,
    "cola": 59.9,
    "stsb": 92.6,
    "mrpc": 89.4,
    "rte": 84.3,
}
SUPERGLUE = {
    "boolq": [85.9], "cb": [74.7, 88.0], "copa": [88.6], "multirc": [82.5, 50.0], "record": [70.6, 69.9],
    "superglue-rte": [84.3], "wic": [72.1], "wsc": [78.1],
}  # fmt: skip


def test_averages_are_the_papers() -> None:
    glue = {name: {TASKS[name].columns[0]: value, "other": 0.0} for name, value in GLUE.items()}
    assert average("glue", {**glue, "wnli": {"accuracy": 74.7}, "ax": {"matthews": 52.7}}) == pytest.approx(
        84.81, abs=0.005
    )
    superglue = {n: dict(zip(TASKS[n].columns, values, strict=True)) for n, values in SUPERGLUE.items()}
    assert average("superglue", {**superglue, "axb": {"matthews": 52.7}}) == pytest.approx(78.36, abs=0.005)
    assert average("glue", {n: v for n, v in glue.items() if n != "rte"}) is None
    assert average("nothing", {}) is None
