"""Settings and methods of paper 3: policy optimisation with a guide that shares in the roll-outs (RLGF)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from .method import Method
from .rl import Ppo
from .rllr import Endpoint


class Rlgf(Ppo):
    """PPO with a guide (ppo++, aggrevated, lols, d2lols; arXiv 2306.11816); the keys of `ppo` and these."""

    roll_in: float = Field(
        0.8,
        ge=0,
        le=1,
        description="probability that an answer begins with a roll-in: the guide's (ppo++) or the policy's own (aggrevated). Paper 3's beta",
    )
    lols_share: float = Field(
        0.8, ge=0, le=1, description="probability that a roll-out of lols is ppo++'s, else aggrevated's"
    )
    d2lols_share: float = Field(
        0.4, ge=0, le=1, description="share of d2lols' roll-outs, the first ones, that are aggrevated's; ppo++'s follow"
    )
    guide: Literal["start", "model", "endpoint", "references"] = Field(
        "start",
        description="start: the policy that the run started from, frozen; model: another one on this machine (guide_model, "
        "guide_sft); endpoint: a server (guide_endpoint); references: the rows' gold answers, as roll-ins only",
    )
    guide_model: str | None = Field(
        None, description="decoder of config/models.yaml that guides (guide: model); null: the run's own"
    )
    guide_sft: str | None = Field(
        None,
        description="variant whose SFT run of that model, on the run's mixture and seed, gives the guide's adapter (guide: model)",
    )
    guide_endpoint: Endpoint | None = Field(None, description="server that guides (guide: endpoint)")
    guide_top_p: float = Field(0.92, gt=0, le=1, description="of the guide's sampling")
    guide_top_k: int = Field(0, ge=0, description="of the guide's sampling; 0: off")
    guide_max_new_tokens: int | None = Field(
        None,
        ge=1,
        description="longest answer that the guide begins or goes on with, in tokens; null: as the policy's (release: 20 of TL;DR's 50)",
    )
    guide_weights: Literal["frozen", "learner"] = Field(
        "frozen",
        description="of guide: start; learner: the policy as it now is guides, decoded as the guide, as the release does outside of TL;DR",
    )
    credit: Literal["all", "last"] = Field(
        "all",
        description="tokens of the policy's roll-in that take its loss under aggrevated: all (release), or the last (its one-step algorithm)",
    )
    phase_mask: Literal["own", "released"] = Field(
        "own",
        description="released: in aggrevated's roll-outs of lols and d2lols the guide's tokens take the policy's loss, its own the value's",
    )
    kl_penalty: Literal["own", "dropped"] = Field(
        "own",
        description="own: the policy's own tokens pay for KL; dropped: none is paid, as the release does in all but PPO",
    )

    @model_validator(mode="after")
    def _has_its_guide(self) -> Rlgf:
        if self.guide == "model" and self.guide_model is None and self.guide_sft is None:
            raise ValueError("guide: model needs guide_model, a decoder of config/models.yaml, or guide_sft, a variant")
        if self.guide == "endpoint" and self.guide_endpoint is None:
            raise ValueError("guide: endpoint needs guide_endpoint: {base_url: ..., model: ...}")
        if self.guide == "start" and self.lora.bias != "none":
            raise ValueError(
                "guide: start is the network without the adapter, whose biases must not learn; set lora.bias to none"
            )
        return self


def _guided(title: str, colour: str, *against: str) -> Method:
    against = ("ppo", "sft", *against)
    return Method(title, "rlgf", Rlgf, "rlgf", "methods.rlgf.rlgf", texts=True, against=against, colour=colour)


RLGF = {
    "ppo++": _guided("PPO++", "#882255"),
    "aggrevated": _guided("AggreVaTeD", "#332288"),
    "lols": _guided("LOLS", "#44AA99", "ppo++"),
    "d2lols": _guided("D2LOLS", "#999933", "ppo++"),
}
