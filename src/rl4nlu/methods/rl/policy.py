"""The policy of reinforcement learning: a LoRA adapter and a value head on one frozen backbone, and its forward pass.

One backbone is in memory. The policy is its adapter; the reference, the policy that the run started from, is the same
network with the adapter off; the value head is one linear layer on the last hidden state (paper 1 says MLP; its code
has one layer).

Sequences are padded at the right, where causal attention never looks: no mask, no shifted positions, which suits
rotary (Llama, Qwen2) and linear-bias (MPT) attention alike. Prompt tokens that a piece's rows share are computed once,
gradients included, and logits exist at answer positions only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ...answering.generate import shared_prefix
from ...base.errors import ConfigError
from ...config import PolicyOptimisation, Ppo
from ...models.load import add_lora, load_backbone
from ...models.precision import compute_in_dtype
from ..batches import pick_states, read_prefix

if TYPE_CHECKING:
    from ...runs.spec import RunSpec


class ValueHead(nn.Module):
    """One linear layer from the last hidden state to the expected return, in single precision or better.

    It starts at zero: before the first update every state is worth the same, whatever the seed.
    """

    def __init__(self, hidden_size: int, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.linear = nn.Linear(hidden_size, 1, dtype=torch.promote_types(dtype, torch.float32))
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """Values `[rows, tokens]` of hidden states `[rows, tokens, size]`."""
        return self.linear(hidden.to(self.linear.weight.dtype)).squeeze(-1)


@dataclass
class Policy:
    """The trained parts on their frozen backbone: adapter `default`, value head and, from SFT, the frozen adapter `start`.

    Against reward models (paper 2) the value head may sit on an adapter of its own, `critic`, and the reward models are
    frozen adapters on the same backbone. Where a guide shares in the answers (paper 3) there may be several value heads, one
    for each way in which answers come about; `head` is the one in use.
    """

    model: Any  # a PeftModel, which passes attributes on in ways that types cannot follow
    head: ValueHead | None  # none where advantages need no value (GRPO)
    critic: str | None = None
    heads: dict[str, ValueHead] = field(default_factory=dict)

    @property
    def from_adapter(self) -> bool:
        """Whether the run started from another adapter, which stays active and frozen."""
        return "start" in self.model.peft_config

    def parameters(self) -> list[nn.Parameter]:
        """What is trained: the policy's adapter, then the value's part."""
        return self.adapter_parameters() + self.value_parameters()

    def adapter_parameters(self) -> list[nn.Parameter]:
        """What is trained of the network by the policy's loss."""
        return [p for n, p in self.model.named_parameters() if p.requires_grad and f".{self.critic}." not in n]

    def value_parameters(self) -> list[nn.Parameter]:
        """What only the value's loss trains: the critic's adapter, if it has one, and the head, or all heads."""
        own = [p for n, p in self.model.named_parameters() if f".{self.critic}." in n]
        heads = list(self.heads.values()) or ([self.head] if self.head else [])
        return own + [parameter for head in heads for parameter in head.parameters()]

    def activate(self) -> None:
        """Make the policy what the network computes: every adapter on, the starting one frozen."""
        if self.from_adapter:
            self.model.base_model.set_adapter(["start", "default"])
            self.model.set_requires_grad("start", False)
        else:
            self.switch("default")

    def switch(self, adapter: str) -> None:
        """Make `adapter` what the network computes; what is trained stays trainable, which PEFT alone does not see to.

        To be called between a backward and the next forward only: paper 2's release switches adapters between a forward and
        its backward, whose recomputation then runs through the wrong one.
        """
        self.model.base_model.set_adapter(adapter, inference_mode=True)
        for trained in filter(None, ("default", self.critic)):
            self.model.set_requires_grad(trained, True)

    @contextmanager
    def switched(self, adapter: str) -> Iterator[None]:
        """Inside, the network computes with `adapter`; afterwards it is the policy again."""
        self.switch(adapter)
        try:
            yield
        finally:
            self.activate()

    def as_critic(self) -> AbstractContextManager[None]:
        """Inside, the network is the critic, where that has an adapter of its own."""
        return self.switched(self.critic) if self.critic else nullcontext()

    @contextmanager
    def reference(self) -> Iterator[None]:
        """Inside, the network is the policy that the run started from: the backbone, or the backbone with the SFT adapter."""
        if self.from_adapter:
            self.model.base_model.set_adapter("start", inference_mode=True)
            try:
                yield
            finally:
                self.activate()
        else:
            with self.model.disable_adapter():
                yield
            if self.critic:  # PEFT has frozen it
                self.activate()


def build_policy(spec: RunSpec, start_adapter: Path | None = None) -> Policy:
    """The policy before its first step: it computes what its reference computes, to the bit.

    Raises:
        ConfigError: the run starts from SFT and no adapter is given, or one that cannot be continued.
    """
    settings = spec.settings
    assert isinstance(settings, PolicyOptimisation)
    backbone = load_backbone(spec.model_spec)
    model = add_lora(backbone, settings.lora, spec.seed)
    if settings.start == "sft":
        if start_adapter is None:
            raise ConfigError(
                f"run {spec.address.path}: {spec.method}.start is sft, but no adapter to start from was given"
            )
        if settings.lora.bias != "none":
            raise ConfigError(
                f"{spec.method}.lora.bias: must be none when {spec.method}.start is sft, for two adapters cannot share one bias"
            )
        model.load_adapter(str(start_adapter), adapter_name="start")
    model.eval()
    head = (
        ValueHead(backbone.get_output_embeddings().in_features, backbone.dtype) if isinstance(settings, Ppo) else None
    )
    policy = Policy(model, head.to(backbone.device) if head else None)
    policy.activate()
    return policy


def save_adapter(policy: Policy, folder: Path) -> None:
    """Write the policy as one ordinary PEFT adapter of the backbone.

    A policy that started from an adapter is the sum of two low-rank terms: they are joined to one of the ranks' sum.
    """
    from peft import LoraConfig

    model = policy.model
    if not policy.from_adapter:
        model.save_pretrained(str(folder), selected_adapters=["default"], save_embedding_layers=False)
        return
    config = model.peft_config["start"]
    assert isinstance(config, LoraConfig)
    rank = config.r + model.peft_config["default"].r
    # PEFT joins with alpha = rank, which rank-stabilised scaling takes for sqrt(rank) rather than 1
    weight = 1 / math.sqrt(rank) if config.use_rslora else 1.0
    model.base_model.add_weighted_adapter(["start", "default"], [weight] * 2, "joined", combination_type="cat")
    model.save_pretrained(str(folder), selected_adapters=["joined"], save_embedding_layers=False)
    for file in sorted((folder / "joined").iterdir()):
        file.replace(folder / file.name)
    (folder / "joined").rmdir()
    model.delete_adapter("joined")
    policy.activate()


class TokenEstimates(NamedTuple):
    """What a forward pass says of response tokens, `[rows, longest response]`; entries past a response mean nothing."""

    logp: Tensor
    value: Tensor | None
    entropy: Tensor | None


def forward(
    policy: Policy, prompts: list[list[int]], responses: list[list[int]], settings: PolicyOptimisation
) -> TokenEstimates:
    """Log-probabilities (at the sampling temperature), values and, if it is rewarded, entropy at every response token.

    Args:
        policy: adapter as it is now switched, value head (if any).
        prompts: token ids, one list a row, at least one token each.
        responses: token ids, at least one each.
        settings: temperature, and whether entropy is asked for.
    """
    hidden, logits = predictions(policy.model, prompts, responses)
    target = torch.tensor([r + [0] * (hidden.shape[1] - len(r)) for r in responses]).to(
        hidden.device, non_blocking=True
    )
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32)) / settings.temperature
    normaliser = logits.logsumexp(-1)
    entropy = None
    if settings.entropy_coefficient > 0:
        entropy = normaliser - (logits.softmax(-1) * logits).sum(-1)
    logp = logits.gather(-1, target[..., None]).squeeze(-1) - normaliser
    return TokenEstimates(logp, policy.head(hidden) if policy.head and not policy.critic else None, entropy)


def values(policy: Policy, prompts: list[list[int]], responses: list[list[int]], checkpointed: bool = False) -> Tensor:
    """A critic's values `[rows, longest response]`, with its adapter switched on by the caller.

    With `checkpointed` the network is computed once more at backward, by whatever adapter is then on.
    """
    assert policy.head is not None
    run = partial(states, policy.model, prompts, responses)
    return policy.head(checkpoint(run, use_reentrant=False) if checkpointed else run())


@dataclass(frozen=True)
class Layout:
    """Prompts and responses as the network reads them, on its device.

    prefix (1, P): tokens that all rows begin with; P may be 0.
    ids (R, T): the rest of every row, padded at the right.
    at (R, A): the column of `ids` whose state belongs to a response token.
    """

    prefix: Tensor
    ids: Tensor
    at: Tensor

    def gather(self, hidden: Tensor) -> Tensor:
        """The states `[rows, longest response, size]` of response tokens, from those `[rows, tokens, size]` of `ids`."""
        return hidden.gather(1, self.at[..., None].expand(-1, -1, hidden.shape[-1]))

    def inputs(self, trunk: Any) -> dict[str, Any]:
        """What the network is given to read `ids`; the prefix has then been read, once, by its `trunk`."""
        past = read_prefix(trunk, self.prefix, len(self.ids)) if self.prefix.numel() else None
        return {"input_ids": self.ids, "past_key_values": past, "use_cache": past is not None}


def lay_out(
    prompts: list[list[int]], responses: list[list[int]], device: torch.device, read: bool = False, padding: int = 0
) -> Layout:
    """How prompts and responses are read, for the states that `states` describes."""
    prefix = shared_prefix(prompts)
    shared = len(prefix)
    # the last response token is predicted, and read only if that is asked for
    own = [p[shared:] + (r if read else r[:-1]) for p, r in zip(prompts, responses, strict=True)]
    width, length = max(map(len, own)), max(map(len, responses))
    ids = torch.tensor([row + [padding] * (width - len(row)) for row in own]).to(device, non_blocking=True)
    first = read - shared - 1
    at = torch.tensor([[min(len(p) + first + t, width - 1) for t in range(length)] for p in prompts])
    return Layout(torch.tensor([prefix]).to(device), ids, at.to(device, non_blocking=True))


def states(
    model: Any, prompts: list[list[int]], responses: list[list[int]], read: bool = False, padding: int = 0
) -> Tensor:
    """Last hidden states `[rows, longest response, size]` that predict every response token or, with `read`, have read it.

    Args:
        model: with its adapters as they are now switched.
        prompts: token ids, one list a row, at least one token each.
        responses: token ids, at least one each.
        read: take the state behind a token rather than the one before it.
        padding: token that stands behind a response's end; with `read`, states there (while the sequence is no longer
            than the longest) have read it, otherwise they mean nothing.
    """
    decoder = model.get_base_model()
    trunk, layout = decoder.base_model, lay_out(prompts, responses, decoder.device, read, padding)
    with compute_in_dtype(decoder):
        return layout.gather(trunk(**layout.inputs(trunk)).last_hidden_state)


def predictions(model: Any, prompts: list[list[int]], responses: list[list[int]]) -> tuple[Tensor, Tensor]:
    """`states` that predict the response tokens, and the model's own logits `[rows, longest response, vocabulary]` there."""
    decoder = model.get_base_model()
    layout, kept = lay_out(prompts, responses, decoder.device), []

    def keep(hidden: Tensor) -> Tensor:
        kept.append(layout.gather(hidden))
        return kept[0]

    with compute_in_dtype(decoder):
        inputs = layout.inputs(decoder.base_model)
        with pick_states(decoder, keep):
            logits = decoder(**inputs).logits
    return kept[0], logits
