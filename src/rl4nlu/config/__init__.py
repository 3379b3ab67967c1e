"""What a config file may say: closed, typed classes with their defaults, and the table of methods."""

from .checks import check, explain, merge, read_yaml
from .experiment import MAIN, Arm, Config, Overrides, load_config, load_models
from .method import Method
from .methods import METHODS, PROMPTING_METHODS, RATIONALE_METHODS, SECTIONS, SUPPORTING_METHODS, TRAINED_METHODS
from .ppo_rm import PpoRm, RewardEncoder
from .rl import OWN_REWARD, ClippedOptimisation, Grpo, PolicyOptimisation, Ppo
from .rlgf import Rlgf
from .rllr import ChatModel, Endpoint, Pairs, Rationales, RewardModel, Rllr
from .settings import VADER, Data, Decoding, Evaluation, Lora, Model, Protocol, Settings
from .supervised import Encoder, Prompting, Sft

__all__ = [
    "MAIN", "METHODS", "OWN_REWARD", "PROMPTING_METHODS", "RATIONALE_METHODS", "SECTIONS", "SUPPORTING_METHODS",
    "TRAINED_METHODS", "VADER",
    "Arm", "ChatModel", "ClippedOptimisation", "Config", "Data", "Decoding", "Encoder", "Endpoint", "Evaluation", "Grpo", "Lora", "Method", "Model",
    "Overrides", "Pairs", "PolicyOptimisation", "Ppo", "PpoRm", "Prompting", "Protocol", "Rationales", "RewardEncoder",
    "RewardModel", "Rlgf", "Rllr", "Settings", "Sft", "check", "explain", "load_config", "load_models", "merge", "read_yaml",
]  # fmt: skip
