"""PPO-RM (paper 1, Table 7): PPO whose reward is the score of the reward encoder.

It and its counterpart with the label's reward (`ppo_rationale`) start from the merged SFT model with rationales, which is also the KL reference, and answer the same prompts in the same
steps with the same decoding: `ppo-rationale` is rewarded by the task's rule, as `ppo` is, `ppo-rm` by the encoder.
(The paper's PPO starts from a chat model that writes its analysis behind the label, where the label's reward doesn't see it.)
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...base.checkpoint import NOT_SAVED, Checkpoint
from ...config import PpoRm
from ..merge import merged_model
from ..rl import ppo
from ..rl.loop import Start
from ..rl.policy import build_policy
from ..rl.rewards import RunningMoments, by_correctness
from ..rl.rollout import Judgement, Reward, RollOut
from .reward_encoder import load_reward_encoder, read_as, scores

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ...runs.spec import RunSpec


def by_encoder(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    settings: PpoRm,
    moments: RunningMoments,
) -> Reward:
    """Judges roll-outs by a reward encoder.

    Args:
        model: the encoder; it is not changed.
        tokenizer: its own.
        settings: whether scores are normalised, and the tokens of a forward pass.
        moments: of the scores so far.
    """
    pad = int(tokenizer.pad_token_id)  # type: ignore[arg-type]

    def judge(answers: RollOut) -> Judgement:
        asked = [prompt.task.query.format_map(prompt.row.fields) for prompt in answers.prompts]
        read, _ = read_as(tokenizer, list(zip(asked, answers.texts, strict=True)))
        rewards = scores(model, read, pad, settings.micro_batch_tokens)
        final = moments.normalise(rewards) if settings.score_normalisation else rewards
        return Judgement(final, sum(rewards) / len(rewards), by_correctness("encoder", rewards, answers.right))

    return judge


def train(
    spec: RunSpec,
    data: Path,
    out: Path,
    stands_on: dict[str, Path],
    tensorboard: Path | None = None,
    checkpoint: Checkpoint = NOT_SAVED,
) -> dict[str, Any]:
    """Train a run's adapter of the merged backbone: see `ppo.train`.

    Args:
        spec: the resolved run.
        data: folder of prepared rows.
        out: folder to write.
        stands_on: folders of the merged backbone (`backbone`) and of the reward encoder (`encoder`).
        tensorboard: folder for event files, if they are wanted.
        checkpoint: state of the run, from which it is resumed.
    """
    settings = spec.settings
    assert isinstance(settings, PpoRm)
    merged = spec.model_copy(update={"model_spec": merged_model(spec, stands_on["backbone"])})

    def begin() -> Start:
        policy = build_policy(merged)
        moments = RunningMoments()
        model, tokenizer = load_reward_encoder(stands_on["encoder"])
        return Start(policy, by_encoder(model, tokenizer, settings, moments), [moments])

    return ppo.train(spec, data, out, tensorboard=tensorboard, checkpoint=checkpoint, begin=begin)
