"""What stages cost: peak memory and work of training, asking and encoding, from shapes and lengths.

Peak memory is a sum of named parts, and every part is a product that a reader can redo (`Memory`). Work is FLOPs, the
layers that are run (small models spend their time on these), and decoding steps, each of which reads all weights
(`Work`). A method composes them: PPO is `asking` + `tuning` kept for several passes; GRPO and reward models reuse the same.

Units: bytes, FLOPs, tokens. Letters as in `shapes`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import ceil

from ..config import Lora
from .shapes import (
    BYTES,
    Shape,
    backward_bytes,
    forward_flops,
    kv_bytes,
    layer_bytes,
    lora_parameters,
    matrix_parameters,
    parameters,
    saved_bytes,
    training_flops,
)

LOSS_LOGITS = 3
"""Float32 copies of the logits of all labelled positions at once, cross-entropy: log-softmax and two gradients."""

POLICY_LOGITS = 5
"""The same for PPO's log-probabilities: the logits, their exponentials, and three gradients while they are summed."""

SAMPLING_LOGITS = 36
"""Bytes a vocabulary entry while a token is drawn: logits in float32, and four float64 arrays (`generation.choose`)."""

ADAM = 16
"""Bytes of a trained float32 parameter: weight, gradient, two moments."""


@dataclass(frozen=True)
class Memory:
    """Peak memory of a job's tensors, by part; bytes."""

    weights: float = 0
    trained: float = 0
    activations: float = 0
    logits: float = 0
    cache: float = 0

    @property
    def total(self) -> float:
        """The parts' sum."""
        return sum(getattr(self, field.name) for field in fields(self))


@dataclass(frozen=True)
class Work:
    """FLOPs; layers run (a backward pass counts as two); decoding steps."""

    flops: float = 0
    layers: float = 0
    steps: float = 0

    def __add__(self, other: Work) -> Work:
        return Work(self.flops + other.flops, self.layers + other.layers, self.steps + other.steps)

    def times(self, n: float) -> Work:
        """The same, `n` times."""
        return Work(self.flops * n, self.layers * n, self.steps * n)


@dataclass(frozen=True)
class ForwardPass:
    """One forward pass: rows padded to `length` tokens, the first `shared` of them read once; `predicted` positions have logits."""

    rows: int
    length: int
    shared: int
    predicted: int

    @property
    def read(self) -> int:
        """Tokens that are computed."""
        return self.shared + self.rows * (self.length - self.shared)


@dataclass(frozen=True)
class Machine:
    """Where memory is counted: on a GPU dropout masks take a byte; a backbone may be quantised."""

    gpu: bool = False
    quantised: bool = False

    def weights(self, shape: Shape, dtype: str) -> float:
        """Bytes of a backbone; quantised: 4 bits a matrix parameter and one scale of 32 bits for 64 of them (QLoRA)."""
        count = parameters(shape)
        if not self.quantised:
            return count * BYTES[dtype]
        matrices = matrix_parameters(shape)
        return matrices * (0.5 + 4 / 64) + (count - matrices) * BYTES[dtype]


# Memory --------------------------------------------------------------------------------------------------------------


def graph_bytes(
    shape: Shape,
    dtype: str,
    piece: ForwardPass,
    lora: Lora | None,
    machine: Machine,
    *,
    dropout: bool,
) -> float:
    """What a piece's forward pass leaves for its backward pass, logits apart.

    Rows that share a prefix keep its keys and values once each, expanded to all heads, for attention then has a mask,
    which every layer turns into numbers and keeps.
    """
    token = saved_bytes(shape, dtype, piece.length, lora, training=dropout, gpu=machine.gpu)
    kept = piece.read * token
    if piece.shared and not shape.eager:
        b = BYTES[dtype]
        wide = 2 * shape.layers * shape.heads * shape.head_size * b
        masks = shape.layers * piece.rows * (piece.length - piece.shared) * piece.length * b
        kept += piece.rows * piece.length * wide + masks - piece.read * kv_bytes(shape, b)
    return kept


def tuning_memory(
    shape: Shape, dtype: str, pieces: list[ForwardPass], lora: Lora, machine: Machine, *, copies: int, dropout: bool,
    kept: int = 1, backbones: int = 1,
) -> Memory:  # fmt: skip
    """Peak of tuning an adapter.

    Args:
        shape: of the backbone.
        dtype: of the backbone.
        pieces: forward passes of an optimiser step, the largest first.
        lora: the adapter.
        machine: what it runs on.
        copies: `LOSS_LOGITS` or `POLICY_LOGITS`, of the largest piece.
        dropout: whether the forward pass is in training mode.
        kept: pieces whose graphs live at the same time.
        backbones: copies of the model in memory.
    """
    largest, b = pieces[0], BYTES[dtype]
    vocabulary = shape.vocabulary * 4
    return Memory(
        weights=backbones * machine.weights(shape, dtype),
        trained=ADAM * lora_parameters(shape, lora),
        activations=sum(graph_bytes(shape, dtype, p, lora, machine, dropout=dropout) for p in pieces[:kept])
        + largest.read * backward_bytes(shape, dtype, largest.length),
        logits=largest.predicted * (copies * vocabulary + (shape.vocabulary * b if b < 4 else 0))
        + sum(piece.predicted for piece in pieces[1:kept]) * vocabulary,
    )


def asking_memory(
    shape: Shape, dtype: str, rows: int, length: int, shared: int, budget: int, machine: Machine, *,
    sample: bool = False, backbones: int = 1, trained: float = 0,
) -> Memory:  # fmt: skip
    """Peak of generating answers to `rows` prompts of at most `length` tokens (answer included) in batches of `budget` tokens.

    The cache holds all tokens of a batch; adding a column copies one layer's part. Padded prompts have a mask, under
    which grouped keys and values are expanded to all heads, one layer at a time.
    """
    batch = max(1, min(rows, budget // length))
    tokens, b = batch * length, BYTES[dtype]
    expanded = 2 * b * shape.heads * shape.head_size
    return Memory(
        weights=backbones * machine.weights(shape, dtype),
        trained=trained,
        activations=batch * (length - shared) * layer_bytes(shape, dtype, length) + tokens * expanded,
        logits=batch * shape.vocabulary * (SAMPLING_LOGITS if sample else 4 + b),
        cache=tokens * kv_bytes(shape, b) * (1 + 1 / shape.layers),
    )


def encoding_memory(
    shape: Shape, rows: int, length: int, machine: Machine, *, trains: bool = True, backbones: int = 1
) -> Memory:
    """Peak of fine-tuning a whole encoder in float32 on `rows` texts of `length` tokens, or of predicting with it.

    On a GPU AdamW works on all parameters at once, with one more number each.
    """
    count = parameters(shape)
    piece = ForwardPass(rows, length, 0, 0)
    if not trains:
        return Memory(weights=4 * count, activations=piece.read * layer_bytes(shape, "float32", length))
    work = piece.read * backward_bytes(shape, "float32", length)
    return Memory(
        weights=4 * count * backbones,
        trained=(ADAM - 4 + (4 if machine.gpu else 0)) * count,
        activations=graph_bytes(shape, "float32", piece, None, machine, dropout=shape.dropout > 0) + work,
    )


# Work ------------------------------------------------------------------------------------------------------------------


def tuning_work(shape: Shape, piece: ForwardPass, lora: Lora | None) -> Work:
    """One forward and backward pass over a piece."""
    flops = training_flops(shape, piece.read, piece.length, piece.predicted, lora)
    return Work(flops, 3 * shape.layers * (2 if piece.shared else 1))


def reading_work(shape: Shape, piece: ForwardPass, lora: Lora | None) -> Work:
    """One forward pass over a piece."""
    flops = forward_flops(shape, piece.read, piece.length, piece.predicted, lora)
    return Work(flops, shape.layers * (2 if piece.shared else 1))


def asking_work(
    shape: Shape, rows: int, length: float, shared: int, answer: int, budget: int, lora: Lora | None = None, *, each: int = 1
) -> Work:  # fmt: skip
    """Generating `rows` answers of `answer` tokens, `each` to a prompt of `length` tokens; the first `shared` are read once."""
    if not rows:
        return Work()
    batches = ceil(rows / max(1, min(rows, budget // max(1, ceil(length + answer)))))
    tokens = shared + rows / each * (length - shared) + rows * (answer - 1)
    flops = forward_flops(shape, tokens, length + answer, rows * answer, lora)
    return Work(flops, shape.layers * (1 + batches * answer), batches * answer)


def encoding_work(shape: Shape, texts: int, length: float, budget: int) -> Work:
    """An encoder's predictions on `texts` texts of `length` tokens, in batches of `budget` tokens."""
    batches = ceil(texts * length / budget)
    return Work(forward_flops(shape, texts * length, length, 0), shape.layers * batches)
