"""Scores of a run's answers: what is read of them, what is written, and that nobody is asked."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
from asking import CLOSE, TASKS, TOKENIZER, ask_and_score, files, reader, reading_backbone, rows_of, spec_of, write_data
from scenes import describing_backbone, scene_rows, scenes, scenes_spec, write_scenes
from tiny_models import RuleDecoder

from rl4nlu.answering.answer import Backbone, answer_run
from rl4nlu.base.errors import ConfigError
from rl4nlu.base.files import write_text
from rl4nlu.scores.evaluate import gold_of, score_run
from rl4nlu.tasks.metrics import score
from rl4nlu.tasks.units import cluster_of


@pytest.fixture
def data(tmp_path):
    return write_data(tmp_path / "data")


@pytest.fixture
def backbone():
    return reading_backbone()


def test_the_record_says_what_was_asked_and_the_scores_follow_from_the_predictions(data, tmp_path, backbone):
    spec = spec_of(seed=3)
    ask_and_score(spec, data, None, tmp_path / "out", backbone)
    predictions, record = files(tmp_path / "out" / "sst2")
    rows = rows_of("sst2", 12)
    assert [p["id"] for p in predictions] == [row.id for row in rows]
    assert [p["gold"] for p in predictions] == [row.label for row in rows]
    assert predictions[0]["text"] == f" Positive {CLOSE}"
    assert predictions[7]["prediction"] is None
    assert {p["cluster"] for p in predictions} == {None}
    assert predictions[7]["score"] == 0.0
    found = score(TASKS["sst2"], rows, [p["prediction"] for p in predictions])
    assert {name: m["value"] for name, m in record["metrics"].items()} == found
    assert found["accuracy"] == pytest.approx(100 * 11 / 12)
    assert all(m["low"] <= m["value"] <= m["high"] for m in record["metrics"].values())
    expected = {"model": "tiny", "method": "zero-shot", "mixture": "none", "variant": "main", "seed": 3, "task": "sst2"}
    expected |= {"split": "test", "n": 12, "shots": 0, "decoding": "greedy", "digest": spec.evaluation_digest}
    assert {key: record[key] for key in expected} == expected
    assert record["invalid_rate"] == pytest.approx(1 / 12)
    assert record["generated_tokens"] == sum(len(TOKENIZER.encode(p["text"])) for p in predictions)


def test_protocol_switches_parser_fallback_and_stop(data, tmp_path, backbone):
    def run(rule, **protocol):
        over = Backbone(TOKENIZER, RuleDecoder(TOKENIZER, rule))
        settings = {"bootstrap": 0, "decoding": {"max_new_tokens": 30}}
        spec = spec_of(protocol=protocol, evaluation=settings)
        ask_and_score(spec, data, None, tmp_path / "out", over)
        return files(tmp_path / "out" / "sst2")

    predictions, record = run(lambda prompt: " Positive and so on")  # no closing tag
    assert record["invalid_rate"] == 1.0
    assert all(m["low"] is None for m in record["metrics"].values())
    predictions, record = run(lambda prompt: " Positive and so on", parser="lenient")
    assert record["invalid_rate"] == 0.0
    assert {p["prediction"] for p in predictions} == {"1"}

    predictions, record = run(reader, random_fallback=True)
    assert record["invalid_rate"] == pytest.approx(1 / 12)
    assert record["random_labels"] == 1
    assert predictions[7]["prediction"] in ("0", "1")
    assert predictions == run(reader, random_fallback=True)[0]

    assert run(reader)[0][0]["text"] == f" Positive {CLOSE}"
    assert run(reader, stop_at_tag=False)[0][0]["text"].startswith(f" Positive {CLOSE}\n<An")


def test_predictions_name_the_text_that_they_are_drawn_with_and_do_not_hold_it(data, tmp_path, backbone):
    ask_and_score(spec_of(tasks=["rte"]), data, None, tmp_path / "out", backbone)
    predictions, _ = files(tmp_path / "out" / "rte")
    assert [p["cluster"] for p in predictions] == [cluster_of(TASKS["rte"], row) for row in rows_of("rte", 12)]
    assert len({p["cluster"] for p in predictions}) == 12
    assert not any("good" in p["cluster"] or "bad 1" in p["cluster"] for p in predictions)


def test_records_hold_plain_json(data, tmp_path, backbone):
    ask_and_score(spec_of(), data, None, tmp_path / "out", backbone)
    text = (tmp_path / "out" / "sst2" / "metrics.json").read_text()
    assert "NaN" not in json.dumps(json.loads(text))


def test_answers_are_scored_without_a_model_and_another_parser_or_metric_asks_nobody(data, tmp_path, backbone):
    answer_run(spec_of(), data, None, tmp_path / "answers", backbone)
    for name in ("torch", "transformers", "sklearn", "scipy", "pandas"):
        write_text(tmp_path / "poison" / f"{name}.py", "raise ImportError('not needed here')")
    program = (
        "import sys; from pathlib import Path; from rl4nlu.scores.evaluate import score_run; from rl4nlu.runs.spec import RunSpec;"
        "score_run(RunSpec.model_validate_json(sys.argv[1]), *map(Path, sys.argv[2:]))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "poison"), *sys.path])}
    for name, protocol in (("strict", {}), ("lenient", {"parser": "lenient"})):
        arguments = (spec_of(protocol=protocol).model_dump_json(), data, tmp_path / "answers", tmp_path / name)
        subprocess.run([sys.executable, "-c", program, *map(str, arguments)], check=True, env=environment)
        ask_and_score(spec_of(protocol=protocol), data, None, tmp_path / "whole", backbone)
        assert files(tmp_path / name / "sst2")[0] == files(tmp_path / "whole" / "sst2")[0]


def test_answers_to_other_rows_are_refused(data, tmp_path, backbone):
    with pytest.raises(ConfigError, match=r"answers/sst2\.jsonl: no answers to the rows of task sst2"):
        score_run(spec_of(), data, tmp_path / "answers", tmp_path / "out")
    answer_run(spec_of(), data, None, tmp_path / "answers", backbone)
    rows = (data / "sst2" / "test.jsonl").read_text().splitlines(keepends=True)
    write_text(data / "sst2" / "test.jsonl", "".join(rows[1:]))
    with pytest.raises(ConfigError, match=r"answers/sst2\.jsonl: answers other rows"):
        score_run(spec_of(), data, tmp_path / "answers", tmp_path / "out")


def test_texts_are_scored_by_what_their_metrics_add_up(tmp_path):
    task = scenes(metrics=["rouge-l", "bleu-4", "judge", "spice", "output-perplexity"])
    data = write_scenes(tmp_path / "data")
    spec = scenes_spec(task=task, protocol={"random_fallback": True})
    ask_and_score(spec, data, None, tmp_path / "out", describing_backbone())
    predictions, record = files(tmp_path / "out" / "scenes")
    rows = scene_rows(9)
    assert list(record["metrics"]) == ["rouge-l", "bleu-4", "output-perplexity"]
    assert set(record["absent"]) == {"judge", "spice"}
    assert "Java" in record["absent"]["spice"]
    assert score(task, rows, [p["prediction"] for p in predictions]) == pytest.approx(
        {name: m["value"] for name, m in record["metrics"].items()} | dict.fromkeys(record["absent"], float("nan")),
        nan_ok=True,
    )
    assert all(m["low"] <= m["value"] <= m["high"] for m in record["metrics"].values())
    assert record["invalid_rate"] == pytest.approx(1 / 3)  # of cats nothing is written
    assert record["random_labels"] == 0
    assert [p["score"] for p in predictions[:2]] == [100.0, 0.0]
    assert len({p["gold"] for p in predictions}) == 9
    changed = [row if n else replace(row, answers=["other"]) for n, row in enumerate(rows)]
    assert [gold_of(task, row) != p["gold"] for row, p in zip(changed, predictions, strict=True)] == [True] + [
        False
    ] * 8
