"""The shape of a model, and what follows from it alone: parameters, LoRA parameters, key/value cache, FLOPs, activations.

Everything is arithmetic on a handful of integers, without torch, so that plans and the DAG stay light. Letters below:
d hidden size, f intermediate size, h attention heads, k key/value heads, c size of a head, L layers, V vocabulary,
r rank, T tokens of a sequence. A multiplication and an addition are two FLOPs.
`tests/unit/planner/` holds the counts against real models, PEFT, torch's FLOP counter and autograd's saved tensors.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ..base.files import REPOSITORY, read_json
from ..config import Lora, Model, read_yaml

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Bytes of one number."""

FAMILIES = {
    "llama": "llama", "mistral": "llama", "qwen2": "qwen2", "mpt": "mpt", "gpt2": "gpt2", "gptj": "gptj",
    "gpt_neox": "gpt_neox", "bert": "bert", "distilbert": "distilbert", "deberta-v2": "deberta-v2",
}  # fmt: skip
"""`model_type` of a config.json, and the architecture whose formulas hold for it."""

PEFT_DEFAULTS = {
    "llama": ("q_proj", "v_proj"), "qwen2": ("q_proj", "v_proj"), "mpt": ("Wqkv",), "gpt2": ("attn.c_attn",),
    "gptj": ("q_proj", "v_proj"), "gpt_neox": ("query_key_value",),
}  # fmt: skip
"""Modules that PEFT adapts where none are named."""

ENCODER_FAMILIES = ("bert", "distilbert", "deberta-v2")

POSITIONS = {
    "gpt2": "n_positions", "bert": "max_position_embeddings", "distilbert": "max_position_embeddings",
    "deberta-v2": "position_buckets",
}  # fmt: skip
"""Of architectures with a table of positions: what config.json calls its rows (DeBERTa: half of them)."""


@dataclass(frozen=True)
class Shape:
    """The numbers of a config.json that memory and time depend on."""

    family: str
    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_size: int
    vocabulary: int
    tied: bool
    positions: int = 0
    dropout: float = 0.0

    @property
    def eager(self) -> bool:
        """Whether attention is computed step by step, with all T x T probabilities in memory (MPT, GPT-J)."""
        return self.family in ("mpt", "gptj")


def read_shape(values: dict[str, Any]) -> Shape | None:
    """The shape that a config.json tells; None for an architecture whose formulas are not known here."""
    family = FAMILIES.get(values.get("model_type", ""))
    if family is None:
        return None
    if family == "mpt":
        hidden, heads = values["d_model"], values["n_heads"]
        layers = values["n_layers"]
        intermediate = 4 * hidden  # transformers' MPT ignores expansion_ratio
    elif family in ("gpt2", "gptj"):
        hidden, heads, layers = values["n_embd"], values["n_head"], values["n_layer"]
        intermediate = values.get("n_inner") or 4 * hidden
    elif family == "distilbert":
        hidden, heads, layers, intermediate = (values[key] for key in ("dim", "n_heads", "n_layers", "hidden_dim"))
    else:
        hidden, heads = values["hidden_size"], values["num_attention_heads"]
        layers, intermediate = values["num_hidden_layers"], values["intermediate_size"]
    return Shape(
        family,
        layers,
        hidden,
        intermediate,
        heads,
        values.get("num_key_value_heads") or heads,
        values.get("head_dim") or hidden // heads,
        values["vocab_size"],
        values.get("tie_word_embeddings", family in ("mpt", "gpt2", *ENCODER_FAMILIES)),
        (2 if family == "deberta-v2" else 1) * values[positions] if (positions := POSITIONS.get(family)) else 0,
        values.get("hidden_dropout_prob", 0.0) if family == "bert" else 0.0,
    )


@cache
def read_planning() -> dict[str, Any]:
    """`resources/planning.yaml`: shapes of hub models, and typical rows of tasks."""
    values: dict[str, Any] = read_yaml(REPOSITORY / "resources" / "planning.yaml")
    return values


@cache
def shape_of(model: Model) -> Shape | None:
    """The model's shape from its folder, from `resources/planning.yaml` or from the hub's cache; None where none tells it."""
    for folder in (REPOSITORY / model.path, Path(model.path)):
        if (folder / "config.json").is_file():
            return read_shape(read_json(folder / "config.json"))
    if model.path in read_planning()["models"]:
        return read_shape(read_planning()["models"][model.path])
    try:
        from huggingface_hub import try_to_load_from_cache

        cached = try_to_load_from_cache(model.path, "config.json", revision=model.revision)
    except ValueError:  # neither a folder nor a hub repository's name
        return None
    return read_shape(read_json(Path(cached))) if isinstance(cached, str) else None


# Parameters ----------------------------------------------------------------------------------------------------------


def linears(shape: Shape) -> dict[str, tuple[int, int]]:
    """The linear modules of one layer: name -> (inputs, outputs)."""
    d, f = shape.hidden, shape.intermediate
    q, kv = shape.heads * shape.head_size, shape.kv_heads * shape.head_size
    if shape.family == "mpt":
        return {"Wqkv": (d, 3 * d), "out_proj": (d, d), "up_proj": (d, f), "down_proj": (f, d)}
    if shape.family == "gpt2":
        return {"attn.c_attn": (d, 3 * d), "attn.c_proj": (d, d), "mlp.c_fc": (d, f), "mlp.c_proj": (f, d)}
    if shape.family == "gptj":
        attention = dict.fromkeys(("q_proj", "k_proj", "v_proj", "out_proj"), (d, d))
        return {**attention, "fc_in": (d, f), "fc_out": (f, d)}
    if shape.family == "gpt_neox":
        return {"query_key_value": (d, 3 * d), "dense": (d, d), "dense_h_to_4h": (d, f), "dense_4h_to_h": (f, d)}
    if shape.family in ENCODER_FAMILIES:
        return {"query": (d, d), "key": (d, d), "value": (d, d), "out": (d, d), "up": (d, f), "down": (f, d)}
    return {
        "q_proj": (d, q), "k_proj": (d, kv), "v_proj": (d, kv), "o_proj": (q, d),
        "gate_proj": (d, f), "up_proj": (d, f), "down_proj": (f, d),
    }  # fmt: skip


def matrix_parameters(shape: Shape) -> int:
    """Parameters of all layers' linear modules without biases: what every token is multiplied with, the head apart."""
    return shape.layers * sum(inputs * outputs for inputs, outputs in linears(shape).values())


def biases(shape: Shape) -> int:
    """Parameters that are added rather than multiplied with, norms' included, of the model that `parameters` counts."""
    d, f, V, L = shape.hidden, shape.intermediate, shape.vocabulary, shape.layers
    if shape.family in ("llama", "mpt"):
        return 0
    if shape.family == "qwen2":  # of query, key and value
        return L * (shape.heads + 2 * shape.kv_heads) * shape.head_size
    if shape.family == "gptj":  # of the MLP, norms and the head
        return L * (f + d + d) + d + V
    every = L * (sum(outputs for _, outputs in linears(shape).values()) + 2 * d) + d
    return every + (
        0 if shape.family in ("gpt2", "gpt_neox", "distilbert") else d
    )  # of BERT's pooler, DeBERTa's third norm


def parameters(shape: Shape) -> int:
    """Parameters of a decoder with its head, or of an encoder without a task's head (BERT: with its pooler)."""
    d, V, L = shape.hidden, shape.vocabulary, shape.layers
    norms = L * (1 if shape.family == "gptj" else 2) + (2 if shape.family == "deberta-v2" else 1)
    count = V * d + shape.positions * d + matrix_parameters(shape) + norms * d + biases(shape)
    if shape.family == "bert":  # two segments, the pooler
        return count + 2 * d + d * d
    return count + (0 if shape.tied else V * d)


def lora_targets(shape: Shape, lora: Lora) -> tuple[str, ...]:
    """Names of the adapted modules of a layer: as in PEFT, a target names every module whose name ends with it."""
    if lora.targets == "default":
        return PEFT_DEFAULTS[shape.family]
    if lora.targets == "all-linear":
        return tuple(linears(shape))
    return tuple(name for name in linears(shape) if any(f".{name}".endswith(f".{target}") for target in lora.targets))


def lora_parameters(shape: Shape, lora: Lora) -> int:
    """Trained parameters of an adapter: r x (inputs + outputs) for every adapted module of every layer.

    `bias: all` trains the backbone's own biases too.
    """
    modules = linears(shape)
    pairs = sum(sum(modules[name]) for name in lora_targets(shape, lora))
    return shape.layers * lora.rank * pairs + (biases(shape) if lora.bias == "all" else 0)


# Memory that grows with tokens ------------------------------------------------------------------------------------------


def kv_bytes(shape: Shape, width: int) -> int:
    """Bytes of the key/value cache of one token: 2 L k c x bytes of a number."""
    return 2 * shape.layers * shape.kv_heads * shape.head_size * width


def saved_bytes(
    shape: Shape, dtype: str, length: int, lora: Lora | None, *, training: bool = True, gpu: bool = False
) -> int:
    """Bytes that autograd keeps for backward, for one token of a sequence of `length` tokens, all layers.

    The terms are what the operators save: a frozen linear module saves nothing, an adapted one its input (once a module
    in half precision, for each casts it; in float32 they share it) and the r numbers between A and B; a norm its input
    (RMSNorm in float32); attention its query, key, value, output and log-normaliser, or if eager its probabilities; the
    activation of a gated MLP three times f numbers.

    Args:
        shape: of the model.
        dtype: of the backbone, which is computed in (see `models.precision`).
        length: tokens that a token may attend to (matters for eager attention only).
        lora: adapters on a frozen backbone; None: everything is trained (encoders).
        training: whether dropout acts.
        gpu: dropout masks take one byte on a GPU, four on a CPU.
    """
    b, d, f, h = BYTES[dtype], shape.hidden, shape.intermediate, shape.heads
    q, kv = h * shape.head_size, shape.kv_heads * shape.head_size
    mask = 1 if gpu else 4
    if lora is None:  # BERT: what linear modules, attention and norms read, GELU's input and output
        layer = b * (8 * d + 2 * f) + 4 * h + 16
        if training and shape.dropout:
            layer += 2 * mask * d + (0 if gpu else 12 * h * length + 4 * d)
        return shape.layers * layer + 2 * b * d
    adapted = lora_targets(shape, lora)
    modules = linears(shape)
    if training and lora.dropout:
        layer = sum((mask + b) * modules[name][0] for name in adapted)
    elif b == 4:  # one copy of an input serves all modules that read it
        layer = 4 * sum({_reads(name): modules[name][0] for name in adapted}.values())
    else:
        layer = b * sum(modules[name][0] for name in adapted)
    layer += b * lora.rank * len(adapted)
    if shape.family in ("gpt2", "gptj", "gpt_neox"):
        return shape.layers * (layer + _gpt_bytes(shape, b, length, gpu))
    if shape.eager:  # the causal mask: a byte, once for all layers
        layer += b * (3 * d + 2 * d + f) + (4 if b == 4 else 4 + b) * h * length + 4 * b
        return shape.layers * layer + length
    layer += b * (2 * q + 2 * kv + 3 * f) + 4 * h + 8 * d + 8
    return shape.layers * layer


def _gpt_bytes(shape: Shape, b: int, length: int, gpu: bool) -> int:
    """What a layer of GPT-2, GPT-NeoX or GPT-J saves of a token, beside what adapters read.

    `single`: bytes of a number that CUDA's autocast takes to float32 (inputs of norms and powers, probabilities). GPT-2 and
    GPT-J keep four arrays of f for their approximate GELU, GPT-NeoX one; GPT-NeoX and GPT-J have one input of both branches.
    """
    d, f, h, single = shape.hidden, shape.intermediate, shape.heads, 4 if gpu else b
    if shape.family == "gpt_neox":  # all three of a token, query and key once more when rotated, and the output
        return b * (6 * d + f) + single * d + 4 * h + 16
    gelu = (3 * single + b) * f
    if shape.family == "gpt2":
        return b * 4 * d + single * 2 * d + 4 * h + 16 + gelu
    probabilities = h * length * (single if single == b else single + b)
    return b * 3 * d + single * d + probabilities + 8 + gelu


def _reads(module: str) -> str:
    """What a linear module's input is, by name: modules that read the same share one saved copy."""
    if module in ("q_proj", "k_proj", "v_proj", "fc_in"):
        return "attention"
    return "mlp" if module in ("gate_proj", "up_proj") else module


def layer_bytes(shape: Shape, dtype: str, length: int) -> int:
    """Bytes that one layer's computation holds at a time for one token, beyond what is saved: its widest moment.

    MLP: input, two or three times f and their sum; eager attention: scores with bias, masked, in float32, softmax.
    """
    b, d, f = BYTES[dtype], shape.hidden, shape.intermediate
    mlp = b * (3 * d + 3 * f)
    if shape.eager:
        return max(mlp, 3 * b * d + shape.heads * length * (3 * b + 8))
    return mlp


def backward_bytes(shape: Shape, dtype: str, length: int) -> int:
    """Bytes that the first step of the backward pass needs for one token, all that was saved still being there."""
    b = BYTES[dtype]
    return b * (shape.hidden + shape.intermediate) + (8 * shape.heads * length if shape.eager else 0)


# Floating-point operations ----------------------------------------------------------------------------------------------


def forward_flops(shape: Shape, tokens: float, context: float, predicted: float, lora: Lora | None = None) -> float:
    """FLOPs of a forward pass over `tokens` tokens.

    2 x (matrix and adapter parameters) a token, 4 h c x context a token and layer for attention (scores and their
    product with the values, causal or not: the matrices are computed whole), 2 d V a predicted position for the head.

    Args:
        shape: of the model.
        tokens: read in all.
        context: tokens that each of them attends to, padding and cache counted.
        predicted: positions that the head is applied to (encoders: 0; pooler and task head are left out).
        lora: adapters, if any.
    """
    weights = matrix_parameters(shape) + (lora_parameters(shape, lora) if lora else 0)
    attention = 4 * shape.layers * shape.heads * shape.head_size * context
    return tokens * (2 * weights + attention) + 2 * predicted * shape.hidden * shape.vocabulary


def training_flops(shape: Shape, tokens: float, context: float, predicted: float, lora: Lora | None) -> float:
    """FLOPs of a forward and a backward pass.

    Backward costs one forward for the gradients of activations, and one more for those of weights where these are
    trained: all of an encoder's, an adapter's only in a decoder; attention's backward costs two of its forwards.
    """
    forward = forward_flops(shape, tokens, context, predicted, lora)
    attention = tokens * 4 * shape.layers * shape.heads * shape.head_size * context
    trained = matrix_parameters(shape) if lora is None else lora_parameters(shape, lora)
    return 2 * forward + attention + 2 * tokens * trained
