"""Answers of a remote model, kept by prompt."""

import random

from rl4nlu.models.cache import Cache


def test_a_cache_reads_what_it_wrote(tmp_path) -> None:
    rng, cache = random.Random(0), Cache(tmp_path / "a" / "b.jsonl")
    texts = {str(i): "".join(chr(rng.randrange(32, 0xDBFF)) for _ in range(20)) + "\n\u2028" for i in range(50)}
    for key, text in texts.items():
        cache.add(key, text)
    assert Cache(tmp_path / "a" / "b.jsonl").answers == texts
