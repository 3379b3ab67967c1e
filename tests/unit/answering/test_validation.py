"""The score that decides what is chosen while training."""

import pytest
from asking import CLOSE, TASKS, TOKENIZER, rows_of, spec_of, write_data
from tiny_models import RuleDecoder

from rl4nlu.answering.decoder import ask
from rl4nlu.answering.labels import main_score
from rl4nlu.answering.validation import validation_score


@pytest.fixture
def data(tmp_path):
    return write_data(tmp_path / "data")


def test_validation_score_is_the_mean_over_training_tasks_strict_and_greedy(data):
    model = RuleDecoder(TOKENIZER, lambda prompt: f" {'Positive' if 'entiment' in prompt else 'Yes'} {CLOSE}")
    model.train()
    noise = {"decoding": {"how": "sample", "temperature": 1000.0}}
    spec = spec_of("sft", mixture="sst2", protocol={"parser": "lenient"}, evaluation=noise)
    both = spec.model_copy(update={"train_tasks": (TASKS["sst2"], TASKS["rte"])})
    scores = []
    for task in both.train_tasks:
        rows = rows_of(task.name, 8, "validation")
        answers = ask(spec_of(), model, TOKENIZER, task, rows)
        scores.append(main_score(task, rows, answers, spec_of().protocol, data))
    assert validation_score(both, model, TOKENIZER, data) == pytest.approx(sum(scores) / 2)
    assert scores[0] != scores[1] or scores[0] > 0
    assert model.training
    loose = RuleDecoder(TOKENIZER, lambda prompt: " Positive")  # only a lenient parser reads it
    assert validation_score(spec, loose, TOKENIZER, data) == 0.0
