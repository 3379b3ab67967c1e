"""Rationales from the derivations of generated rows: the arguments of `microworld.arguments`, gold or wrong.

A row with label noise is argued for as printed: its printed label gets the argument of a wrong one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..base.errors import ConfigError
from ..microworld.arguments import ARGUE
from ..tasks.task import Task
from .requests import Request, Source, response_of


def labels_of(task: Task, generator: str) -> Callable[[str], Any]:
    """Canonical label -> the generator's own (MNLI's relations are its rules' names, booleans and numbers are read)."""
    if generator == "mnli":
        return lambda label: label
    source = task.sources.microworld
    back = {label: raw for raw, label in (source.labels if source else {}).items()}

    def own(label: str) -> Any:
        raw = back.get(label, label)
        words = {"true": True, "false": False, "entailment": 0, "not_entailment": 1}
        return words[raw] if raw in words else int(raw)

    return own


def write_derived(task: Task, seed: int) -> Source:
    """Arguments from the derivations of microworld rows.

    Raises:
        ConfigError: the task's generator has no arguments, or a row no derivation.
    """
    source = task.sources.microworld
    generator = (source.task or task.name) if source else ""
    if generator not in ARGUE:
        raise ConfigError(
            f"task {task.name}: rationales.source derived knows no arguments for generator {generator or 'none'!r}; "
            f"it does for {', '.join(ARGUE)}. Use template, supplied, chat or endpoint."
        )
    own = labels_of(task, generator)

    def write(requests: Sequence[Request]) -> Iterator[tuple[int, str]]:
        for number, request in enumerate(requests):
            row, derivation = request.row, request.row.derivation
            if derivation is None:
                raise ConfigError(
                    f"task {task.name}: row {row.id} was not generated, so that its label has no derivation; "
                    "set rationales.source to template, supplied, chat or endpoint"
                )
            if generator == "mnli":
                right: Any = derivation["rule"]
            else:
                right = derivation["clean_label"] if derivation["noisy"] else own(str(row.label))
            rng = random.Random(f"{seed}|{task.name}|{row.id}|{request.label}|{request.grounded}")
            text = ARGUE[generator](rng, derivation, row.fields, right, own(request.label), request.grounded)
            yield number, response_of(task, request.label, text[0].upper() + text[1:])

    return write
