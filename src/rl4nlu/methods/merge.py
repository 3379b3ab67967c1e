"""The backbone of paper 2's reward models and policies: the SFT-with-rationale adapter, merged into its foundation model."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.checkpoint import NOT_SAVED, Checkpoint
from ..models.load import load_adapter, load_backbone, load_tokenizer

if TYPE_CHECKING:
    from ..config import Model
    from ..runs.spec import RunSpec


def train(
    spec: RunSpec, data: Path, out: Path, stands_on: dict[str, Path], checkpoint: Checkpoint = NOT_SAVED
) -> dict[str, Any]:
    """Write the merged model as a plain transformers folder, `out/model`, with its tokenizer; returns facts of the record.

    Args:
        spec: the resolved run.
        data: folder of prepared rows; not read.
        out: folder to write.
        stands_on: `adapter`: folder of the SFT run.
        checkpoint: not used; this stage is short, and starts over where it was stopped.
    """
    started = time.perf_counter()
    adapted = load_adapter(load_backbone(spec.model_spec), stands_on["adapter"] / "adapter")
    merged = adapted.merge_and_unload()  # type: ignore[operator]
    merged.save_pretrained(str(out / "model"))
    load_tokenizer(spec.model_spec).save_pretrained(str(out / "model"))
    return {"seconds": round(time.perf_counter() - started, 3)}


def merged_model(spec: RunSpec, folder: Path) -> Model:
    """The run's foundation model, with the merged weights in `folder` (a `merged-backbone` run's) in place of its own."""
    return spec.model_spec.model_copy(update={"path": str((folder / "model").resolve()), "revision": None})
