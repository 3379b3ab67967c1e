"""The majority label and random labels, without a model."""

import subprocess
import sys

import pytest
from asking import TASKS, ask_and_score, files, spec_of, write_data
from scenes import scene_rows, scenes, scenes_spec, write_scenes

from rl4nlu.answering.guesses import majority_label, random_label
from rl4nlu.base.errors import ConfigError
from rl4nlu.scores.evaluate import score_run
from rl4nlu.tasks.rows import Row
from rl4nlu.tasks.task import Task, load_task

STSB, CB = load_task("stsb"), load_task("cb")


@pytest.fixture
def data(tmp_path):
    return write_data(tmp_path / "data")


def test_baselines_without_a_model_load_no_torch(data, tmp_path):
    program = (
        "import sys; from pathlib import Path; from rl4nlu.answering.answer import answer_run; from rl4nlu.runs.spec import RunSpec;"
        "answer_run(RunSpec.model_validate_json(sys.argv[1]), Path(sys.argv[2]), None, Path(sys.argv[3]));"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    for method in ("majority", "random"):
        spec = spec_of(method, ("sst2", "stsb", "superglue-rte"), seed=1)
        out = tmp_path / method
        subprocess.run([sys.executable, "-c", program, spec.model_dump_json(), data, out / "answers"], check=True)
        score_run(spec, data, out / "answers", out)
    predictions, record = files(tmp_path / "majority" / "sst2")
    assert {p["prediction"] for p in predictions} == {list(TASKS["sst2"].labels)[1]}  # two thirds of the training rows
    assert record["decoding"] is None
    assert files(tmp_path / "majority" / "stsb")[0][0]["prediction"] == pytest.approx((3 * 1.0 + 6 * 4.5) / 9)
    assert {p["prediction"] for p in files(tmp_path / "random" / "sst2")[0]} == {"0", "1"}
    assert len({p["prediction"] for p in files(tmp_path / "majority" / "superglue-rte")[0]}) == 1


def test_majority_takes_the_most_frequent_label_and_the_mean_of_numbers():
    def rows(*labels):
        return [Row(str(n), {}, label) for n, label in enumerate(labels)]

    first, second = list(CB.labels)[:2]
    assert majority_label(CB, rows(second, first, second)) == second
    assert majority_label(CB, rows(second, first)) == first  # a tie goes to the task's order
    assert majority_label(STSB, rows(1.0, 4.0, 4.0)) == 3.0
    with pytest.raises(ConfigError, match="cb: majority needs labelled training rows"):
        majority_label(CB, rows(None))


@pytest.mark.parametrize("task", [CB, STSB], ids=lambda task: task.name)
def test_random_labels_are_uniform_and_depend_on_seed_and_row_alone(task: Task):
    labels = [random_label(task, 0, f"row {n}") for n in range(3000)]
    assert labels == [random_label(task, 0, f"row {n}") for n in range(3000)]
    assert labels != [random_label(task, 1, f"row {n}") for n in range(3000)]
    if task.labels:
        assert all(800 < labels.count(label) < 1200 for label in task.labels)
    else:
        assert all(task.low <= float(x) <= task.high for x in labels)
        assert sum(float(x) for x in labels) / 3000 == pytest.approx((task.low + task.high) / 2, abs=0.1)


def test_a_random_text_is_a_training_rows_reference_and_is_judged(tmp_path):
    task = scenes(metrics=["rouge-l", "judge", "perplexity"], judge={"title": "Mood", "text_a": "{answer}"})
    data = write_scenes(tmp_path / "data")
    for judges in ({}, {"scenes": "vader"}):
        spec = scenes_spec("random", task, judges=judges)
        ask_and_score(spec, data, None, tmp_path / "out")
        predictions, record = files(tmp_path / "out" / "scenes")
        assert {p["text"] for p in predictions} <= {row.answers[0] for row in scene_rows(12, "train")}
        assert len({p["text"] for p in predictions}) > 2
        assert set(record["metrics"]) == {"rouge-l", *(["judge"] if judges else [])}
        assert set(record["absent"]) == {"perplexity", *([] if judges else ["judge"])}
        assert record["decoding"] is None
    other = scenes_spec("random", task, seed=1)
    ask_and_score(other, data, None, tmp_path / "other")
    assert [p["text"] for p in files(tmp_path / "other" / "scenes")[0]] != [p["text"] for p in predictions]
