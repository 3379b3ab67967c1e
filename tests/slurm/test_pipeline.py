"""From data to tables by jobs of a real Slurm, through profiles/slurm."""

import pytest

from .conftest import QUICK, STEPS
from .watching import Watch

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


def test_a_run_survives_what_a_cluster_does_to_it(slurm, on_slurm, local_metrics):
    """A job cancelled, one warned before its time limit, one requeued and then out of time without a warning, the workflow
    itself killed: the same numbers in the end, nothing trained from zero and nothing twice.

    Slurm wakes a frozen program by the signal that it sends: it ends its step, saves and stops.
    """
    runs = {
        "sft": "micro-llama/sft/sst2/main/seed0",
        "ppo": "micro-llama/ppo/sst2/main/seed0",
        "encoder": "micro-bert-base/encoder/sst2/main/seed0",
    }
    watch = Watch(on_slurm.folder, runs, freeze={"sft": 1, "ppo": 1, "encoder": 3})
    hit: dict[str, list[str]] = {method: [] for method in runs}

    def frozen(method: str) -> str | None:
        """Slurm's id of the job whose program, which was not hit yet, has saved a state and stands still."""
        if watch.frozen[method] == len(hit[method]):
            return None
        jobs = slurm.jobs("RUNNING").items()
        return next((job for job, comment in jobs if f"rule_train_{method}_" in comment), None)

    def warned(job: str) -> None:
        """Leave the job less than two minutes, and more than one."""
        passed = slurm.ask("squeue", "-h", "-j", job, "-o", "%M").strip()
        slurm.ask("scontrol", "update", f"JobId={job}", f"TimeLimit={int(passed.split(':')[-2]) + 2}")

    def out_of_time(job: str) -> None:
        slurm.ask("scontrol", "update", f"JobId={job}", "TimeLimit=1")

    def requeued(job: str) -> None:
        slurm.ask("scontrol", "requeue", job)
        slurm.wait_for(lambda: job in slurm.jobs("PENDING"), 60, "the requeued job")
        slurm.ask("scontrol", "update", f"JobId={job}", "StartTime=now")  # Slurm would let two minutes pass

    def state(job: str) -> str | None:
        return {one["JobId"]: one["JobState"] for one in slurm.finished()}.get(job)

    # the encoder is not told of its time limit before, as everything else is by the profile
    profile = on_slurm.folder / "profiles" / "slurm" / "profile.yaml"
    profile.write_text(profile.read_text() + "  train_encoder: {}\n")
    blows = {"sft": [lambda job: slurm.ask("scancel", job)], "ppo": [warned], "encoder": [requeued, out_of_time]}
    earlier = len(slurm.time_limits())  # another test's jobs
    on_slurm.start("tables", "--workflow-profile", "slurm", *QUICK)
    while any(blows.values()):
        method, job = slurm.wait_for(
            lambda: next(((m, job) for m in runs if blows[m] and (job := frozen(m))), None), 900, f"a job of {blows}"
        )
        hit[method].append(job)
        blows[method].pop(0)(job)
    again = slurm.wait_for(lambda: frozen("encoder"), 900, "the job that was out of time to run again")
    assert again not in hit["encoder"]
    for method, end in (("sft", "CANCELLED"), ("ppo", "FAILED"), ("encoder", "TIMEOUT")):
        slurm.wait_for(lambda m=method, e=end: state(hit[m][-1]) == e, 300, f"the job of {method} to be {end}")
    # the requeued job kept its number
    assert hit["encoder"][0] == hit["encoder"][1]
    # the cancelled job was submitted again, with half as much time again
    asked = [minutes for comment, minutes in slurm.time_limits()[earlier:] if "rule_train_sft_" in comment]
    assert asked[1] == round(asked[0] * 1.5)

    on_slurm.kill()
    # the login node is back: jobs that the dead workflow left would write into the new one's files
    slurm.ask("scancel", "--name", on_slurm.run_ids()[0])
    slurm.wait_for(lambda: not slurm.jobs(), 60, "the queue to be empty")
    on_slurm.start("--unlock")
    on_slurm.finish(120)
    on_slurm.start("tables", "--workflow-profile", "slurm", *QUICK)
    on_slurm.finish()
    watch.stop()
    assert on_slurm.metrics() == local_metrics
    for method, blow in (("sft", 1), ("ppo", 1), ("encoder", 3)):
        stretches = watch.stretches(method, STEPS[method])
        assert len(stretches) == blow + 1, f"{method}: {stretches}"
        # each process went on where the one before it had stopped: not from zero, and no step was made twice
        assert [first for first, _ in stretches] == [0, *(last for _, last in stretches[:-1])], f"{method}: {stretches}"
        assert all(last > first for first, last in stretches), f"{method}: {stretches}"
        # and held the lease alone
        assert watch.holders[method] == watch.processes(method)
