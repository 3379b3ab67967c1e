"""What the papers and their releases say, as named layers that lie below all that a config, mixture, model or variant says.

`protocol.preset` names one. A preset sets what its source says and this package can do; a key whose value is not known, or
depends on the model, keeps its default and is listed with the reason. Presets of one paper speak of the same keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..config import merge


@dataclass(frozen=True)
class Preset:
    """One named layer of settings.

    Attributes:
        says: by key (`section.key`, or `section.group.key`), the value and where it stands.
        silent: by key, why it keeps its default.
    """

    says: Mapping[str, tuple[Any, str]] = field(default_factory=dict)
    silent: Mapping[str, str] = field(default_factory=dict)

    def section(self, name: str) -> dict[str, Any]:
        """What the preset sets in a section, nested as in YAML."""
        values: dict[str, Any] = {}
        for key, (value, _) in self.says.items():
            section, *groups, last = key.split(".")
            if section == name:
                inner: dict[str, Any] = {last: value}
                for group in reversed(groups):
                    inner = {group: inner}
                values = merge(values, inner)
        return values


def _each(keys: str, said: Any) -> dict[str, Any]:
    """`said` of each of the keys."""
    return dict.fromkeys(keys.split(), said)


APPENDIX, UNPRINTED = "text, Appendix C", "not printed"
SCRIPT, TRL = "release, ppo script", "release, by TRL 0.11.4's default"
LORA = "release, LoRA configuration"

PAPER = Preset(
    says={
        "protocol.reward_table": ("paper", "text: 1, 0, -1"),
        "protocol.stop_at_tag": (True, APPENDIX),
        "protocol.schedule": ("cosine", APPENDIX),
        "protocol.sft_prompt": ("same", "text, section 2: SFT on prompt, input and answer"),
        "protocol.prompt_format": ("raw", "text, section 2.1"),
        "evaluation.decoding.how": ("sample", APPENDIX),
        "evaluation.decoding.temperature": (1.0, APPENDIX),
        "evaluation.decoding.top_k": (0, "text, Appendix C: multinomial sampling"),
        "evaluation.decoding.max_new_tokens": (32, "text, Appendix C: 12 to 32"),
        "prompting.shots": ([1, 2, 3, 4, 5], APPENDIX),
        "sft.batch_size": (24, APPENDIX),
        "sft.learning_rates": ([9e-6], APPENDIX),
        "sft.lora.rank": (16, APPENDIX),
        "ppo.epochs": (4, APPENDIX),
        "ppo.learning_rates": ([9e-6], APPENDIX),
        "ppo.value_learning_rate": (None, "text, Appendix C: one rate"),
        "ppo.optimiser": ("adafactor", APPENDIX),
        "ppo.lora.rank": (16, APPENDIX),
        "reward_encoder.prompts": (5000, "text, on PPO-RM"),
        "reward_encoder.replies": (4, "text, on PPO-RM"),
    },
    silent={
        "protocol.parser": "one is implied, none described",
        **_each("protocol.random_fallback protocol.sst2_negative protocol.superglue_labels", "not mentioned"),
        "prompting.demonstrations": UNPRINTED,
        **_each("sft.lora.alpha sft.lora.dropout sft.lora.rslora sft.lora.bias sft.lora.targets", UNPRINTED),
        **_each("ppo.batch_size ppo.minibatch_size", "4, 8, 12 or 16, by task; the choices are not printed"),
        "ppo.max_new_tokens": "printed for the evaluation alone",
        **_each("ppo.kl_coefficient ppo.kl_control ppo.kl_target ppo.kl_horizon", UNPRINTED),
        **_each("ppo.gamma ppo.gae_lambda ppo.clip_range ppo.clip_range_value ppo.value_coefficient", UNPRINTED),
        **_each("ppo.ratio_threshold ppo.whiten_advantages ppo.whiten_rewards ppo.entropy_coefficient", UNPRINTED),
        **_each("ppo.max_grad_norm ppo.lora.alpha ppo.lora.dropout ppo.lora.rslora ppo.lora.bias", UNPRINTED),
        "ppo.lora.targets": UNPRINTED,
    },
)

RELEASED = Preset(
    says={
        "protocol.reward_table": ("released", "release, ppo.py: +1, -1, -3"),
        "protocol.parser": ("lenient", "release, inference.py"),
        "protocol.random_fallback": (True, "release, inference.py"),
        "protocol.stop_at_tag": (False, "release, generation ends at EOS alone"),
        "protocol.schedule": ("constant", "release, the cosine is commented out, or tied to an unused optimiser"),
        "protocol.sst2_negative": ("No", "release, SFT data and demonstrations"),
        "protocol.superglue_labels": ("integers", "release, SFT data"),
        "protocol.sft_prompt": ("separate", "release, SFT templates"),
        "protocol.prompt_format": ("raw", "release, no chat template"),
        "evaluation.decoding.how": ("sample", "release, inference.py"),
        "evaluation.decoding.top_k": (0, "release, inference.py"),
        "evaluation.decoding.max_new_tokens": (31, "release, the longest of 24 to 31"),
        "prompting.shots": ([5], "release, fewshot.py"),
        "prompting.demonstrations": ("first", "release, fewshot.py"),
        "sft.batch_size": (24, "release, SFT script"),
        "sft.learning_rates": ([9e-6], "release, SFT script"),
        **{
            f"{section}.lora.{key}": (value, LORA)
            for section in ("sft", "ppo")
            for key, value in (("rank", 16), ("alpha", 32), ("rslora", True), ("bias", "all"), ("targets", "default"))
        },
        "sft.lora.dropout": (0.05, LORA),
        "ppo.batch_size": (16, SCRIPT),
        "ppo.minibatch_size": (16, "release, one optimiser step a pass: 8 prompts, accumulated twice"),
        "ppo.learning_rates": ([9e-6], SCRIPT),
        "ppo.value_learning_rate": (None, "release, one optimiser"),
        "ppo.optimiser": ("adafactor", "release, ppo.py"),
        "ppo.kl_coefficient": (0.2, SCRIPT),
        "ppo.kl_control": ("adaptive", SCRIPT),
        "ppo.max_new_tokens": (31, "release, the longest of 12 to 31"),
        "ppo.epochs": (4, TRL),
        "ppo.kl_target": (6.0, TRL),
        "ppo.kl_horizon": (10000, TRL),
        "ppo.gamma": (1.0, TRL),
        "ppo.gae_lambda": (0.95, TRL),
        "ppo.clip_range": (0.2, TRL),
        "ppo.clip_range_value": (0.2, TRL),
        "ppo.value_coefficient": (0.1, TRL),
        "ppo.ratio_threshold": (10.0, TRL),
        "ppo.whiten_advantages": (True, TRL),
        "ppo.whiten_rewards": (False, TRL),
        "ppo.entropy_coefficient": (0.0, TRL),
        "ppo.max_grad_norm": (None, TRL),
    },
    silent={
        "evaluation.decoding.temperature": "the model's own, for the option is never used: 0.6 for LLaMA2-chat, 0.7 for Qwen2.5",
        "ppo.lora.dropout": "0.05, but while sampling alone; policies are sampled without it here",
        **_each("reward_encoder.prompts reward_encoder.replies", "no code of PPO-RM"),
    },
)

RLLR_LORA = "release of paper 2, LoRA arguments"
RLLR_SCRIPT = "release of paper 2, scripts"
RLLR_TRL = "release of paper 2, by TRL 0.7.2's default"
BY_MODEL = "differs by model"

RLLR_RELEASED = Preset(
    says={
        "protocol.truncation": ("proportional", "release of paper 2, preprocess.py"),
        "protocol.schedule": (
            "cosine",
            "release of paper 2, without the warm-up and to zero, where ours ends at a tenth",
        ),
        "evaluation.decoding.how": ("greedy", "release of paper 2, predict.sh"),
        "evaluation.decoding.max_new_tokens": (512, "release of paper 2, by default"),
        **{
            f"{section}.lora.{key}": (value, RLLR_LORA)
            for section in ("sft", "sft_rationale", "reward_model", "rllr")
            for key, value in (
                ("rank", 16),
                ("alpha", 32),
                ("dropout", 0.1),
                ("rslora", False),
                ("bias", "none"),
                ("targets", "default"),
            )
        },
        **{f"{section}.batch_size": (128, RLLR_SCRIPT) for section in ("sft", "sft_rationale")},
        **{
            f"{section}.{key}": (value, "release of paper 2, by the trainer's default")
            for section in ("sft", "sft_rationale", "reward_model")
            for key, value in (("weight_decay", 0.0), ("max_grad_norm", 1.0))
        },
        "sft.learning_rates": ([2e-5], RLLR_SCRIPT),
        "reward_model.loss": ("dense", "release of paper 2, rm/trainer.py"),
        "reward_model.temperature": (1.0, RLLR_SCRIPT),
        "rllr.epochs": (1, RLLR_SCRIPT),
        "rllr.learning_rates": ([5e-6], RLLR_SCRIPT),
        "rllr.value_learning_rate": (None, "release of paper 2, one rate"),
        "rllr.value_adapter": (True, RLLR_SCRIPT),
        "rllr.value_gradients": ("released", "release of paper 2, gradient checkpointing"),
        "rllr.dropout_in_logprobs": (True, "release of paper 2, the model stays in training mode"),
        "rllr.clipping": ("first-step", "release of paper 2, an iterator that is used up"),
        "rllr.max_grad_norm": (1.0, RLLR_SCRIPT),
        "rllr.combination": ("capped", "release of paper 2, ppo/trainer.py"),
        "rllr.score_normalisation": (True, RLLR_SCRIPT),
        "rllr.max_new_tokens": (256, "release of paper 2, by default"),
        "rllr.temperature": (1.0, RLLR_SCRIPT),
        "rllr.top_k": (50, "release of paper 2, by default"),
        "rllr.optimiser": ("adamw", "release of paper 2, ppo/workflow.py"),
        "rllr.kl_coefficient": (0.2, RLLR_TRL),
        "rllr.kl_control": ("adaptive", RLLR_TRL),
        "rllr.kl_target": (6.0, RLLR_TRL),
        "rllr.kl_horizon": (10000, RLLR_TRL),
        "rllr.gamma": (1.0, RLLR_TRL),
        "rllr.gae_lambda": (0.95, RLLR_TRL),
        "rllr.clip_range": (0.2, RLLR_TRL),
        "rllr.clip_range_value": (0.2, RLLR_TRL),
        "rllr.value_coefficient": (0.1, RLLR_TRL),
        "rllr.ratio_threshold": (10.0, RLLR_TRL),
        "rllr.whiten_advantages": (True, RLLR_TRL),
        "rllr.entropy_coefficient": (0.0, RLLR_TRL),
    },
    silent={
        "sft_rationale.learning_rates": f"{BY_MODEL}, 1e-4 to 1e-3",
        "reward_model.learning_rates": "differs by model and reward model, 1e-4 to 5e-4",
        "reward_model.batch_size": f"{BY_MODEL} and reward model, 64 or 128",
        **_each("rllr.batch_size rllr.minibatch_size", f"{BY_MODEL}, 16 or 32, one step a roll-out"),
        "rllr.threshold": f"{BY_MODEL}, 1.0 to 6.2",
        "rllr.whiten_rewards": "not in our notes",
        **_each("pairs.mix pairs.pairing pairs.equal_numbers", "no code of pairs; RLHF's are called rationale pairs"),
    },
)

RLGF_BLOCK = "release of paper 3, shared PPO block"
BY_TASK = "differs by task"

RLGF_RELEASED = Preset(
    says={
        f"{section}.{key}": said
        for section in ("ppo", "rlgf")
        for key, said in {
            "start": ("sft", "release of paper 3, all start from SFT"),
            **_each("clip_range clip_range_value", (0.2, RLGF_BLOCK)),
            "gae_lambda": (0.95, RLGF_BLOCK),
            "max_grad_norm": (1.0, RLGF_BLOCK),
            "entropy_coefficient": (0.0, RLGF_BLOCK),
            "supervised_coefficient": (0.1, "release of paper 3, target_coef, in all algorithms"),
            "kl_control": ("fixed", RLGF_BLOCK),
            "optimiser": ("adamw", RLGF_BLOCK),
            "value_learning_rate": (None, "release of paper 3, one rate"),
            "temperature": (1.0, "release of paper 3, by default"),
            **_each(
                "whiten_advantages whiten_rewards", (False, "release of paper 3, a comment says so and nothing is done")
            ),
            "ratio_threshold": (None, "release of paper 3, no minibatch is skipped"),
            "target": ("review-start", "release of paper 3, IMDB: the whole review, cut at its right"),
            "reward_reads": ("window", "release of paper 3, IMDB: the last 64 tokens of the prompt"),
        }.items()
    }
    | {
        "rlgf.lols_share": (0.8, "release of paper 3, lols.yaml"),
        "rlgf.guide": ("start", "release of paper 3, the SFT checkpoint guides"),
        "rlgf.guide_top_p": (0.92, "release of paper 3, guide_gen_kwargs"),
        "rlgf.guide_weights": ("learner", "release of paper 3, IMDB and CommonGen: the learner generates"),
        "rlgf.credit": ("all", "release of paper 3, the mask holds the whole prefix"),
        "rlgf.phase_mask": (
            "released",
            "release of paper 3, LOLS calls PPO++'s sampling, which does not turn the mask",
        ),
        "rlgf.kl_penalty": ("dropped", "release of paper 3, stores the reward without KL in all but PPO"),
    },
    silent={
        f"{section}.{key}": BY_TASK
        for section in ("ppo", "rlgf")
        for key in _each(
            "prompts batch_size minibatch_size epochs learning_rates gamma value_coefficient kl_coefficient top_k "
            "max_new_tokens lora.rank lora.alpha",
            BY_TASK,
        )
    }
    | {
        "rlgf.roll_in": f"{BY_TASK} and algorithm, 0.6 to 1",
        "rlgf.d2lols_share": f"{BY_TASK}, 0.2 or 0.4",
        "rlgf.guide_top_k": f"{BY_TASK}, 50 or off",
        "rlgf.guide_max_new_tokens": f"{BY_TASK}; TL;DR's 20 of 50 is CommonGen's",
        "protocol.schedule": f"{BY_TASK}, linear or constant",
    },
)

PRESETS: dict[str, Preset] = {
    "corrected": Preset(),
    "released": RELEASED,
    "paper": PAPER,
    "rllr-released": RLLR_RELEASED,
    "rlgf-released": RLGF_RELEASED,
}
"""Every preset by name; `corrected` is the defaults."""
