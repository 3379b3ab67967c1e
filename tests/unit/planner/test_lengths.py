"""Lengths of prompts: of prepared rows where there are any."""

import json

from planned_runs import NOWHERE, spec_of

from rl4nlu.planner.estimate import estimate_training
from rl4nlu.planner.lengths import lengths_of_tasks


def test_prepared_rows_are_used_where_they_exist(tmp_path):
    folder = tmp_path / "rte"
    folder.mkdir()
    spec = spec_of("sft")
    before = estimate_training(spec, tmp_path / "empty")
    row = {"id": "1", "fields": {"sentence1": "word " * 300, "sentence2": "word " * 300}, "label": "entailment"}
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for _ in range(20)))
    (folder / "record.json").write_text(json.dumps({"rows": {"train": 20, "validation": 5, "test": 5}}))
    after = estimate_training(spec, tmp_path)
    assert before is not None
    assert after is not None
    assert after.memory.activations > 1.5 * before.memory.activations


def test_lengths_of_texts_are_those_that_their_task_allows():
    spec = spec_of("sft", "gpt2-imdb", "imdb", judges={"imdb": "vader"})
    (review,) = lengths_of_tasks(spec, spec.train_tasks, NOWHERE)
    assert (review.mean, review.long) == (64, 64)  # half a review of 656 characters, cut to the task's 64 tokens
    assert (review.answer, review.room) == (48, 48)
    spec = spec_of("sft", "gpt2", "commongen")
    (words,) = lengths_of_tasks(spec, spec.train_tasks, NOWHERE)
    assert words.mean < words.long == 15
    spec = spec_of("sft")
    assert lengths_of_tasks(spec, spec.train_tasks, NOWHERE)[0].room is None
