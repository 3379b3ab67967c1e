"""The four algorithms of paper 3 as a table: who rolls in, who rolls out, and which of the two ways a roll-out takes.

| mode | rolls in | rolls out | takes the policy's loss | takes the value's |
|---|---|---|---|---|
| ppo++ | the guide | the policy | the policy's tokens | the policy's tokens |
| aggrevated | the policy | the guide | the policy's tokens | the guide's tokens |

PPO++ and AggreVaTeD are one mode throughout. LOLS draws the mode of every roll-out; D2LOLS begins with AggreVaTeD and ends with
PPO++. Each of the two modes has a critic of its own there.
"""

from __future__ import annotations

from typing import Literal

import torch

from ...config import Rlgf

Mode = Literal["ppo++", "aggrevated"]

MODES: dict[str, tuple[Mode, ...]] = {
    "ppo++": ("ppo++",),
    "aggrevated": ("aggrevated",),
    "lols": ("ppo++", "aggrevated"),
    "d2lols": ("aggrevated", "ppo++"),
}
"""The modes that a method's roll-outs have."""


def choose_mode(method: str, step: int, steps: int, settings: Rlgf, chance: torch.Generator) -> Mode:
    """How roll-out number `step` of `steps`, the first being 0, comes about; `chance` decides for LOLS alone."""
    if method == "lols":
        return "ppo++" if torch.rand((), generator=chance).item() < settings.lols_share else "aggrevated"
    if method == "d2lols":
        return "aggrevated" if step < settings.d2lols_share * steps else "ppo++"
    return MODES[method][0]


def draw_switches(rows: int, roll_in: float, chance: torch.Generator) -> tuple[list[bool], list[float]]:
    """Whether each row has a roll-in, with probability `roll_in`, and where in it the switch lies, uniform on [0, 1)."""
    has = torch.rand(rows, generator=chance, dtype=torch.float64) < roll_in
    return has.tolist(), torch.rand(rows, generator=chance, dtype=torch.float64).tolist()


def switch_at(place: float, length: int) -> int:
    """The number of tokens that are kept of a roll-in of `length`: uniform on 1 .. length - 1 for a uniform `place`; 0 below two.

    At least one token is thus left to the roll-out, and a roll-in's last token, its end, is never kept.
    """
    return 1 + int(place * (length - 1)) if length > 1 else 0
