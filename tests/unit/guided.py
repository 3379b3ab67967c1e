"""The smallest runs with a guide: their settings, a policy in the middle of one, and a guide that says what it is told."""

from collections.abc import Sequence
from pathlib import Path

import torch

from rl4nlu.config import load_config
from rl4nlu.config.settings import Model
from rl4nlu.methods.rl.policy import build_policy
from rl4nlu.methods.rl.rollout import Prompt, Sampler, plan_prompts
from rl4nlu.models.load import load_tokenizer
from rl4nlu.runs.resolve import resolve
from rl4nlu.runs.spec import Address, RunSpec
from rl4nlu.tasks.task import load_tasks

SETTINGS = {"prompts": 24, "batch_size": 8, "minibatch_size": 4, "epochs": 2, "max_new_tokens": 6, "lora": {"rank": 2}}


def spec_of(place: Path, method: str = "ppo++", protocol: dict | None = None, models=(), **settings) -> RunSpec:
    """A run of a method, ppo or one with a guide, on the tiny model in `place`; `models` are further ones."""
    section = "ppo" if method == "ppo" else "rlgf"
    config = load_config({section: SETTINGS | settings, "protocol": protocol or {}, "rationales": {"max_tokens": 8}})
    known = {"tiny": Model(kind="decoder", path=str(place / "model"))} | dict(models)
    return resolve(config, known, load_tasks(), Address("tiny", method, "sst2", "main", 1))


def sampler_of(spec: RunSpec, moved: bool = True) -> Sampler:
    """The sampler of a run's policy, moved away from its start as after some steps."""
    policy = build_policy(spec)
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in policy.parameters() if moved else []:
            parameter.add_(0.3 * torch.randn_like(parameter))
    return Sampler(spec, policy, load_tokenizer(spec.model_spec))


def prompts_of(spec: RunSpec, place: Path, rows: int = 8) -> list[Prompt]:
    """The first prompts of a run."""
    return plan_prompts(spec, place / "data", load_tokenizer(spec.model_spec))[0][:rows]


class Told:
    """A guide whose answers all are what is begun and then `tokens`; it keeps what it was asked."""

    def __init__(self, tokens: list[int]) -> None:
        self.tokens, self.asked = tokens, list[list[list[int]]]()

    def write(self, prompts: Sequence[Prompt], begun: Sequence[list[int]], draw: int) -> list[list[int] | None]:
        self.asked.append(list(begun))
        return [own + self.tokens for own in begun]

    def digest(self) -> None:
        return None
