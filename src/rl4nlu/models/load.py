"""Foundation models: loading tokenizers and decoders, and laying LoRA adapters on them.

A model's `path` is a folder (absolute, or relative to the checkout) or a hub repository. Everything that
can be wrong with it ends in a `ConfigError` that names the model, what was found and what to do.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)
from transformers.models.auto.tokenization_auto import get_tokenizer_config
from transformers.pytorch_utils import Conv1D
from transformers.utils.logging import disable_progress_bar

from ..base.errors import ConfigError
from ..base.files import REPOSITORY
from ..base.hub import advice
from ..config import Lora, Model
from .precision import hold_in_float32

HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")


def device() -> torch.device:
    """The device that models run on: the first GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def locate(path: str) -> str:
    """Where `path` is loaded from: an existing folder (as an absolute path), or the name of a hub repository.

    Raises:
        ConfigError: there is no such folder, and the text cannot be the name of a hub repository.
    """
    for folder in (REPOSITORY / path, Path(path)):
        if folder.is_dir():
            return str(folder.resolve())
    if HUB_NAME.fullmatch(path) and not path.startswith("."):
        return path
    raise ConfigError(f"model path {path!r}: no such folder (looked in {REPOSITORY}), and not a hub repository's name")


def load_failure(model: Model, part: str, error: Exception) -> ConfigError:
    """What to tell the user when `part` ("tokenizer", "weights") of a model cannot be loaded."""
    what = advice(error, model.revision)
    what = what or f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
    return ConfigError(f"model {model.path!r}: its {part} cannot be loaded: {what}")


def load_tokenizer(model: Model) -> PreTrainedTokenizerBase:
    """The model's tokenizer, padding on the left (decoders).

    Where it has no padding token its end-of-sequence token pads, which is harmless because padding is always
    masked; a warning says so.

    Raises:
        ConfigError: it cannot be loaded, or has neither a padding nor an end token.
    """
    try:
        where: dict[str, Any] = {"pretrained_model_name_or_path": locate(model.path), "revision": model.revision}
        # AutoTokenizer gives some architectures (Qwen2) a class of their own whatever the tokenizer's files say
        plain = get_tokenizer_config(**where).get("tokenizer_class") in ("TokenizersBackend", "PreTrainedTokenizerFast")
        loader = PreTrainedTokenizerFast if plain else AutoTokenizer
        tokenizer: PreTrainedTokenizerBase = loader.from_pretrained(**where)
    except (OSError, ValueError, ImportError) as error:
        if isinstance(error, ConfigError):
            raise
        raise load_failure(model, "tokenizer", error) from error
    tokenizer.padding_side = "left"
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise ConfigError(f"model {model.path!r}: its tokenizer has neither a padding nor an end-of-sequence token")
        warnings.warn(f"{model.path}: no padding token; {tokenizer.eos_token!r} pads, masked", stacklevel=2)
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_backbone(model: Model) -> PreTrainedModel:
    """The decoder in its configured precision, in evaluation mode, on `device()`.

    It has no dropout of its own (GPT-2 comes with a tenth): in training only `lora.dropout` acts, for every architecture.
    transformers picks scaled-dot-product attention where the architecture has it (MPT does not).

    Raises:
        ConfigError: it cannot be loaded, or is asked for more tokens than it has positions.
    """
    disable_progress_bar()  # a log has no use for it
    try:
        backbone: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            locate(model.path), revision=model.revision, dtype=getattr(torch, model.dtype)
        )
    except (OSError, ValueError, ImportError) as error:
        if isinstance(error, ConfigError):
            raise
        raise load_failure(model, "weights", error) from error
    known = ("max_position_embeddings", "max_seq_len", "n_positions")
    limit = next((n for key in known if isinstance(n := getattr(backbone.config, key, None), int)), None)
    if limit is not None and model.max_length > limit:
        raise ConfigError(f"model {model.path!r}: max_length is {model.max_length}, and it has {limit} positions")
    for module in backbone.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return backbone.to(device()).eval()  # type: ignore[arg-type]


def lora_config(lora: Lora) -> LoraConfig:
    """The settings as PEFT writes them; without named targets PEFT picks those of the architecture (query and value)."""
    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        use_rslora=lora.rslora,
        bias=lora.bias,
        target_modules=None if lora.targets == "default" else lora.targets,
        task_type="CAUSAL_LM",
    )


def add_lora(backbone: PreTrainedModel, lora: Lora, seed: int) -> PeftModel:
    """A fresh LoRA adapter on `backbone`; its initial weights depend on `seed` alone.

    The adapter's first output is exactly the backbone's (B starts at zero).

    Raises:
        ConfigError: the targets do not fit the architecture.
    """
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            config = lora_config(lora)
            # GPT-2's linear modules hold their weights transposed
            config.fan_in_fan_out = any(isinstance(module, Conv1D) for module in backbone.modules())
            policy = get_peft_model(backbone, config)
    except ValueError as error:
        kind = backbone.config.model_type
        raise ConfigError(
            f"lora.targets {lora.targets!r} does not fit the architecture {kind!r}: {error} "
            "Allowed: a list of module names, all-linear, or default where PEFT knows the architecture."
        ) from error
    assert isinstance(policy, PeftModel)
    hold_in_float32(policy)
    return policy


def load_adapter(backbone: PreTrainedModel, folder: Path | str, trainable: bool = False) -> PeftModel:
    """The PEFT adapter in `folder` (or hub repository) laid on `backbone`.

    Raises:
        ConfigError: the folder holds no adapter.
    """
    if (isinstance(folder, Path) or Path(folder).is_dir()) and not (Path(folder) / "adapter_config.json").is_file():
        raise ConfigError(f"{folder}: holds no adapter (no adapter_config.json); was the run trained?")
    return PeftModel.from_pretrained(backbone, str(folder), is_trainable=trainable).eval()


@contextmanager
def with_adapter(backbone: PreTrainedModel, folder: Path | str | None) -> Iterator[Any]:
    """The backbone with the adapter in `folder` on it; afterwards the backbone is what it was, to the bit.

    Without a folder it is the backbone itself. Adapters with `bias: all` overwrite the backbone's biases;
    these are put back.
    """
    if folder is None:
        yield backbone
        return
    biases = {name: p.detach().clone() for name, p in backbone.named_parameters() if name.endswith("bias")}
    policy = load_adapter(backbone, folder)
    try:
        yield policy
    finally:
        policy.unload()  # type: ignore[operator]
        with torch.no_grad():
            for name, parameter in backbone.named_parameters():
                if name in biases:
                    parameter.copy_(biases[name])


def encode_prompts(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], start_token: bool = True
) -> list[list[int]]:
    """Tokens of the prompts, with the tokenizer's own start token (unless the texts hold it) and no end token."""
    if not texts:
        return []
    encoded: list[list[int]] = tokenizer(list(texts), add_special_tokens=start_token, verbose=False)["input_ids"]  # type: ignore[assignment]
    end = tokenizer.eos_token_id
    return [ids[:-1] if len(ids) > 1 and ids[-1] == end else ids for ids in encoded]


def encode_chats(tokenizer: PreTrainedTokenizerBase, turns: Sequence[tuple[str, str]]) -> list[list[int]]:
    """Tokens of chats: the user's turn as the tokenizer's template writes it, and the beginning of the model's.

    Raises:
        ConfigError: the tokenizer has no chat template.
    """
    if not tokenizer.chat_template:
        raise ConfigError(f"protocol.prompt_format is chat, and {tokenizer.name_or_path} has no chat template")

    def write(asked: str) -> str:
        user = [{"role": "user", "content": asked}]
        return str(tokenizer.apply_chat_template(user, tokenize=False, add_generation_prompt=True))

    # a chat template writes the start token itself
    return encode_prompts(tokenizer, [write(asked) + begun for asked, begun in turns], start_token=False)


def encode_answer(tokenizer: PreTrainedTokenizerBase, answer: str, behind: str) -> list[int]:
    """Tokens of an answer as it continues a prompt that ends with `behind`.

    Tokenised behind it and not alone: SentencePiece tokenizers put a space before lone text.

    Raises:
        ConfigError: the answer tokenises to nothing.
    """
    before: list[int] = tokenizer.encode(behind, add_special_tokens=False)
    whole: list[int] = tokenizer.encode(behind + answer, add_special_tokens=False)
    if whole[: len(before)] != before:  # a tokenizer that merges across the two
        whole, before = tokenizer.encode(answer, add_special_tokens=False), []
    if len(whole) == len(before):
        raise ConfigError(f"answer {answer!r}: the tokenizer {tokenizer.name_or_path} turns it into no tokens")
    return whole[len(before) :]


def end_tokens(model: Any, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Token ids that end a completion: the tokenizer's and those of the model's generation settings."""
    ends: set[int] = set() if tokenizer.eos_token_id is None else {int(tokenizer.eos_token_id)}  # type: ignore[arg-type]
    found = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    if isinstance(found, int):
        ends.add(found)
    elif found is not None:
        ends.update(int(token) for token in found)
    return ends
