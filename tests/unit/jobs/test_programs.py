"""The stages' programs: which runs a process trains, what later jobs find, and that a batch changes no number."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from rl4nlu.base.errors import ConfigError
from rl4nlu.base.files import REPOSITORY, read_json, write_text
from rl4nlu.base.leases import take
from rl4nlu.config import METHODS, Data
from rl4nlu.jobs import programs as jobs
from rl4nlu.tasks.prepare import prepare
from rl4nlu.tasks.task import load_task

ROWS = {"source": "microworld", "train_rows": 60, "validation_rows": 10, "test_rows": 12}

CONFIG = {
    "name": "tiny",
    "batch": True,
    "bits": "fast",  # what these tests compute is not compared with another machine, and torch is imported
    "data": ROWS,
    "prompting": {"shots": [1]},
    "sft": {"prompts": 32},
    "ppo": {"prompts": 32, "batch_size": 16, "minibatch_size": 16, "epochs": 1},
    "encoder": {"prompts": 32},
    "evaluation": {"bootstrap": 20},
    "mixtures": {"rte": {"sft": {"prompts": 64}}},
    "variants": {"from-sft": {"ppo": {"start": "sft"}}},
    "grid": [
        {"method": "sft", "models": ["micro-llama"], "mixtures": ["sst2"], "seeds": [0, 1]},
        {"method": "sft", "models": ["micro-llama"], "mixtures": ["rte"]},
        {"method": "sft", "models": ["micro-qwen2"], "mixtures": ["sst2"]},
        {"method": "ppo", "models": ["micro-llama"], "mixtures": ["sst2"], "variants": ["main", "from-sft"]},
        {"method": "encoder", "models": ["micro-bert-base"], "mixtures": ["sst2"], "seeds": [0, 1]},
        {"method": "majority", "models": ["micro-llama"], "tasks": ["sst2"]},
        {"method": "random", "models": ["micro-llama"], "tasks": ["sst2"], "seeds": [0, 1]},
    ],
}


class Workflow:
    """A folder with rows and a config; its programs run here with a made-up training, or as real processes."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.trained, self.rates = folder, [], {}
        self.config(CONFIG)

    def config(self, values: dict) -> None:
        (self.folder / "config.yaml").write_text(yaml.safe_dump(values))

    def arguments(self, run: str, *more: str) -> list[str]:
        named = ("--data", self.folder / "data", "--work", self.folder / "work", "--out", self.results(run))
        return ["--config", str(self.folder / "config.yaml"), "--run", run, *map(str, named), *more]

    def results(self, run: str) -> Path:
        return self.folder / "results" / run

    def learn(self, spec, data, out, **options):
        """A training that takes no time."""
        self.trained.append((spec.address.path.split("/", 1)[1], *sorted(options.keys() - {"checkpoint"})))
        self.rates[spec.address.path] = spec.settings.learning_rates
        write_text(out / "adapter" / "weights", spec.address.path)
        write_text(out / "history.jsonl", "")
        return {"prompts_seen": spec.settings.prompts, "learning_rate": spec.settings.learning_rates[-1]}

    def train(self, run: str, *more: str) -> None:
        """The program that makes the run."""
        jobs.training_program(run.split("/")[1], self.arguments(run, *more))

    def process(self, program: str, run: str, *more: str, before: Path | None = None) -> str:
        """A real process of a stage's program; its output."""
        folders = [*([str(before)] if before else []), str(REPOSITORY / "src")]
        done = subprocess.run(
            [sys.executable, REPOSITORY / "workflow" / "scripts" / program, *self.arguments(run, *more)],
            # PEFT writes target modules as a set, whose order depends on the process's hash seed
            env={**os.environ, "PYTHONPATH": os.pathsep.join(folders), "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def ask(self, run: str, before: Path | None = None) -> str:
        """The process that answers the run's tasks."""
        folder = self.results(run)
        return self.process("answer.py", run, "--trained", str(folder), "--out", f"{folder}/answers", before=before)

    def score(self, run: str, before: Path | None = None) -> str:
        """The process that scores the run's answers."""
        folder = self.results(run)
        more = ("--answers", f"{folder}/answers", "--out", f"{folder}/evaluation")
        return self.process("score.py", run, *more, before=before)


@pytest.fixture(scope="session")
def rows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    for name in ("sst2", "rte"):
        prepare(load_task(name), Data(**ROWS), folder / name)
    return folder


@pytest.fixture
def flow(tmp_path, rows, monkeypatch):
    for name in ("sst2", "rte"):
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / name).symlink_to(rows / name)
    made = Workflow(tmp_path)
    for module in ("methods.sft", "methods.rl.ppo"):  # real processes have the real ones
        monkeypatch.setattr(f"rl4nlu.{module}.train", made.learn)
    monkeypatch.setattr("rl4nlu.answering.answer.answer_run", lambda *_: None)
    return made


FIRST, SECOND, LONG = (f"micro-llama/sft/{place}" for place in ("sst2/main/seed0", "sst2/main/seed1", "rte/main/seed0"))


def test_a_process_goes_on_with_the_other_runs_of_its_model_and_method_the_longest_first(flow):
    flow.train(FIRST)
    assert flow.trained == [("sft/sst2/main/seed0",), ("sft/rte/main/seed0",), ("sft/sst2/main/seed1",)]
    flow.train(SECOND)
    flow.train(LONG)
    assert len(flow.trained) == 3
    for run in (FIRST, SECOND, LONG):
        record = read_json(flow.results(run) / "run.json")
        assert record["run"] == run
        assert record["job"]["run"] == FIRST
    assert not list((flow.folder / "work" / "sft").iterdir())


@pytest.mark.parametrize(
    ("run", "over", "key"),
    [
        (FIRST, {"evaluation": {"decoding": {"max_new_tokens": 1}}}, r"evaluation\.decoding\.max_new_tokens"),
        ("micro-llama/ppo/sst2/main/seed0", {"ppo": {**CONFIG["ppo"], "max_new_tokens": 1}}, r"ppo\.max_new_tokens"),
    ],
)
def test_a_run_whose_labels_do_not_fit_its_answers_is_not_trained(flow, run, over, key):
    flow.config({**CONFIG, **over})
    with pytest.raises(ConfigError, match=f"run {run}: {key} is 1, and the answer ' .*' of task sst2 takes 2 tokens"):
        flow.train(run)
    assert flow.trained == []


def test_a_model_whose_labels_do_not_fit_its_answers_is_not_asked(flow, monkeypatch):
    asked = []

    def answer(spec, data, trained, out, **options):
        asked.append(spec.evaluation.decoding.max_new_tokens)
        write_text(out / "sst2.jsonl", "")

    monkeypatch.setattr("rl4nlu.answering.answer.answer_run", answer)
    arms = [*CONFIG["grid"], {"method": "zero-shot", "models": ["micro-llama"], "tasks": ["sst2"]}]
    for room in (1, 2):
        flow.config({**CONFIG, "grid": arms, "evaluation": {"decoding": {"max_new_tokens": room}}, "batch": False})
        arguments = flow.arguments("micro-llama/zero-shot/none/main/seed0")
        if room == 1:
            with pytest.raises(ConfigError, match="max_new_tokens is 1, and the answer"):
                jobs.prompting_program(arguments)
        else:
            jobs.prompting_program(arguments)
    assert asked == [2]


def test_without_batch_a_process_trains_its_own_run(flow):
    flow.config({**CONFIG, "batch": False})
    flow.train(FIRST)
    assert len(flow.trained) == 1
    flow.train(SECOND)
    assert len(flow.trained) == 2


def test_batch_enters_no_digest(flow):
    flow.train(FIRST)
    flow.config({**CONFIG, "batch": False})
    flow.train(SECOND)
    assert len(flow.trained) == 3


def test_another_seed_trains_nothing_else(flow):
    for run in (FIRST, SECOND, LONG):
        flow.train(run)
    before, flow.trained = len(flow.trained), []
    assert before == 3
    arm = {**CONFIG["grid"][0], "seeds": [0, 1, 2]}
    flow.config({**CONFIG, "grid": [arm, *CONFIG["grid"][1:]]})
    flow.train("micro-llama/sft/sst2/main/seed2")
    assert flow.trained == [("sft/sst2/main/seed2",)]


def test_a_run_by_hand_into_a_folder_of_its_own_trains_no_other(flow):
    flow.train(FIRST, "--out", str(flow.folder / "mine"))
    assert flow.trained == [("sft/sst2/main/seed0",)]
    assert (flow.folder / "mine" / "adapter" / "weights").is_file()


def test_a_run_is_not_ready_before_its_rows_are(flow):
    (flow.folder / "data" / "rte").unlink()
    flow.train(FIRST)
    assert flow.trained == [("sft/sst2/main/seed0",), ("sft/sst2/main/seed1",)]
    with pytest.raises(ConfigError, match="no prepared rows of task rte"):
        flow.train(LONG)


def test_a_run_is_not_ready_before_the_run_that_it_starts_from_is_trained_by_the_settings_of_now(flow):
    main, started = "micro-llama/ppo/sst2/main/seed0", ("ppo/sst2/from-sft/seed0", "start_adapter")
    flow.train(main)
    assert flow.trained == [("ppo/sst2/main/seed0",)]
    flow.train(FIRST)
    flow.config({**CONFIG, "sft": {"prompts": 48}, "ppo": {**CONFIG["ppo"], "gamma": 0.9}})
    flow.train(main)
    assert started not in flow.trained
    flow.config({**CONFIG, "ppo": {**CONFIG["ppo"], "gamma": 0.8}})
    flow.train(main)
    assert flow.trained[-1] == started
    count = len(flow.trained)
    flow.train("micro-llama/ppo/sst2/from-sft/seed0", "--start", str(flow.results(FIRST) / "adapter"))
    assert len(flow.trained) == count  # its own job finds it, by the same key


TUNED = {**CONFIG, "tuning_seed": 0, "sft": {"prompts": 32, "learning_rates": [1e-3, 3e-3]}}


def test_one_seeds_run_chooses_the_learning_rate_and_the_others_train_with_its_choice(flow):
    flow.config(TUNED)
    with pytest.raises(ConfigError, match=f"no finished run .*{SECOND} stands on it"):
        flow.train(SECOND)
    flow.train(FIRST)
    flow.train(SECOND)
    assert flow.rates == {FIRST: [1e-3, 3e-3], LONG: [1e-3, 3e-3], SECOND: [3e-3]}
    chose, took = (read_json(flow.results(run) / "run.json") for run in (FIRST, SECOND))
    assert [record["spec"]["learning_rate_from"] for record in (chose, took)] == [None, FIRST]
    assert took["spec"]["settings"]["learning_rates"] == [1e-3, 3e-3]
    assert took["stands_on"] == {"learning_rate": chose["key"]}


def test_a_run_is_not_ready_before_its_learning_rate_is_chosen_by_the_settings_of_now(flow):
    flow.config(TUNED)
    flow.train(FIRST)
    flow.config({**TUNED, "sft": {"prompts": 32, "learning_rates": [1e-3, 2e-3]}})
    flow.trained.clear()
    flow.train(LONG)
    assert flow.trained == [("sft/rte/main/seed0",), ("sft/sst2/main/seed0",)]


def test_a_duplicate_of_a_finished_job_trains_nothing(flow, capsys):
    flow.train(FIRST)
    count = len(flow.trained)
    flow.train(FIRST)
    assert len(flow.trained) == count
    assert "it is in place" in capsys.readouterr().out


def test_a_run_in_other_hands_is_passed_over(flow):
    flow.config({**CONFIG, "batch": False})
    flow.train(SECOND)
    key = read_json(flow.results(SECOND) / "run.json")["key"]
    (flow.results(SECOND) / "run.json").unlink()
    take(flow.folder / "work" / "leases", key, SECOND, "training")
    flow.config(CONFIG)
    flow.trained.clear()
    flow.train(FIRST)
    assert flow.trained == [("sft/sst2/main/seed0",), ("sft/rte/main/seed0",)]


def test_pairs_keep_a_servers_verdicts_outside_of_the_run(flow, monkeypatch):
    for name in ("training_key", "data_digest"):
        monkeypatch.setattr(jobs, name, lambda *_: "k")
    monkeypatch.setattr(jobs, "keys_of", lambda stands_on: {})
    given = {}
    for method in ("pairs", "reward-encoder"):
        _, _, spec = jobs.load_run(flow.folder / "config.yaml", f"micro-llama/{method}/sst2/main/seed0")
        place = jobs.Place(flow.folder / "data", flow.folder / "work", None, 300.0)

        def train(spec, data, out, **options):
            given[spec.method] = options.get("cache")
            return {}

        monkeypatch.setattr(f"rl4nlu.{METHODS[method].module}.train", train)
        stands_on = {role: flow.results(address) for role, address in spec.stands_on.items()}
        jobs.training_piece(spec, place, stands_on, flow.folder / "out").make(flow.folder / "partial")
    assert given == {"pairs": flow.folder / "work" / "verdicts", "reward-encoder": None}


def test_a_stage_trains_only_its_own_method(flow):
    with pytest.raises(ConfigError, match=r"is made by sft.py, not by ppo.py"):
        jobs.training_program("ppo", flow.arguments(FIRST))


def test_a_log_begins_with_host_job_device_and_command(flow, capsys, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    flow.train(FIRST)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"rl4nlu sft {FIRST}"
    assert "slurm job 4711 · device cpu" in lines[1]
    assert lines[2].startswith("command: ")


def test_answers_made_in_a_batch_are_put_in_place_and_scored_without_torch(flow, tmp_path):
    said = flow.process("sft.py", FIRST)
    assert f"--- batch of {FIRST}: answering {SECOND}" in said
    poison = tmp_path / "poison"
    for name in ("torch", "transformers", "sklearn", "scipy", "pandas"):
        write_text(poison / f"{name}.py", "raise ImportError('not needed here')")
    assert "training: nothing to do, made by process" in flow.process("sft.py", SECOND, before=poison)
    assert "answering: nothing to do, made by process" in flow.ask(SECOND, poison)
    flow.score(SECOND, poison)
    run = flow.results(SECOND)
    assert read_json(run / "evaluation" / "sst2" / "metrics.json")["n"] == 12
    answers = read_json(run / "answers" / "answers.json")
    assert answers["trained"] == read_json(run / "run.json")["key"]
    assert read_json(run / "evaluation" / "scores.json")["answers"] == answers["key"]
    assert "scoring: nothing to do, it is in place" in flow.score(SECOND, poison)


def test_baselines_are_batched_too(flow):
    flow.process("prompting.py", "micro-llama/random/none/main/seed0")
    waiting = [read_json(path)["run"] for path in sorted((flow.folder / "work" / "prompting").glob("*/run.json"))]
    assert sorted(waiting) == ["micro-llama/majority/none/main/seed0", "micro-llama/random/none/main/seed1"]
    said = flow.process("prompting.py", "micro-llama/random/none/main/seed1")
    assert "nothing to do" in said
    flow.score("micro-llama/random/none/main/seed1")
    assert (flow.results("micro-llama/random/none/main/seed1") / "evaluation" / "sst2" / "metrics.json").is_file()


def test_portable_bits_depend_neither_on_what_the_processor_offers_nor_on_the_shell(flow, monkeypatch):
    flow.config(CONFIG | {"bits": "portable", "batch": False})
    results, weights = flow.results(FIRST), []
    for shell in ({}, {"MKL_ENABLE_INSTRUCTIONS": "SSE4_2", "MKL_CBWR": "AUTO", "ATEN_CPU_CAPABILITY": "default"}):
        for name, value in shell.items():
            monkeypatch.setenv(name, value)
        flow.process("sft.py", FIRST)
        kernels = read_json(results / "run.json")["environment"]["kernels"]
        assert kernels.startswith("AVX2, ")
        assert kernels.endswith("ATEN_CPU_CAPABILITY=avx2, ONEDNN_MAX_CPU_ISA=AVX2, MKL_CBWR=COMPATIBLE")
        weights.append((results / "adapter" / "adapter_model.safetensors").read_bytes())
        shutil.rmtree(results)
    assert weights[0] == weights[1]


def content(folder: Path) -> dict[str, bytes | dict]:
    """What a run left, without what differs from one time to the next."""
    found: dict[str, bytes | dict] = {}
    for path in sorted(folder.rglob("*")):
        if path.name in ("run.json", "metrics.json") or (path.parent.name == "answers" and path.name == "sst2.json"):
            record = json.loads(path.read_text())
            facts = record.get("facts", record)
            found[str(path.relative_to(folder))] = {
                k: v for k, v in facts.items() if "second" not in k and k != "candidates"
            }
        elif path.is_file() and path.name not in ("history.jsonl", "answers.json", "scores.json", "training_args.bin"):
            found[str(path.relative_to(folder))] = path.read_bytes()
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "first", "second"),
    [
        ("sft", FIRST, SECOND),
        ("encoder", "micro-bert-base/encoder/sst2/main/seed0", "micro-bert-base/encoder/sst2/main/seed1"),
        ("ppo", "micro-llama/ppo/sst2/main/seed0", "micro-llama/ppo/sst2/other/seed0"),
    ],
)
def test_two_runs_in_one_process_give_the_bits_of_two_processes(flow, stage, first, second):
    values = {**CONFIG, "variants": {"other": {"ppo": {"learning_rates": [1e-3]}}}}
    values["grid"] = [dict(arm) for arm in CONFIG["grid"] if arm["method"] == stage and "rte" not in arm["mixtures"]]
    if stage == "ppo":
        values["grid"][0]["variants"] = ["main", "other"]

    flow.config({**values, "batch": False})
    flow.process(f"{stage}.py", second)
    flow.ask(second)
    flow.score(second)
    alone = content(flow.results(second))
    flow.results(second).rename(flow.folder / "alone")
    flow.config(values)
    flow.process(f"{stage}.py", first)
    flow.process(f"{stage}.py", second)
    flow.ask(second)
    flow.score(second)
    together = content(flow.results(second))
    assert read_json(flow.results(second) / "run.json")["job"]["run"] == first
    assert read_json(flow.results(second) / "answers" / "answers.json")["job"]["run"] == first
    assert len(together) >= 7
    assert together == alone
