"""Policy optimisation with a guide (RLGF, paper 3): PPO++, AggreVaTeD, LOLS and D2LOLS, on the one loop of all policy optimisation.

What tells them from PPO is how a roll-out comes about (`roll_in`, by the table in `algorithms`) and who guides (`guides`); rewards,
advantages, the loss and the update are PPO's. The policy is scored without its guide, as every other.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...base.checkpoint import NOT_SAVED, Checkpoint
from ...base.files import read_jsonl
from ...config import Rlgf
from ...models.load import load_tokenizer
from ..rl import ppo
from ..rl.loop import Start
from ..rl.policy import build_policy
from ..rl.rewards import by_rules, find_rules
from ..rl.rollout import Sampler
from .algorithms import MODES
from .guides import Guide, open_guide, score_guide
from .roll_in import SharedRollOuts

if TYPE_CHECKING:
    from ...runs.spec import RunSpec


def train(
    spec: RunSpec,
    data: Path,
    out: Path,
    start_adapter: Path | None = None,
    stands_on: dict[str, Path] | None = None,
    tensorboard: Path | None = None,
    checkpoint: Checkpoint = NOT_SAVED,
    cache: Path | None = None,
) -> dict[str, Any]:
    """Train a run's adapter with a guide: see `loop.train_policy`; the facts also say what the guide is, and what it cost.

    Args:
        spec: the resolved run.
        data: folder of prepared rows.
        out: folder to write.
        start_adapter: the SFT run's adapter, where `start` is sft.
        stands_on: `guide`: folder of the SFT run whose adapter the guide has, if any.
        tensorboard: folder for event files, if they are wanted.
        checkpoint: state of the run, from which it is resumed.
        cache: folder of a server's texts, which a restart asks for once.

    Raises:
        RuntimeError: the guide's weights are no longer what they were.
    """
    settings = spec.settings
    assert isinstance(settings, Rlgf)
    if settings.kl_penalty == "dropped":
        free = settings.model_copy(update={"kl_coefficient": 0.0, "kl_control": "fixed"})
        spec = spec.model_copy(update={"settings": free})
    tokenizer = load_tokenizer(spec.model_spec)
    guides: list[Guide] = []
    facts: dict[str, Any] = {}

    def close() -> None:
        """Let the guide of the last candidate go, once it is seen to be what it was."""
        while guides:
            found = guides.pop().digest()
            if found != facts["guide_digest"]:
                raise RuntimeError(
                    f"run {spec.address.path}: the guide has changed, from {facts['guide_digest']} to {found}"
                )

    def begin() -> Start:
        close()
        policy = build_policy(spec, start_adapter)
        if len(MODES[spec.method]) > 1:  # a critic of its own for either way in which answers come about
            policy.heads = {mode: copy.deepcopy(policy.head) for mode in MODES[spec.method] if policy.head}
            policy.head = policy.heads[MODES[spec.method][0]]
        sampler = Sampler(spec, policy, tokenizer)
        guides.append(open_guide(spec, sampler, (stands_on or {}).get("guide"), cache))
        if not facts:
            own = settings.guide != "references"
            facts["guide_validation"] = score_guide(spec, guides[0], sampler, data) if own else None
            facts["guide_digest"] = guides[0].digest()
        return Start(policy, by_rules(find_rules(spec, data)), collect=SharedRollOuts(spec, sampler, guides[0]))

    trained = ppo.train(spec, data, out, tensorboard=tensorboard, checkpoint=checkpoint, begin=begin)
    close()
    return {**trained, **facts, "tokens_guided": read_jsonl(out / "history.jsonl")[-1]["tokens_guided"]}
