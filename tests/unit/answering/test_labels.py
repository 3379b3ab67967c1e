"""What is scored of answers, and the score that decides choices."""

import math

import pytest
from asking import TASKS, rows_of
from scenes import scene_rows, scenes, scenes_spec, write_scenes

from rl4nlu.answering.answer import Answer
from rl4nlu.answering.labels import confidences_of, main_score, read_labels, to_predictions
from rl4nlu.base.errors import ConfigError
from rl4nlu.config import Protocol

STRICT = Protocol()


@pytest.fixture
def data(tmp_path):
    return write_scenes(tmp_path)


def test_labels_are_scored_as_they_are_and_texts_by_their_statistics(data):
    answers = [Answer(" Positive </Judgement>"), Answer(label="0"), Answer("maybe")]
    labels = read_labels(TASKS["sst2"], answers, STRICT)
    assert labels == ["1", "0", None]
    assert to_predictions(TASKS["sst2"], rows_of("sst2", 3), answers, labels, data) == labels
    task, answers = (
        scenes(),
        [Answer(" a dog can run . "), Answer("  "), Answer(label="a horse")],
    )  # of "a horse can run ."
    labels = read_labels(task, answers, STRICT)
    assert labels == ["a dog can run .", None, "a horse"]
    found = to_predictions(task, scene_rows(3), answers, labels, data)
    assert [row["rouge-l"] for row in found] == [[100.0, 1.0], [0.0, 1.0], [pytest.approx(200 / 3), 1.0]]
    assert found[0]["perplexity"] == [0.0, 0.0]


def test_less_of_a_perplexity_is_better(data):
    answers = [Answer("x", measured={"nll": 3.0 * n, "tokens": 3}) for n in (1, 2)]
    task = scenes(metrics=["perplexity", "rouge-l"])
    assert main_score(task, scene_rows(2), answers, STRICT, data) == pytest.approx(-math.exp(9 / 6))
    better = [Answer("x", measured={"nll": 1.0, "tokens": 3})] * 2
    assert main_score(task, scene_rows(2), better, STRICT, data) > main_score(
        task, scene_rows(2), answers, STRICT, data
    )


def test_nothing_is_chosen_by_a_metric_that_cannot_be_computed(data):
    with pytest.raises(ConfigError, match="scenes: judge, its first metric, decides choices: no judge is named"):
        main_score(scenes(metrics=["judge"]), scene_rows(1), [Answer("x", measured={})], STRICT, data)


def test_confidences_are_there_for_all_answers_or_for_none():
    assert confidences_of([Answer(confidence=0.5), Answer()]) is None
    assert confidences_of([Answer(confidence=0.5), Answer(confidence=0.2)]) == [0.5, 0.2]


def test_a_run_of_texts_is_resolved():
    assert scenes_spec().eval_tasks == (scenes(),)
