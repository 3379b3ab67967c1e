"""What reinforcement learning asks, and how it samples answers: prompts in their planned order, the sampler, the event files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ...answering.fit import fit_prompts
from ...answering.generate import decode_completions, generate_tokens
from ...base.errors import ConfigError
from ...config import PolicyOptimisation
from ...tasks.prompts import build_prompt
from ...tasks.reading import CLOSE_TAG
from ...tasks.rows import load_rows
from ..schedule import draw
from .policy import Policy
from .rewards import Prompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from ...runs.spec import RunSpec


def planned(spec: RunSpec, data: Path, tokenizer: PreTrainedTokenizerBase) -> tuple[list[Prompt], int]:
    """The prompts that a run answers, in order (one entry an answer), and how many had to be shortened to fit the model.

    The rows are those that SFT of the same seed and length sees: equal shares of every task (`lengths.draw`).

    Raises:
        ConfigError: a task has no training rows, or a row that does not fit.
    """
    settings = spec.settings
    assert isinstance(settings, PolicyOptimisation)
    pools = {task.name: load_rows(data, task.name, "train") for task in spec.train_tasks}
    for name, rows in pools.items():
        if not rows:
            raise ConfigError(f"{data / name}/train.jsonl: task {name} has no training rows")
    owners = [(task, row) for task in spec.train_tasks for row in pools[task.name]]
    drawn = draw([len(rows) for rows in pools.values()], settings.prompts, spec.seed)
    longest = spec.model_spec.max_length - settings.max_new_tokens
    made: dict[int, Prompt] = {}
    shortened = 0
    for task in spec.train_tasks:
        numbers = [i for i in dict.fromkeys(drawn) if owners[i][0].name == task.name]
        rows = [owners[i][1] for i in numbers]
        for i, row, fitted in zip(
            numbers, rows, fit_prompts(tokenizer, task, rows, spec.protocol, longest), strict=True
        ):
            made[i] = Prompt(task, row, build_prompt(task, row.fields, (), spec.protocol), fitted.tokens)
            shortened += fitted.shortened
    return [made[i] for i in drawn for _ in range(settings.answers)], shortened


class Sampler:
    """Samples a run's answers from its policy as it is at the time, reproducibly, and makes them text.

    An answer ends with the closing tag (or only at the end token and at its greatest length, as released).
    """

    def __init__(self, spec: RunSpec, policy: Policy, tokenizer: PreTrainedTokenizerBase) -> None:
        assert isinstance(spec.settings, PolicyOptimisation)
        self.settings, self.policy, self.tokenizer = spec.settings, policy, tokenizer
        self.device = policy.model.get_base_model().device
        self.chance = torch.Generator(self.device).manual_seed(spec.seed)
        self.stop = CLOSE_TAG if spec.protocol.stop_at_tag else None

    def __call__(self, prompts: list[list[int]]) -> list[list[int]]:
        """One answer a prompt, token ids, the stop included; without dropout."""
        self.policy.model.eval()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            return generate_tokens(
                self.policy.model,
                prompts,
                tokenizer=self.tokenizer,
                max_new_tokens=self.settings.max_new_tokens,
                sample=True,
                temperature=self.settings.temperature,
                top_k=self.settings.top_k,
                generator=self.chance,
                stop=self.stop,
                batch_tokens=self.settings.micro_batch_tokens,
            )

    def texts(self, responses: list[list[int]]) -> list[str]:
        """What a parser reads."""
        return decode_completions(self.policy.model, self.tokenizer, responses, self.stop)


def event_writer(folder: Path | None) -> Callable[[dict[str, Any]], None]:
    """Writes history rows as TensorBoard events; without a folder it does nothing.

    Raises:
        ConfigError: events are wanted, and TensorBoard is not installed.
    """
    if folder is None:
        return lambda row: None
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ConfigError("--tensorboard needs the package tensorboard: pip install 'rl4nlu[tensorboard]'") from None
    writer = SummaryWriter(str(folder))

    def watch(row: dict[str, Any]) -> None:
        for name, value in row.items():
            if isinstance(value, int | float):
                writer.add_scalar(name, value, row["prompts"])
        writer.flush()

    return watch
