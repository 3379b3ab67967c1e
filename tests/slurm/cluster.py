"""A single-node Slurm of a test's own, on loopback: munged, slurmctld and slurmd from Debian's packages.

Everything lies in one temporary folder; the daemons are stopped by the process ids that they wrote there.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol")
SEARCHED = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])

SETTINGS = """\
ClusterName=rl4nlu
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
JobRequeue=1
MinJobAge=3600
KillWait=5
SlurmdTimeout=60
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/jobcomp.log
GresTypes=gpu
NodeName=localhost NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} Gres=gpu:1 State=UNKNOWN
PartitionName=cpu Nodes=localhost Default=YES MaxTime=2-00:00:00 State=UP
"""


def missing() -> list[str]:
    """Programs of Slurm and munge that are not on this machine."""
    return [name for name in PROGRAMS if shutil.which(name, path=SEARCHED) is None]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Cluster:
    """One running cluster; `environment` is what its clients need."""

    def __init__(self) -> None:
        # not pytest's folder: a socket's path may have no more than 107 characters
        self.folder = Path(tempfile.mkdtemp(prefix="rl4nlu-slurm-"))
        for name in ("state", "spool", "bin"):
            (self.folder / name).mkdir()
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20
        self.settings = self.folder / "slurm.conf"
        self.settings.write_text(
            SETTINGS.format(
                folder=self.folder,
                controller_port=free_port(),
                node_port=free_port(),
                user=subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip(),
                cpus=os.cpu_count(),
                memory=int(pages * 0.9),
            )
        )
        (self.folder / "gres.conf").write_text("Name=gpu File=/dev/null\n")
        # the plugin's job step drops SLURM_CONF before its srun, and ours is not in /etc/slurm
        srun = self.folder / "bin" / "srun"
        real = shutil.which("srun", path=SEARCHED)
        srun.write_text(f'#!/bin/sh\nexport SLURM_CONF={self.settings}\nexec {real} "$@"\n')
        srun.chmod(0o755)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SLURM_")},
            "SLURM_CONF": str(self.settings),
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{SEARCHED}",
        }

    def start(self) -> None:
        munge = [f"--{what}={self.folder}/munge.{ending}" for what, ending in
                 (("key-file", "key"), ("socket", "socket"), ("pid-file", "pid"), ("log-file", "log"), ("seed-file", "seed"))]  # fmt: skip
        for command in (
            ["munged", "--force", "--num-threads=2", *munge],
            ["slurmctld"],
            ["slurmd", "-N", "localhost"],
        ):
            subprocess.run(command, env=self.environment, check=True, timeout=60)
        self.wait_for(lambda: "idle" in self.ask("sinfo", "-h", "-o", "%T"), 60, "the node to be idle")

    def stop(self) -> None:
        """Cancel what runs, then end the three daemons by their process ids and remove the folder."""
        self.ask("scancel", "--me", check=False)
        try:
            self.wait_for(lambda: not self.jobs(), 30, "the queue to be empty")
        finally:
            for name in ("slurmd", "slurmctld", "munge"):
                end(self.folder / f"{name}.pid")
            shutil.rmtree(self.folder, ignore_errors=True)

    def ask(self, *command: str, check: bool = True) -> str:
        """Output of one of Slurm's clients."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60)
        assert not check or done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def jobs(self, state: str = "PENDING,RUNNING,COMPLETING") -> dict[str, str]:
        """Job ids in one of the states, with their comments (`rule_<name>_wildcards_<...>`)."""
        listed = self.ask("squeue", "-h", "-t", state, "-o", "%i %k").splitlines()
        return dict(line.split(" ", 1) for line in listed if " " in line)

    def time_limits(self) -> list[tuple[str, int]]:
        """Comment and time limit in minutes of every job, by job id."""
        listed = json.loads(self.ask("squeue", "--json"))["jobs"]
        listed.sort(key=lambda job: job["job_id"])
        # newer Slurms write numbers as {"set": ..., "number": ...}
        return [(job["comment"], number_of(job["time_limit"])) for job in listed]

    def finished(self) -> list[dict[str, str]]:
        """Slurm's own record of every job that ended: JobId, JobState, ..."""
        path = self.folder / "jobcomp.log"
        lines = path.read_text().splitlines() if path.is_file() else []
        return [dict(part.split("=", 1) for part in line.split() if "=" in part) for line in lines]

    @staticmethod
    def wait_for(condition, seconds: float, what: str):
        """The first true value of `condition()`; fails after `seconds`."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if value := condition():
                return value
            time.sleep(0.2)
        raise AssertionError(f"waited {seconds:.0f} s in vain for {what}")


def number_of(value: int | dict[str, int]) -> int:
    return value["number"] if isinstance(value, dict) else value


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended counts as gone even where nobody has asked for its status."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def end(pid_file: Path) -> None:
    """End the daemon whose process id stands in `pid_file`: politely, and after ten seconds for good."""
    if not pid_file.is_file():
        return
    pid = int(pid_file.read_text())
    for how, patience in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
        if alive(pid):
            os.kill(pid, how)
        until = time.monotonic() + patience
        while alive(pid) and time.monotonic() < until:
            time.sleep(0.1)
