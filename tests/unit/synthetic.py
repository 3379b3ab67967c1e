"""A results/ tree as the workflow writes it, with made-up predictions: what collecting and reporting are tested on."""

import atexit
import random
import shutil
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

from rl4nlu.base.files import REPOSITORY, write_json, write_jsonl
from rl4nlu.config import load_models
from rl4nlu.report.inputs import Inputs, load_inputs
from rl4nlu.report.typeset import Cell, Sheet
from rl4nlu.scores import collect
from rl4nlu.scores.comparisons import compare_methods
from rl4nlu.scores.intervals import bootstrap
from rl4nlu.scores.tuning import candidates_table
from rl4nlu.tasks.metrics import row_scores, score
from rl4nlu.tasks.rows import Row
from rl4nlu.tasks.task import Task, load_tasks
from rl4nlu.tasks.units import cluster_of

SKILL = {
    "majority": 0.5,
    "random": 0.5,
    "zero-shot": 0.6,
    "few-shot": 0.62,
    "sft": 0.8,
    "ppo": 0.84,
    "sft-rationale": 0.8,
    "rlhf": 0.82,
    "rllr": 0.84,
    "rllr-mixed": 0.83,
    "ppo-rationale": 0.9,
    "ppo-rm": 0.7,
    "encoder": 0.86,
}

SMALL_GRID = [
    ("micro-llama", "majority", "none", "main", [0], ["cola", "sst2", "axg"]),
    ("micro-llama", "zero-shot", "none", "main", [0], ["cola", "sst2", "axg", "record"]),
    ("micro-llama", "few-shot", "none", "main", [0, 1], ["cola", "record"]),
    ("micro-llama", "sft", "cola", "main", [0, 1, 2], ["cola", "sst2"]),
    ("micro-llama", "ppo", "cola", "main", [0, 1, 2], ["cola"]),
    ("micro-llama", "sft", "sst2", "main", [0], ["sst2"]),
    ("micro-llama", "ppo", "sst2", "main", [0], ["sst2"]),
    ("micro-llama", "ppo", "glue", "main", [0, 1], ["cola", "sst2"]),
    ("micro-llama", "ppo", "cola", "released", [0], ["cola"]),
    ("micro-bert-base", "encoder", "cola", "main", [0, 1, 2], ["cola"]),
]
"""A results tree of a few runs: (model, method, mixture, variant, seeds, task names)."""


def make_rows(task: Task, n: int) -> list[Row]:
    rng = random.Random(task.name)
    rows = []
    for place in range(n):
        label = round(rng.uniform(task.low, task.high), 1) if task.answer == "number" else rng.choice(list(task.labels))
        group = f"{task.name}/group{place // 2}" if task.layout != "plain" else None
        fields = dict.fromkeys(task.fields, f"word{place}")
        rows.append(Row(f"{task.name}/test:{place}", fields, label, group))
    if task.layout == "record":  # answers are the candidates that are labelled gold
        gold = {
            g: [r.fields["candidate"] for r in rows if r.group == g and r.label == "1"] for g in {r.group for r in rows}
        }
        rows = [replace(row, answers=gold[row.group]) for row in rows]
    return rows


def make_rows_that_share(task: Task, n: int, units: int) -> list[Row]:
    """Made-up rows of which so many units (rows, or groups of two) in a row share their text in `task.carve_by`."""
    rows = units * (1 if task.layout == "plain" else 2)
    return [
        replace(row, fields=row.fields | {str(task.carve_by): f"text {place // rows}"})
        for place, row in enumerate(make_rows(task, n))
    ]


def make_predictions(task: Task, rows: list[Row], skill: float, seed: str, invalid: float = 0.02) -> list:
    rng = random.Random(f"{task.name} {seed}")
    out = []
    for row in rows:
        if rng.random() < invalid:
            out.append(None)
        elif task.answer == "number":
            value = row.label if rng.random() < skill else rng.uniform(task.low, task.high)
            out.append(round(min(task.high, max(task.low, value + rng.gauss(0, 0.4))), 1))
        else:
            out.append(row.label if rng.random() < skill else rng.choice(list(task.labels)))
    return out


def write_scored(
    folder: Path, address: dict, task: Task, rows: list[Row], predictions: list, source: str = "microworld"
):
    bounds, values, scores = (
        bootstrap(task, rows, predictions, 100, 0),
        score(task, rows, predictions),
        row_scores(task, rows, predictions),
    )
    metrics = {m: {"value": values[m], "low": bounds[m][0], "high": bounds[m][1]} for m in task.metrics}
    texts = [" ??" if p is None else f" {task.labels.get(str(p), p)} </Judgement>" for p in predictions]
    write_jsonl(
        folder / "predictions.jsonl",
        (
            {
                "id": r.id,
                "group": r.group,
                "cluster": cluster_of(task, r),
                "gold": r.label,
                "prediction": p,
                "text": t,
                "score": s,
                "dropped_demonstrations": 0,
            }
            for r, p, t, s in zip(rows, predictions, texts, scores, strict=True)
        ),
    )
    record = {
        **address, "task": task.name, "split": "test", "n": len(rows), "metrics": metrics,
        "invalid_rate": predictions.count(None) / len(rows), "shots": 0, "dropped_demonstrations": 0, "decoding": "greedy",
        "source": source, "digest": "0" * 16, "generated_tokens": 4 * len(rows), "seconds": 1.5,
    }  # fmt: skip
    write_json(folder / "metrics.json", record)


def write_run(folder: Path, address: dict, steps: int = 20):
    method = address["method"]
    facts = {
        "optimiser_steps": steps * (4 if method == "ppo" else 1), "prompts_seen": 1600, "tokens_trained": 90000,
        "tokens_generated": 6400 if method == "ppo" else 0, "seconds": 21.5 if method == "ppo" else 16.25,
        "samples_per_second": 80.0, "learning_rate": 0.003, "validation": 80.0,
    }  # fmt: skip
    chooses, metric = address["seed"] == 0, "matthews" if address["mixture"] == "cola" else "accuracy"
    tried = {0.001: 74.0, 0.003: 80.0, 0.01: None if method == "ppo" else 60.0} if chooses else {0.003: 80.0}
    costs = {name: facts[name] for name in ("tokens_trained", "tokens_generated", "seconds")} | {"cpu_seconds": 20.0}
    facts["candidates"] = [
        {"learning_rate": rate, "validation": score, "loss": None, **(costs if score is not None else {})}
        for rate, score in tried.items()
    ]
    spec = {
        "settings": {"learning_rates": [0.001, 0.003, 0.01]},
        "start": None,
        "learning_rate_from": None if chooses else "/".join(map(str, [*address.values()][:4])) + "/seed0",
        "train_tasks": [{"metrics": [metric]}] * (8 if address["mixture"] == "glue" else 1),
    }
    versions = {"torch": "2.13.0", "transformers": "5.23.0"}
    write_json(
        folder / "run.json",
        {
            "run": "/".join(str(v) for v in address.values()), "digest": "1" * 16, "facts": facts, "wall_seconds": 30.0,
            "spec": spec, "peak_memory": {"cpu_mb": 700.0},
            "environment": {"device": "cpu", "cores": 2, "python": "3.11.7", "versions": versions, "git_commit": "abc"},
            "finished": "2026-11-21T00:00:00+00:00",
        },
    )  # fmt: skip
    rng = random.Random(str(address))
    rows = []
    for step in range(1, steps + 1):
        at = {"step": step, "learning_rate": 0.003, "validation": 60 + step if step % 10 == 0 else None}
        if method == "ppo":
            at |= {
                "prompts": 64 * step,
                "reward": step / steps + rng.gauss(0, 0.1),
                "kl": step / 40,
                "invalid_rate": 0.5 / step,
            }
            at |= {"entropy": 1 / step, "clip_fraction": 0.1}
        else:
            at |= {"examples": 16 * step, "loss": 1 / step + rng.random() / 20}
        rows.append(at)
    write_jsonl(folder / "history.jsonl", rows)


def write_tree(results: Path, tasks: dict[str, Task], grid: list[tuple], n: int = 60) -> None:
    """`grid`: (model, method, mixture, variant, seeds, task names)."""
    rows = {name: make_rows(tasks[name], n) for name in {t for arm in grid for t in arm[5]}}
    for model, method, mixture, variant, seeds, names in grid:
        for seed in seeds:
            address = {"model": model, "method": method, "mixture": mixture, "variant": variant, "seed": seed}
            folder = results / model / method / mixture / variant / f"seed{seed}"
            for name in names:
                invalid = 0.0 if method in ("majority", "random", "encoder") else 0.02
                guesses = make_predictions(
                    tasks[name], rows[name], SKILL[method], f"{model}{method}{mixture}{variant}{seed}", invalid
                )
                write_scored(folder / "evaluation" / name, address, tasks[name], rows[name], guesses)
            if mixture != "none":
                write_run(folder, address)


def full_grid(tasks: dict[str, Task]) -> list[tuple]:
    """An embedded-like grid: prompting everywhere, three seeds on some tasks, one on others, two more decoders."""
    glue = [t.name for t in tasks.values() if t.suite == "glue"]
    both = [*glue, *(t.name for t in tasks.values() if t.suite == "superglue")]
    grid = [("micro-llama", m, "none", "main", [0], both) for m in ("majority", "random", "zero-shot")]
    grid.append(("micro-llama", "few-shot", "none", "main", [0, 1, 2], both))
    for method in ("sft", "ppo"):
        for name in ("cola", "sst2", "mrpc", "rte", "stsb"):
            own = [n for n, t in tasks.items() if n == name or t.trained_with == name]
            grid.append(("micro-llama", method, name, "main", [0, 1, 2], own))
        for name in ("qnli", "boolq", "copa", "wic", "multirc"):
            grid.append(("micro-llama", method, name, "main", [0], [name]))
        grid.append(("micro-llama", method, "glue", "main", [0], glue))
    grid.append(("micro-llama", "ppo", "cola", "from-sft", [0, 1, 2], ["cola"]))
    for model in ("micro-bert-base", "micro-bert-large"):
        for name in ("cola", "sst2", "stsb", "boolq", "copa"):
            grid.append((model, "encoder", name, "main", [0, 1, 2], [name]))
    for model in ("micro-qwen2", "micro-mpt"):
        grid += [(model, m, "none", "main", [0], ["stsb", "copa"]) for m in ("zero-shot", "few-shot")]
        grid += [(model, m, name, "main", [0, 1, 2], [name]) for m in ("sft", "ppo") for name in ("stsb", "copa")]
    return grid


@cache
def collected_folder() -> Path:
    """The full grid, collected once for all tests that only read it: the folder of metrics.csv and the others."""
    folder = Path(tempfile.mkdtemp(prefix="rl4nlu-synthetic-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    tasks = load_tasks()
    write_tree(folder / "results", tasks, full_grid(tasks), n=40)
    for name in tasks:
        counts = {"train": 100, "validation": 20, "test": 40}
        write_json(folder / "data" / name / "record.json", {"source": "microworld", "rows": counts, "dropped": 0})
    scored = collect.find_scored(folder / "results", tasks)
    out = folder / "collected"
    out.mkdir()
    for name, table in {
        "metrics": collect.metrics_table(scored, tasks, "embedded", None),
        "runs": collect.runs_table(scored, tasks, "embedded"),
        **compare_methods(scored, tasks, "embedded", 100, 0),
        "data": collect.data_table(folder / "data", tasks, "embedded"),
        "history": collect.history_table(scored, tasks, "embedded"),
        "invalid": collect.invalid_table(scored, tasks, "embedded"),
        "candidates": candidates_table(folder / "results", tasks, "embedded"),
        **dict(zip(("rewards", "replies"), collect.reward_tables(folder / "results", "embedded"), strict=True)),
    }.items():
        table.to_csv(out / f"{name}.csv", index=False)
    return out


@cache
def inputs(reproduced: bool) -> Inputs:
    """What reports are made from: the full grid, or the printed numbers alone."""
    published = REPOSITORY / "resources" / "published"
    collected = collected_folder() if reproduced else None
    return load_inputs(published, load_tasks(), load_models(), collected, "embedded", "Made-up numbers.")


def told(n, accuracy):
    rest = {"margin": 2.0, "calibration": 0.05, "loss": 0.1} if n else dict.fromkeys(("margin", "calibration", "loss"))
    return {"n": n, "accuracy": accuracy, **rest}


def cells_of(sheet: Sheet, *heads: str) -> dict[str, Cell]:
    """The cells of a table's one row with these heads, by column."""
    (line,) = [line for line in sheet.filled if line.heads == heads]
    return dict(zip([name.rstrip("°") for name, _ in sheet.columns], line.cells, strict=True))
