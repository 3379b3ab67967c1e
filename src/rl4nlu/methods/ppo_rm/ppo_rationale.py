"""PPO of responses with a rationale, rewarded by the task's rule: PPO-RM's counterpart (paper 1, Table 7), without its encoder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...base.checkpoint import NOT_SAVED, Checkpoint
from ..merge import merged_model
from ..rl import ppo
from ..rl.loop import Start
from ..rl.policy import build_policy
from ..rl.rewards import by_rules, find_rules

if TYPE_CHECKING:
    from ...runs.spec import RunSpec


def train(
    spec: RunSpec,
    data: Path,
    out: Path,
    stands_on: dict[str, Path],
    tensorboard: Path | None = None,
    checkpoint: Checkpoint = NOT_SAVED,
) -> dict[str, Any]:
    """Train a run's adapter of the merged backbone: see `ppo_rm.train`, which differs in the reward alone."""
    merged = spec.model_copy(update={"model_spec": merged_model(spec, stands_on["backbone"])})

    def begin() -> Start:
        return Start(build_policy(merged), by_rules(find_rules(spec, data)))

    return ppo.train(spec, data, out, tensorboard=tensorboard, checkpoint=checkpoint, begin=begin)
