"""What names answers and scores: an edit makes what it can change another, and nothing else."""

import pytest
from asking import spec_of, write_data
from scenes import scenes, scenes_spec

from rl4nlu.base.code import modules_of
from rl4nlu.base.files import write_json
from rl4nlu.config import METHODS
from rl4nlu.runs.keys import answers_key, answers_record, scores_key, scoring_code, training_key


@pytest.fixture
def data(tmp_path):
    for path in write_data(tmp_path / "data").iterdir():
        write_json(path / "record.json", {"digests": dict.fromkeys(("train", "validation", "test"), "a")})
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("method", "settings", "other_answers"),
    [
        ("zero-shot", {"evaluation": {"bootstrap": 21}}, False),
        ("zero-shot", {"protocol": {"random_fallback": True}}, False),
        ("zero-shot", {"protocol": {"parser": "lenient"}}, False),
        ("few-shot", {"protocol": {"parser": "lenient"}}, True),  # shots are chosen by it
        ("few-shot", {"evaluation": {"bootstrap": 21}}, False),
        ("zero-shot", {"evaluation": {"bootstrap": 20, "decoding": {"how": "score"}}}, True),
    ],
)
def test_only_what_a_model_is_asked_by_names_its_answers(data, method, settings, other_answers):
    usual, other = spec_of(method), spec_of(method, **settings)
    found = answers_key(usual, data, None), answers_key(other, data, None)
    assert (found[0] != found[1]) == other_answers
    assert scores_key(usual, found[0]) != scores_key(other, found[1])


def test_other_weights_rows_or_answers_are_named_otherwise(data):
    spec = spec_of("sft", mixture="sst2")
    names = [answers_key(spec, data, "one"), answers_key(spec, data, "two")]
    write_json(data / "sst2" / "record.json", {"digests": {"test": "b"}})
    names.append(answers_key(spec, data, "one"))
    assert len({*names, *(scores_key(spec, name) for name in names)}) == 6


def test_a_run_is_another_one_when_the_run_that_chose_its_learning_rate_is(data, tmp_path):
    spec = spec_of("sft", mixture="sst2", seed=1, tuning_seed=0, sft={"learning_rates": [1e-3, 3e-3]})
    found = set()
    for key in ("one", "two"):
        write_json(tmp_path / "run.json", {"key": key})
        found.add(training_key(spec, data, {"learning_rate": tmp_path}))
    assert len(found) == 2


def test_how_answers_are_read_and_scored_is_no_part_of_asking():
    scoring = {"scores.evaluate", "scores.intervals", "tasks.metrics", "tasks.reading"}
    assert scoring <= set(modules_of("scores.evaluate"))
    for method in ("zero-shot", "sft", "ppo", "majority"):
        assert not scoring & set(modules_of(METHODS[method].answered_by)), method
    assert "methods.encoder" not in modules_of("answering.few_shot")
    assert {"tasks.metrics", "tasks.reading"} <= set(modules_of("answering.few_shot"))


def test_a_run_that_trains_nothing_is_named_by_its_own_record(tmp_path):
    assert answers_record(spec_of(), tmp_path / "answers") == tmp_path / "run.json"
    assert answers_record(spec_of("sft", mixture="sst2"), tmp_path / "answers") == tmp_path / "answers" / "answers.json"


def test_what_reads_generated_texts_counts_where_a_metric_asks_for_it():
    plain, exact = (scoring_code(scenes_spec(task=scenes(metrics=["rouge-l", *more]))) for more in ([], ["facts"]))
    assert plain != exact
    assert "microworld.exact" not in modules_of("scores.evaluate")
    assert plain == scoring_code(spec_of())
