"""From data to tables by jobs of a real Slurm, through profiles/slurm."""

import os
import signal

import pytest

from .conftest import QUICK

pytestmark = pytest.mark.slow


def test_jobs_on_slurm_give_the_numbers_of_a_local_run(slurm, on_slurm, local_metrics):
    before = len(slurm.finished())
    on_slurm.start("tables", "--workflow-profile", "slurm", *QUICK)
    on_slurm.finish()
    done = slurm.finished()[before:]
    # one Slurm job a rule's job; tables and the joining of records stay here
    assert len(done) == 1 + 1 + 3 + 3
    assert {job["JobState"] for job in done} == {"COMPLETED"}
    assert on_slurm.metrics() == local_metrics
    assert (on_slurm.folder / "paper" / "generated" / "tables" / "glue.tex").is_file()
    log = (on_slurm.folder / "logs" / "micro-llama" / "ppo" / "sst2" / "main" / "seed0.train.log").read_text()
    assert "slurm job " in log
    assert "slurm job -" not in log


@pytest.mark.xfail(
    reason="passed before runs were batched, resumed and planned; since then the frozen job's time limit was once waited "
    "for in vain on a quiet machine, and why is not known yet"
)
def test_a_run_survives_what_a_cluster_does_to_it(slurm, on_slurm, local_metrics):
    """A job cancelled, one out of time, one requeued, the workflow itself killed: the same numbers in the end."""
    runs = {
        "sft": "micro-llama/sft/sst2/main/seed0",
        "ppo": "micro-llama/ppo/sst2/main/seed0",
        "encoder": "micro-bert-base/encoder/sst2/main/seed0",
    }
    hit: dict[str, str] = {}

    def at_work(method: str) -> str | None:
        """Slurm's id of the training job of `method`, once its program runs."""
        jobs = [job for job, comment in slurm.jobs("RUNNING").items() if f"rule_train_{method}_" in comment]
        return jobs[0] if jobs and len(on_slurm.programs(runs[method])) else None

    def state(method: str) -> str | None:
        return {job["JobId"]: job["JobState"] for job in slurm.finished()}.get(hit[method])

    on_slurm.start("tables", "--workflow-profile", "slurm", *QUICK)
    while len(hit) < 3:
        method = slurm.wait_for(lambda: next((m for m in runs if m not in hit and at_work(m)), None), 600, "a job")
        job = hit[method] = at_work(method)
        if method == "sft":
            slurm.ask("scancel", job)
        elif method == "encoder":
            slurm.ask("scontrol", "requeue", job)
            slurm.wait_for(lambda job=job: job in slurm.jobs("PENDING"), 60, "the requeued job")
            slurm.ask("scontrol", "update", f"JobId={job}", "StartTime=now")  # Slurm would let two minutes pass
        else:  # it makes no step more, and Slurm's shortest limit runs out
            for process in on_slurm.programs(runs["ppo"]):
                os.kill(process, signal.SIGSTOP)
            slurm.ask("scontrol", "update", f"JobId={job}", "TimeLimit=1")
    slurm.wait_for(lambda: state("sft") == "CANCELLED", 60, "the cancelled job to end")
    slurm.wait_for(lambda: state("ppo") == "TIMEOUT", 240, "the time limit")
    slurm.wait_for(lambda: state("encoder") == "COMPLETED", 600, "the requeued job to end well")
    # the cancelled job was submitted again, with half as much time again
    asked = [minutes for comment, minutes in slurm.time_limits() if "rule_train_sft_" in comment]
    assert asked[1] == round(asked[0] * 1.5)
    again = slurm.wait_for(lambda: at_work("ppo"), 600, "the job that was out of time to run again")
    assert again != hit["ppo"]
    on_slurm.kill()
    # the login node is back: jobs that the dead workflow left would write into the new one's files
    slurm.ask("scancel", "--name", on_slurm.run_ids()[0])
    slurm.wait_for(lambda: not slurm.jobs(), 60, "the queue to be empty")
    on_slurm.start("--unlock")
    on_slurm.finish(120)
    on_slurm.start("tables", "--workflow-profile", "slurm", *QUICK)
    on_slurm.finish()
    assert on_slurm.metrics() == local_metrics
