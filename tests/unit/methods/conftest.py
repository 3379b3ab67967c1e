"""What holds of every training: it takes no square roots from MKL."""

import pytest
import torch


@pytest.fixture(autouse=True)
def _exact_roots(monkeypatch):
    """On a CPU `torch.sqrt` is MKL's, which refines an estimate of the processor's own (`base.machine.KERNELS`)."""

    def refuse(*_):
        pytest.fail("torch.sqrt has other bits on another processor; an optimiser that is not fused takes it")

    monkeypatch.setattr(torch, "sqrt", refuse)
    monkeypatch.setattr(torch.Tensor, "sqrt", refuse)
