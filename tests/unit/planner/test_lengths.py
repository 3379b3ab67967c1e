"""Lengths of prompts: of prepared rows where there are any."""

import json

from planned_runs import spec_of

from rl4nlu.planner.estimate import estimate_training


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
