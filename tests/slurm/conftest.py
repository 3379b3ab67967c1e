"""A running Slurm, and a copy of the checkout whose workflow submits to it."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from workflow.conftest import copy_of

from .cluster import Cluster, missing

CONFIG = """
name: tiny
save_every_seconds: 0.3
data: {source: microworld, train_rows: 80, validation_rows: 20, test_rows: 30}
prompting: {shots: [1]}
sft: {prompts: 1280, batch_size: 16}
ppo: {prompts: 960, batch_size: 16, minibatch_size: 16, epochs: 1}
encoder: {prompts: 3200, batch_size: 16}
evaluation: {bootstrap: 50}
grid:
  - {method: zero-shot, models: [micro-llama], tasks: [sst2]}
  - {method: sft, models: [micro-llama], mixtures: [sst2]}
  - {method: ppo, models: [micro-llama], mixtures: [sst2]}
  - {method: encoder, models: [micro-bert-base], mixtures: [sst2]}
"""

STEPS = {"sft": 80, "ppo": 60, "encoder": 200}
"""Of each of its runs: some seconds, so that each can be stopped on its way."""

# The profile as it is, asked more often: its pauses are for jobs of hours.
QUICK = ("--slurm-init-seconds-before-status-checks", "2", "--latency-wait", "10")


@pytest.fixture(scope="session")
def slurm() -> Iterator[Cluster]:
    if lacking := missing():
        pytest.skip(f"no Slurm on this machine: {', '.join(lacking)} (Debian: munge slurmctld slurmd slurm-client)")
    cluster = Cluster()
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@dataclass
class Workflow:
    """A checkout of its own; one snakemake at a time, whose output goes to `said`."""

    folder: Path
    environment: dict[str, str]
    said: Path
    process: subprocess.Popen | None = None

    def start(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "snakemake", *arguments, "--configfile", "config/tiny.yaml"]
        with self.said.open("a") as output:
            # Python ignores no signal here, as a shell's background job would
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=self.environment, stdout=output, stderr=output, start_new_session=True
            )

    def finish(self, seconds: float = 1200) -> None:
        assert self.process is not None
        status = self.process.wait(timeout=seconds)
        assert status == 0, self.output()

    def kill(self) -> None:
        """SIGKILL to the workflow's own process, as when the login node is lost: its jobs in Slurm go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def output(self) -> str:
        return self.said.read_text()

    def run_ids(self) -> list[str]:
        """Names of the jobs of every workflow that was started, the latest last."""
        return re.findall(r"SLURM run ID: (\S+)", self.output())

    def metrics(self) -> str:
        return (self.folder / "results" / "metrics.csv").read_text()


def prepare(root: Path, folder: Path, environment: dict[str, str]) -> Workflow:
    (folder / "checkout").mkdir()
    checkout = copy_of(root, folder / "checkout")
    (checkout.folder / "config" / "tiny.yaml").write_text(CONFIG)
    found = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", "")])
    mine = {**environment, "PATH": found, "PYTHONPATH": str(checkout.folder / "src"), "PYTHONUNBUFFERED": "1"}
    return Workflow(checkout.folder, mine, folder / "snakemake.log")


@pytest.fixture
def on_slurm(root, tmp_path, slurm) -> Iterator[Workflow]:
    workflow = prepare(root, tmp_path, slurm.environment)
    yield workflow
    if workflow.process is not None and workflow.process.poll() is None:
        workflow.process.send_signal(signal.SIGINT)
        try:
            workflow.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            workflow.process.kill()
    slurm.ask("scancel", "--me", check=False)
    time.sleep(1)


@pytest.fixture(scope="session")
def local_metrics(root, tmp_path_factory) -> str:
    """metrics.csv of the same config, run on this machine without Slurm."""
    workflow = prepare(root, tmp_path_factory.mktemp("local"), dict(os.environ))
    workflow.start("--cores", "2", "tables")
    workflow.finish()
    return workflow.metrics()
