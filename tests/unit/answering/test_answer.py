"""A run's answers as files: whole, resumed where they were stopped, and of the rows that are scored."""

import sys
from contextlib import contextmanager

import pytest
from asking import TASKS, TOKENIZER, ask_and_score, files, reading_backbone, rows_of, spec_of, write_data
from tiny_models import tiny_decoder

from rl4nlu.answering.answer import Answer, Backbone, Shots, answer_run, read_answers
from rl4nlu.base.errors import ConfigError
from rl4nlu.base.journal import Journal
from rl4nlu.tasks import rows as load


@pytest.fixture
def data(tmp_path):
    return write_data(tmp_path / "data")


@pytest.fixture
def backbone():
    return reading_backbone()


def test_absent_rows_are_named(data, tmp_path):
    with pytest.raises(ConfigError, match=r"cola/test\.jsonl"):
        ask_and_score(spec_of("random", ("cola",)), data, None, tmp_path / "out")
    with pytest.raises(ConfigError, match=r"superglue-rte/validation\.jsonl: holds no rows"):
        load.rows_of(data, "superglue-rte", "validation")


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("zero-shot", {"evaluation": {"bootstrap": 20, "batch_tokens": 600, "decoding": {"how": "sample"}}}),
        ("zero-shot", {"evaluation": {"bootstrap": 20, "batch_tokens": 600, "decoding": {"how": "score"}}}),
        ("few-shot", {"evaluation": {"bootstrap": 20, "batch_tokens": 900}, "prompting": {"shots": [1, 2]}}),
    ],
)
def test_a_run_stopped_in_the_middle_asks_what_is_missing_and_ends_the_same(
    data, tmp_path, monkeypatch, method, settings
):
    backbone = Backbone(TOKENIZER, tiny_decoder("llama", len(TOKENIZER), positions=2048))
    spec = spec_of(method, ("sst2", "rte"), **settings)
    ask_and_score(spec, data, None, tmp_path / "whole", backbone, journal=Journal(tmp_path / "other.jsonl"))
    asked, journal = [], tmp_path / "journal.jsonl"
    genuine = Journal.add

    def add(self, part, rows, answers):
        asked.append((part, tuple(rows)))
        if len(asked) in (2, 7):
            raise KeyboardInterrupt
        genuine(self, part, rows, answers)

    monkeypatch.setattr(Journal, "add", add)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            ask_and_score(spec, data, None, tmp_path / "stopped", backbone, Journal(journal))
    journal.write_bytes(journal.read_bytes()[:-9])  # the machine went down in the middle of a line
    ask_and_score(spec, data, None, tmp_path / "stopped", backbone, Journal(journal))
    # asked twice: the two batches that were lost before they were written, and the one whose line was torn
    assert len(asked) - len(set(asked)) == 3
    assert not journal.exists()
    for task in ("sst2", "rte"):
        (texts, record), (expected, whole) = (files(tmp_path / out / task) for out in ("stopped", "whole"))
        assert texts == expected
        assert {**record, "seconds": 0} == {**whole, "seconds": 0}


def test_a_method_answers_by_the_module_that_its_entry_names(data, tmp_path, monkeypatch):
    asked = []

    class Module:
        @staticmethod
        @contextmanager
        def open_answerer(given):
            asked.append(given.trained)
            yield lambda task, rows: ([Answer(label=row.label) for row in rows], Shots())

    monkeypatch.setitem(sys.modules, "rl4nlu.methods.encoder", Module)
    spec = spec_of().model_copy(update={"method": "encoder"})
    ask_and_score(spec, data, tmp_path / "run", tmp_path / "out")
    assert asked == [tmp_path / "run"]
    assert files(tmp_path / "out" / "sst2")[1]["metrics"]["accuracy"]["value"] == 100.0


def test_what_was_written_is_read_again(data, tmp_path):
    spec = spec_of("few-shot", prompting={"shots": [1, 2], "demonstrations": "first"})
    answer_run(spec, data, None, tmp_path, reading_backbone())
    answers, shots, seconds = read_answers(tmp_path, TASKS["sst2"], rows_of("sst2", 12))
    assert [answer.text for answer in answers[6:9]] == [
        " Positive </Judgement>",
        " maybe </Judgement>",
        " Negative </Judgement>",
    ]
    assert answers[0].tokens > 0
    assert shots.demonstrations == ("sst2/train:0", "sst2/train:1")[: len(shots.demonstrations)]
    assert set(shots.scores) == {1, 2}
    assert seconds > 0
