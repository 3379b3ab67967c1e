"""The machines that an estimate is stated for: a GPU by its data sheet, one measured CPU core, and what both add to tensors."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Device:
    """The machine that hours and limits are stated for; defaults: one NVIDIA A100 80 GB (its data sheet), shares assumed.

    memory: of one GPU, GB of 1e9 bytes. flops, float32: its rates in bfloat16 and float32 (TF32 off). bandwidth: bytes
    a second. share: of the rate that matrix products reach; decoding reaches the same share of the bandwidth.
    """

    memory: float = 80e9
    flops: float = 312e12
    float32: float = 19.5e12
    bandwidth: float = 2.039e12
    share: float = 0.35


# Measured on one core (x86_64, torch 2.13, one thread; the host was shared with other work):
CPU_FLOPS = 30e9
"""FLOPs a second of the embedded models; fitted to cpu_seconds in run.json of twelve embedded runs, as the two below."""

CPU_LAYER = 0.3e-3
"""Seconds that a layer costs whatever its size: calls, small operators."""

CPU_START = {"plain": 1.0, "ask": 5.0, "ppo": 6.0, "sft": 6.0, "encoder": 6.0}
"""CPU seconds of imports, loading and writing of one job."""

CPU_BASE = {"plain": 120e6, "ask": 430e6, "ppo": 470e6, "sft": 540e6, "encoder": 500e6}
"""Resident bytes of a job's process before its model: Python, torch, transformers, scikit-learn, and for SFT TRL;
benchmarks/plan_memory.py, smallest model."""

CPU_HEAP = {"plain": 1.0, "ask": 1.3, "ppo": 1.9, "sft": 1.6, "encoder": 1.6}
"""Resident bytes a byte of activations, logits and cache: glibc keeps the freed ones in pieces. Fitted to
benchmarks/plan_memory.py, `encoder` taken from `sft`; the tensors alone are within 16 % of what torch allocates."""

CPU_MACHINE = "one core of x86_64 with 2 cores, torch 2.13, one thread; rates measured by benchmarks/plan_memory.py"

GPU_START = 120.0
"""Seconds of imports, loading and writing of a job with a GPU (assumed)."""

GPU_OVERHEAD = 1.0e9
"""Bytes of the CUDA context, its libraries' workspaces and the allocator's fragments (assumed)."""

HOST_BASE = 4e9
"""Resident bytes on the host of a process with CUDA (assumed); a model passes through host memory when it is loaded."""

EMBEDDED = 60e6
"""Parameters up to which a float32 model is meant for the CPU; larger ones take a GPU."""
