"""The stage: rationales of a task's rows from the source that config names, cached, filtered and counted.

The derivations' writer, which reads the microworld, is picked by name: where another source writes, it is none of the code
that `base.code` counts (`code_of` says what is).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from ..base.errors import ConfigError
from ..base.files import digest_of, file_digest, read_json, write_json, write_jsonl
from ..config import Rationales
from ..models.cache import NOT_THE_ANSWER, Cache, ask_once
from ..tasks.rows import SPLITS, Row, load_rows
from ..tasks.task import Task
from .requests import DROPPED_RATIONALES, Request, kept, prompt_digest, requests_of, write_arguing_prompt
from .supplied import Supplied
from .template import form, template

DERIVED = "rl4nlu.rationales.derived"

TOKENS_A_WORD, TOKENS_OF_LABEL = 3, 40
"""A model's answer may have so many tokens for each word that a rationale may have, and for the label in its tags."""


def model_of(settings: Rationales) -> dict[str, Any] | None:
    """What a chat model or an endpoint is asked with: what names its answers; None for the other sources."""
    part = {"chat": settings.chat, "endpoint": settings.endpoint}.get(settings.source)
    return part.model_dump(mode="json", exclude=NOT_THE_ANSWER) if part else None


def cached_answers(
    task: Task, settings: Rationales, requests: Sequence[Request], folder: Path, counts: Counter[str]
) -> Iterator[tuple[int, str]]:
    """Answers of a chat model or an endpoint: those in the cache, then those that it has to be asked for."""
    model = model_of(settings)
    cache = Cache(folder / digest_of([settings.source, model]) / f"{task.name}.jsonl")
    prompts = [write_arguing_prompt(task, request, settings.max_words) for request in requests]
    keys = [digest_of([model, prompt]) for prompt in prompts]
    ask_once(cache, keys, prompts, lambda waiting: answers_to(settings, waiting), counts)
    yield from ((number, cache.answers[key]) for number, key in enumerate(keys) if key in cache.answers)


def answers_to(settings: Rationales, prompts: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Answers of the model that config names, as they come."""
    longest = TOKENS_A_WORD * settings.max_words + TOKENS_OF_LABEL
    if settings.source == "chat":
        from .chat import chat

        assert settings.chat is not None
        return chat(settings.chat, prompts, longest, settings.seed)
    from ..models.endpoint import ask_endpoint

    assert settings.endpoint is not None
    return ask_endpoint(settings.endpoint, prompts, longest)


def responses(
    task: Task,
    settings: Rationales,
    requests: Sequence[Request],
    cache: Path,
    counts: Counter[str],
    own: Supplied | None,
) -> Iterator[tuple[int, str]]:
    """Responses to the requests, from the source that config names."""
    if own is not None:
        return own(requests)
    if settings.source in ("chat", "endpoint"):
        return cached_answers(task, settings, requests, cache, counts)
    if settings.source == "template":
        return template(task, settings.seed)(requests)
    written: Iterator[tuple[int, str]] = import_module(DERIVED).write_derived(task, settings.seed)(requests)
    return written


def code_of(settings: Rationales) -> tuple[str, ...]:
    """Modules below the package whose logic writes the rationales, for `base.code`."""
    return ("rationales.writing", "rationales.derived") if settings.source == "derived" else ("rationales.writing",)


def values_read(task: Task, settings: Rationales) -> dict[str, Any]:
    """Settings that the rationales depend on: of the task, what is asked and how answers are read, and of the config."""
    kept = {"name", "description", "query", "fields", "labels", "answer"}
    source = task.sources.microworld if settings.source == "derived" else None
    return {
        "task": task.model_dump(mode="json", include=kept),
        "generated": source and source.model_dump(mode="json"),
        "rationales": settings.model_dump(mode="json", exclude={"max_tokens"}),
    }


def some(rows: list[Row], most: int | None, seed: str) -> list[Row]:
    """At most `most` rows, drawn by the seed, in their order."""
    if most is None or len(rows) <= most:
        return rows
    chosen = sorted(random.Random(seed).sample(range(len(rows)), most))
    return [rows[i] for i in chosen]


def write_rationales(task: Task, settings: Rationales, data: Path, cache: Path, out: Path) -> dict[str, Any]:
    """Write `rationales.jsonl` and `rationales-record.json` to `out`; returns the record.

    Args:
        task: its answers are label words.
        settings: the source, the filters, the seed.
        data: folder of prepared rows.
        cache: folder of answers that models gave.
        out: `data/<task>`.

    Raises:
        ConfigError: the task's answers are numbers, a source fails (what it gave is in the cache), or nothing is kept.
    """
    if not task.labels:
        raise ConfigError(
            f"task {task.name}: its answers are numbers; rationales argue for label words (rllr-stsb has classes)"
        )
    own = (
        Supplied(task, Path(settings.supplied.format(task=task.name)))
        if settings.source == "supplied" and settings.supplied
        else None
    )
    labels: Callable[[Row], Sequence[str]] = (
        (lambda row: own.labels(row.id)) if own else (lambda row: list(task.labels))
    )
    requests: list[Request] = []
    for split in SPLITS:
        rows = some(load_rows(data, task.name, split), settings.rows, f"rationales|{settings.seed}|{split}")
        requests += requests_of(rows, split, labels, settings.wrong_labels, settings.seed, settings.ungrounded)
    counts: Counter[str] = Counter()
    found = dict(responses(task, settings, requests, cache, counts, own))
    lines, dropped = [], Counter(dict.fromkeys(DROPPED_RATIONALES, 0))
    for number, request in enumerate(requests):
        rationale, reason = kept(task, request, found.get(number), settings.max_words)
        if rationale is None:
            dropped[reason] += 1
            continue
        lines.append(
            {
                "split": request.split,
                "id": request.row.id,
                "label": request.label,
                "gold": request.gold,
                "grounded": request.grounded,
                "rationale": rationale,
            }
        )
    if not lines:
        raise ConfigError(
            f"task {task.name}: of {len(requests)} rationales from source {settings.source} none is kept: {dict(dropped)}"
        )
    write_jsonl(out / "rationales.jsonl", lines)
    record = {
        "task": task.name,
        "source": settings.source,
        "model": model_of(settings),
        "note": NOTES[settings.source] + (f": {form(task)}" if settings.source == "template" else ""),
        "prompt_digest": prompt_digest(task),
        "rows_digests": read_json(out / "record.json")["digests"] if (out / "record.json").is_file() else None,
        "digest": file_digest(out / "rationales.jsonl"),
        "seed": settings.seed,
        "wrong_labels": settings.wrong_labels,
        "max_words": settings.max_words,
        "requests": len(requests),
        "asked": counts["asked"],
        "from_cache": counts["from cache"],
        "kept": len(lines),
        "kept_gold": {
            split: sum(1 for x in lines if x["gold"] and x["grounded"] and x["split"] == split) for split in SPLITS
        },
        "kept_wrong": {
            split: sum(1 for x in lines if not x["gold"] and x["grounded"] and x["split"] == split) for split in SPLITS
        },
        "ungrounded": sum(not x["grounded"] for x in lines),
        "dropped": dict(dropped),
    }
    write_json(out / "rationales-record.json", record)
    return record


NOTES = {
    "derived": "derived from why a generated label holds",
    "template": "a template that quotes spans of the input",
    "supplied": "a supplied file",
    "chat": "a chat model on this machine",
    "endpoint": "a chat model behind an endpoint",
}
"""What tables say of the rationales, by source."""
