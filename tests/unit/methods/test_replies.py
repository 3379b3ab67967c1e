"""Replies to questions: sampled from a model, reproducibly."""

from questions import SST2, TASKS

from rl4nlu.config import Model, load_config
from rl4nlu.methods.replies import sample_replies
from rl4nlu.models.load import load_backbone, load_tokenizer
from rl4nlu.runs.resolve import resolve
from rl4nlu.runs.spec import Address
from rl4nlu.tasks.rows import Row


def test_replies_are_sampled_reproducibly():
    models = {"tiny": Model(kind="decoder", path="resources/micro/micro-llama")}
    config = load_config({"pairs": {"replies": 2}})
    spec = resolve(config, models, TASKS, Address("tiny", "pairs", "sst2", "main", 0))
    rows = [(SST2, Row(str(n), {"sentence": f"film {n}"}, "1")) for n in range(2)]
    real, words = load_backbone(spec.model_spec), load_tokenizer(spec.model_spec)
    once, twice = (sample_replies(spec, real, words, rows, 5) for _ in range(2))
    assert once == twice
    assert [len(row) for row in once] == [2, 2]
