"""Answers of chat models and servers, kept on disk so that none is asked for twice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

NOT_THE_ANSWER = {"timeout", "attempts", "longest_wait", "concurrency", "key_variable", "batch_size"}
"""Settings of a model that don't change what it is asked."""


class Cache:
    """Answers by prompt digest, one JSON object a line, appended as they come.

    A last line that a killed process left unfinished is passed over, and asked for again.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.answers = path, dict[str, str]()
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        for line in text.split("\n"):  # splitlines would cut answers at other characters, too
            try:
                found = json.loads(line)
                self.answers[found["prompt"]] = found["answer"]
            except (ValueError, TypeError, KeyError):
                continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if text and not text.endswith("\n"):
            with path.open("a", encoding="utf-8") as file:
                file.write("\n")

    def add(self, prompt: str, answer: str) -> None:
        """Keep an answer, on disk before anything else happens."""
        self.answers[prompt] = answer
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"prompt": prompt, "answer": answer}) + "\n")


def ask_once(
    cache: Cache,
    keys: Sequence[str],
    prompts: Sequence[str],
    ask: Callable[[Sequence[str]], Iterator[tuple[int, str]]],
    counts: Counter[str],
) -> None:
    """Put the answers to `prompts`, named by their keys, into the cache; what it holds is not asked for again."""
    waiting = list({key: prompt for key, prompt in zip(keys, prompts, strict=True) if key not in cache.answers}.items())
    counts["from cache"] += sum(key in cache.answers for key in keys)
    if waiting:
        for number, answer in ask([prompt for _, prompt in waiting]):
            cache.add(waiting[number][0], answer)
            counts["asked"] += 1
