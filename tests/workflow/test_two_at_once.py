"""Two snakemakes in one folder: the second stops with one message and harms nothing; asked again later, it completes."""

import subprocess
import sys
import time

import pytest

CONFIG = """
name: tiny
data: {source: microworld, train_rows: 80, validation_rows: 20, test_rows: 30}
sft: {prompts: 64}
grid:
  - {method: sft, models: [micro-llama], mixtures: [sst2]}
"""


@pytest.mark.slow
def test_the_second_workflow_of_a_folder_stops_and_the_first_goes_on(checkout):
    (checkout.folder / "config" / "tiny.yaml").write_text(CONFIG)
    arguments = ("--cores", "1", "sft", "--configfile", "config/tiny.yaml")
    first = subprocess.Popen(
        [sys.executable, "-m", "snakemake", *arguments],
        cwd=checkout.folder,
        env=checkout.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    while not list((checkout.folder / ".snakemake" / "locks").glob("*")):
        assert first.poll() is None, first.communicate()[0]
        time.sleep(0.05)
    output = checkout.snakemake(*arguments, fails=True)
    assert "Directory cannot be locked" in output
    assert "no other Snakemake process is trying to create the same files" in output
    assert "Traceback" not in output
    assert "localrule" not in output, "no job of the second was started"
    said = first.communicate()[0]
    assert first.returncode == 0, said
    record = checkout.folder / "results" / "micro-llama" / "sft" / "sst2" / "main" / "seed0" / "run.json"
    made = record.read_bytes()
    assert "Nothing to be done" in checkout.snakemake(*arguments)
    assert record.read_bytes() == made
