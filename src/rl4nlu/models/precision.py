"""One rule of precision for every method and device, from the `dtype` of the model's entry in `config/models.yaml`.

- Frozen weights are held in `dtype`. What is trained (adapters, trained biases, heads, whole encoders) is held in float32,
  as are its gradients and moments: small steps are lost in bfloat16's eight bits.
- Networks compute in `dtype`, by torch's autocast, on a CPU as on a GPU, whether they sample, learn, are validated, answer,
  score or judge: what a policy is updated by are the probabilities that it was sampled from, up to rounding.
- What follows a network is float32: logits once they are made, log-probabilities, losses, values and rewards.
- With float32 nothing is cast anywhere. Encoders are trained as a whole, and float32 throughout. float16 only answers: to
  learn in it losses would have to be scaled, for small gradients are zero in it, and `runs.resolve` refuses it.
"""

from __future__ import annotations

from typing import Any

import torch


def compute_in_dtype(model: Any) -> torch.autocast:
    """A context in which `model` computes in the precision that its weights are held in; none is entered for float32."""
    weight = next(model.parameters())  # of the embeddings, which no adapter replaces
    half = weight.dtype in (torch.bfloat16, torch.float16)
    return torch.autocast(weight.device.type, weight.dtype if half else torch.bfloat16, enabled=half)


def hold_in_float32(model: Any) -> None:
    """Hold all that is trained of `model` in float32 (PEFT sees to adapters, and leaves biases as they are).

    A norm whose bias is trained holds its weight alike, for torch wants them in one precision.
    """
    norms = [m for m in model.modules() if isinstance(m, torch.nn.LayerNorm) and m.bias is not None]
    alike = [norm.weight for norm in norms if norm.bias.requires_grad]
    for parameter in [*(p for p in model.parameters() if p.requires_grad), *alike]:
        parameter.data = parameter.data.to(torch.promote_types(parameter.dtype, torch.float32))
