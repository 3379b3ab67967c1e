"""What an entry of the table of methods says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from .settings import Settings

ADAPTER = ("history.jsonl", "adapter")
"""What a run that trains an adapter leaves in its folder, beside run.json."""


@dataclass(frozen=True)
class Method:
    """One way to produce labels, or what such ways stand on; `config.METHODS` holds all of them by name.

    Attributes:
        title: in tables and figures.
        section: of the config, with the method's settings; methods may share one.
        settings: class of that section.
        program: `workflow/scripts/<program>.py` makes a run of it.
        module: `rl4nlu.<module>`, whose `train` trains it; None where nothing is trained.
        leaves: files and folders (those without a suffix) that a trained run leaves in its folder, beside run.json.
        stands_on: role -> method: runs of the same model, mixture and seed that a run needs.
        rewards: of the roles, the reward models that judge its answers; an adapter critic starts as the first one. None: rules judge.
        loads: what answers the rows: a decoder, an encoder, or nothing but label frequencies.
        answered_by: module `rl4nlu.<answered_by>`, whose `open_answerer` answers the rows.
        with_encoder: it also runs the encoder that `reward_encoder.encoder` names.
        texts: it may train on and answer tasks of texts.
        rationale: its responses are a rationale and then a label, whatever `protocol.response` says.
        scored: it answers tasks.
        seeded: its numbers depend on the seed, so that tables mark cells of few seeds.
        against: methods that it is tested against, in the order of the comparisons' table.
        colour: in figures (Okabe and Ito 2008, and darker ones); None where it is drawn in none.
    """

    title: str
    section: str
    settings: type[Settings]
    program: str
    module: str | None = None
    leaves: tuple[str, ...] = ADAPTER
    stands_on: Mapping[str, str] = field(default_factory=dict)
    rewards: tuple[str, ...] = ()
    loads: Literal["decoder", "encoder"] | None = "decoder"
    answered_by: str = "answering.decoder"
    with_encoder: bool = False
    texts: bool = False
    rationale: bool = False
    scored: bool = True
    seeded: bool = True
    against: tuple[str, ...] = ()
    colour: str | None = None

    @property
    def learns(self) -> bool:
        """Whether its runs learn at a learning rate, step by step: such runs leave a history."""
        return "history.jsonl" in self.leaves
