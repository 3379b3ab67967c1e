"""The machine that a job runs on: the kernels of its processor that the job keeps to, one GPU a job, what its record says.

Where several GPUs are visible and nothing has dealt them out, a job claims a free one. A claim is a lock of the operating
system on a small file, so that it ends with its process, however that ends. Nothing here imports torch, which reads
`CUDA_VISIBLE_DEVICES` and the variables of `KERNELS` only once.
"""

from __future__ import annotations

import fcntl
import gc
import os
import platform
import re
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import IO, Any

from .errors import ConfigError

RECORDED_PACKAGES = ("torch", "transformers", "peft", "trl", "tokenizers", "datasets", "numpy", "scikit-learn", "scipy")

KERNELS: dict[str, dict[str, str]] = {
    "portable": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_CBWR": "COMPATIBLE"},
    "fast": {},
}
"""By a config's `bits`, the variables that choose kernels on a CPU: of torch itself, of oneDNN and of MKL.

MKL computes by the processor's vendor, too: its branches above COMPATIBLE give other bits on AMD than on Intel, STRICT or
not, in `exp`, `log` and products of few rows or columns, such as those with a LoRA matrix. COMPATIBLE is left with one
fault: `torch.sqrt` refines an estimate of the processor's own (RSQRTPS), so that optimisers must take their square roots
elsewhere, as the fused form of AdamW does.
"""


def pin_kernels(bits: str) -> None:
    """Make this process compute by the kernels of `bits`; a shell's own values give way to those that `bits` names.

    Raises:
        ConfigError: this processor does not have them.
        RuntimeError: torch is imported already, and may have read other values.
    """
    wanted = KERNELS[bits]
    found = {name: os.environ.get(name) for name in wanted}
    if wanted and not _has_avx2():
        raise ConfigError(
            f"bits: {bits} needs an x86-64 processor with AVX2, and this one ({describe_processor()}) is none; "
            "bits: fast runs here (--config bits=fast), and its numbers are this machine's own"
        )
    if found != wanted and sys.modules.get("torch") is not None:
        raise RuntimeError(f"bits: {bits} comes too late: torch is imported, with {found} instead of {wanted}")
    os.environ.update(wanted)


def _processor_facts() -> dict[str, str]:
    """What Linux tells of the first core, by name; empty elsewhere."""
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0]
    except OSError:
        return {}
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in first.splitlines())}


def _has_avx2() -> bool:
    return platform.machine() in ("x86_64", "AMD64") and "avx2" in _processor_facts().get("flags", "avx2").split()


def describe_processor() -> str:
    """Vendor and model of the processor, where the system tells them."""
    told = [value for name in ("vendor_id", "model name") if (value := _processor_facts().get(name))]
    return ", ".join(told) or platform.processor() or platform.machine()


def describe_kernels() -> str | None:
    """Torch's instruction set on a CPU, the versions of MKL and oneDNN, and what they are kept to; None where torch is not loaded."""
    if (torch := sys.modules.get("torch")) is None:
        return None
    found = re.findall(r"(Math Kernel Library|MKL-DNN) (?:Version )?(\S+)", torch.__config__.show())
    libraries = [f"{name} {version}" for name, version in found]
    kept = [f"{name}={os.environ[name]}" for name in KERNELS["portable"] if name in os.environ]
    return ", ".join([torch.backends.cpu.get_cpu_capability(), *libraries, *kept])


def git_commit(folder: Path) -> str | None:
    """The checkout's commit, with '+' where tracked files are changed; None outside a checkout."""
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=True)
        changed = subprocess.run(["git", "diff", "--quiet", "HEAD"], cwd=folder, capture_output=True).returncode
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.stdout.strip() + ("+" if changed else "")


def environment(folder: Path) -> dict[str, Any]:
    """Where and with what this process runs: versions, host, processor, kernels, device, commit, scheduler's job id.

    Kernels and device are read only where torch is already loaded, so that light programs stay light.
    """
    versions = {}
    for package in RECORDED_PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    device = "cpu"
    if (torch := sys.modules.get("torch")) is not None and torch.cuda.is_available():
        device = torch.cuda.get_device_name()
    return {
        "python": platform.python_version(),
        "versions": versions,
        "host": socket.gethostname(),
        "machine": platform.machine(),
        "processor": describe_processor(),
        "cores": os.cpu_count(),
        "kernels": describe_kernels(),
        "device": device,
        "slurm_job_id": os.environ.get("SLURM_JOB_ID"),
        "git_commit": git_commit(folder),
    }


def reset_peak_memory() -> None:
    """Measure peaks from here on, where the system lets a process do so (Linux); memory that it holds already counts."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    if (torch := sys.modules.get("torch")) is not None and torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak_memory_mb() -> dict[str, float]:
    """Peak resident memory of this process and, where torch drives a GPU, of its allocator; in MB."""
    peaks = {"cpu_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)}
    if (torch := sys.modules.get("torch")) is not None and torch.cuda.is_available():
        peaks["gpu_mb"] = round(torch.cuda.max_memory_allocated() / 2**20, 1)
    return peaks


_claims: list[IO[str]] = []
"""Lock files of this process; closing one would give its device back."""


def visible_devices(count: int | None = None) -> list[str]:
    """Names of the GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` writes them; torch is not imported.

    `count` stands for the number of the machine's GPUs; by default the driver's own program lists them.
    """
    if (named := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name.strip() for name in named.split(",") if name.strip() not in ("", "-1")]
    return [str(n) for n in range(_count_gpus() if count is None else count)]


def _count_gpus() -> int:
    try:
        listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return 0
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())


def visible_gpus() -> int:
    """Number of GPUs that a program started here may use."""
    return len(visible_devices())


def lock_folder() -> Path:
    """Where this user's claims lie on this machine; a Slurm job numbers its devices by itself and has a folder of its own."""
    job = os.environ.get("SLURM_JOB_ID")
    return Path(tempfile.gettempdir()) / f"rl4nlu-gpus-{os.getuid()}{f'-{job}' if job else ''}"


def claim_device(
    count: int | None = None,
    folder: Path | None = None,
    say: Callable[[str], None] = lambda line: print(line, flush=True),
) -> str | None:
    """Keep this process to one GPU that no other one has claimed; its name, or None where there are none to choose from.

    Waits, saying so once, while all are claimed. A job of a scheduler sees the GPU that it was given, and keeps it.

    Args:
        count: number of the machine's GPUs; by default they are counted.
        folder: of lock files; default: `lock_folder()`.
        say: takes the line about waiting.
    """
    devices = visible_devices(count)
    if len(devices) < 2:
        return None
    folder = folder or lock_folder()
    folder.mkdir(parents=True, exist_ok=True)
    told = False
    while True:
        for device in devices:
            handle = (folder / f"{device.replace('/', '-')}.lock").open("w")
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                handle.close()
                continue
            handle.write(f"{os.getpid()}\n")
            handle.flush()
            _claims.append(handle)
            os.environ["CUDA_VISIBLE_DEVICES"] = device
            return device
        if not told:
            say(f"waiting: all of the {len(devices)} GPUs ({', '.join(devices)}) are claimed")
            told = True
        time.sleep(0.5)


def describe_device() -> str:
    """The device of a job's log, told without torch: "cpu", or the names of the GPUs that it sees."""
    devices = visible_devices()
    return f"GPU {', '.join(devices)}" if devices else "cpu"


def free_memory() -> None:
    """Give back the memory of models that nobody uses any more: trainers hold theirs in reference cycles."""
    gc.collect()
    if (torch := sys.modules.get("torch")) is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
