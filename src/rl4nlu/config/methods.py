"""The table of methods: every method's entry stands beside its settings, and all of them are joined here.

Sections of the config, programs, modules, outputs, titles, colours and comparisons are read from these entries.
"""

from __future__ import annotations

from .method import Method
from .ppo_rm import PPO_RM
from .rl import RL
from .rlgf import RLGF
from .rllr import RLLR
from .settings import Settings
from .supervised import ENCODER, PROMPTING, SFT

METHODS: dict[str, Method] = PROMPTING | SFT | RL | RLLR | PPO_RM | RLGF | ENCODER
"""Every method by name, in the order of the pipeline."""

PROMPTING_METHODS = tuple(name for name, method in METHODS.items() if method.module is None)
"""Methods that train nothing; their mixture is `none`."""
TRAINED_METHODS = tuple(name for name, method in METHODS.items() if method.module is not None)
SUPPORTING_METHODS = tuple(name for name, method in METHODS.items() if not method.scored)
"""What others stand on; these runs answer no task and are not scored."""
RATIONALE_METHODS = tuple(name for name, method in METHODS.items() if method.rationale)
"""Methods whose responses are a rationale and then a label."""

SECTIONS: dict[str, type[Settings]] = {method.section: method.settings for method in METHODS.values()}
"""Sections of the config that hold methods' settings."""
