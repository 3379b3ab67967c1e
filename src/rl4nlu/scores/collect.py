"""From every run's records to flat files: numbers, runs, training histories, unreadable answers, data sets.

Only what stands below `results/` (and `data/*/record.json`) is read: nothing is trained or scored, and torch is not
imported. `comparisons.py` adds the paired tests between methods.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ..base.files import read_json, read_jsonl
from ..config import METHODS, SUPPORTING_METHODS
from ..rationales import overlap
from ..runs.spec import Address
from ..tasks.reading import read_response
from ..tasks.rows import load_rationales
from ..tasks.task import Task

METRICS = (
    "scale", "model", "method", "mixture", "mixture_kind", "variant", "seed", "task", "suite", "split", "metric", "value",
    "low", "high", "n", "invalid_rate", "shots", "dropped_demonstrations", "decoding", "source", "digest", "stale",
)  # fmt: skip
"""Columns of metrics.csv: one row a number, in percent; bounds are a 95 % bootstrap over examples or groups."""

RUNS = (
    "scale", "model", "method", "mixture", "mixture_kind", "variant", "seed", "start", "optimiser_steps", "prompts_seen",
    "tokens_trained", "tokens_generated", "seconds", "samples_per_second", "wall_seconds", "learning_rate",
    "learning_rate_from", "candidates", "threshold", "tokens_guided", "guide_validation",
    "evaluated_rows", "evaluation_tokens", "evaluation_seconds", "peak_cpu_mb", "peak_gpu_mb", "device", "processor",
    "cores", "kernels", "python", "torch", "transformers", "git_commit", "finished", "digest",
)  # fmt: skip
"""Columns of runs.csv: one row a run; a fact that was not recorded is empty."""

DATA = ("scale", "task", "suite", "title", "source", "train", "validation", "test", "dropped")
"""Columns of data.csv: rows per split of each prepared task."""

HISTORY = (
    "scale", "model", "method", "mixture", "mixture_kind", "variant", "seed", "step", "examples", "loss", "reward", "kl",
    "entropy", "clip_fraction", "invalid_rate", "validation", "accuracy", "label_reward_right", "label_reward_wrong",
    "rationale_reward_right", "rationale_reward_wrong", "encoder_reward_right", "encoder_reward_wrong", "mode", "switch",
    "tokens_guided",
)  # fmt: skip
"""Columns of history.csv: one row a recorded step, at most `HISTORY_ROWS` a run and every step with a validation score."""

HISTORY_ROWS = 200

INVALID = ("scale", "model", "method", "mixture", "mixture_kind", "variant", "task", "category", "answers", "rows")
"""Columns of invalid.csv: how many of a method's answers (all seeds) could not be read, by what was wrong with them."""

CATEGORIES = ("no closing tag", "empty", "several labels", "no label", "no number", "no opening tag")
"""What is wrong with an answer that the parser could not read; an altered label counts as none."""

OVERLAP = "rationale-overlap"
"""A number of metrics.csv beside the tasks' metrics: see `rationale_overlap`."""

MAIN_VARIANT = "main"
"""The variant that tables and tests are about; others are compared in a table of their own."""

FACTS = (
    "optimiser_steps", "prompts_seen", "tokens_trained", "tokens_generated", "seconds", "samples_per_second", "learning_rate",
    "threshold", "tokens_guided", "guide_validation",
)  # fmt: skip

LEARNT_FROM = ("pairs_at_hand", "pairs_kept", "rationale_sensitive", "pairs_seen", "distinct_pairs_seen", "passes")
"""Facts of a reward model of paper 2 that say what pairs it learnt from (`reward_model.train`)."""

REWARDS = (
    "scale", "model", "method", "mixture", "variant", "seed", "pairs", "n", "accuracy", "margin", "calibration", "loss",
    *LEARNT_FROM,
)  # fmt: skip
"""Columns of rewards.csv: one row a reward model and kind of held-out pairs (`reward_model.measure`)."""

REPLIES = (
    "scale", "model", "mixture", "variant", "seed", "split", "rows", "replies", "right", "unreadable", "ranked_pairs", "same_label",
)  # fmt: skip
"""Columns of replies.csv: what the merged model's sampled replies are like (`pairs.statistics`)."""


@dataclass(frozen=True)
class Scored:
    """One run on one task: the folder of its metrics.json and predictions.jsonl, the former's content, the run's folder."""

    folder: Path
    record: dict[str, Any]
    kind: str
    run: Path

    @property
    def address(self) -> str:
        """The run's path below results/."""
        return "/".join(self.run.parts[-5:])

    def key(self, *names: str) -> tuple[str, ...]:
        """The named parts of the run's address and task."""
        return tuple(str(self.record[name]) for name in names)


def mixture_kind(mixture: str, task: Task | None, suites: set[str]) -> str:
    """`none` (nothing trained), `mt` (a suite), `st` (the task's own rows) or `transfer` (another task's rows)."""
    if mixture == "none":
        return "none"
    if mixture in suites:
        return "mt"
    return "st" if task is not None and mixture in (task.name, task.trained_with) else "transfer"


def find_scored(results: Path, tasks: dict[str, Task]) -> list[Scored]:
    """Every `<model>/<method>/<mixture>/<variant>/seed<k>/evaluation/<task>/metrics.json` below `results`, in order of path.

    Raises:
        ValueError: a metrics.json lacks a key; names file and key.
    """
    suites = {task.suite for task in tasks.values()}
    found = []
    for path in sorted(results.glob("*/*/*/*/seed*/evaluation/*/metrics.json")):
        record = read_json(path)
        needed = ("model", "method", "mixture", "variant", "seed", "task", "split", "n", "metrics")
        if missing := [name for name in needed if name not in record]:
            raise ValueError(f"{path}: no key {', '.join(missing)}; score the run again (`snakemake evaluate`)")
        kind = mixture_kind(record["mixture"], tasks.get(record["task"]), suites)
        found.append(Scored(path.parent, record, kind, path.parents[2]))
    return found


def rationale_overlap(item: Scored, task: Task, data: Path) -> float | None:
    """Mean over rows of the F1 of the words of the answer's rationale and of the supplied one for the gold label, in percent.

    None where answers hold no rationale, or none was supplied for the reported rows.
    """
    if item.record.get("response") != "rationale" or not (data / task.name / "rationales.jsonl").is_file():
        return None
    supplied = load_rationales(data, task.name, item.record["split"])
    found = [
        overlap(read_response(task, row["text"], response="rationale").rationale, supplied[row["id"]][str(row["gold"])])
        for row in read_jsonl(item.folder / "predictions.jsonl")
        if str(row["gold"]) in supplied.get(row["id"], {})
    ]
    return 100 * sum(found) / len(found) if found else None


def metrics_table(
    scored: Iterable[Scored],
    tasks: dict[str, Task],
    scale: str,
    digests: dict[str, str] | None,
    data: Path | None = None,
) -> pd.DataFrame:
    """One row a number. With `digests` (run -> digest that the config gives), a row made by other settings is stale.

    With `data`, the folder of prepared rows, rationales are compared with the supplied ones.
    """
    rows = []
    for item in scored:
        record = item.record
        task = tasks.get(record["task"])
        stale = bool(digests is not None and digests.get(item.address) != record.get("digest"))
        decoding = record.get("decoding")
        shared = {
            **{name: record.get(name) for name in METRICS},
            "scale": scale,
            "mixture_kind": item.kind,
            "suite": task.suite if task else "",
            "decoding": decoding.get("how") if isinstance(decoding, dict) else decoding,
            "stale": stale,
        }
        for metric, bounds in record["metrics"].items():
            number = {name: bounds.get(name) for name in ("value", "low", "high")}
            rows.append({**shared, "metric": metric, **number})
        if data and task and (value := rationale_overlap(item, task, data)) is not None:
            rows.append({**shared, "metric": OVERLAP, "value": value})
    return pd.DataFrame(rows, columns=list(METRICS))


def runs_table(scored: Iterable[Scored], tasks: dict[str, Task], scale: str) -> pd.DataFrame:
    """One row a run: what training cost (from run.json) and what scoring cost (from its metrics.json files)."""
    suites = {task.suite for task in tasks.values()}
    folders: dict[Path, list[Scored]] = defaultdict(list)
    for item in scored:
        folders[item.run].append(item)
    rows = []
    for folder, items in folders.items():
        run = read_json(folder / "run.json") if (folder / "run.json").is_file() else {}
        first, facts, environment = items[0].record, run.get("facts", {}), run.get("environment", {})
        settings = run.get("spec", {}).get("settings") or {}
        shots = settings.get("shots") if first["method"] == "few-shot" else None
        candidates = settings.get("learning_rates") or shots
        own = tasks.get(first["mixture"])
        rows.append(
            {
                **{name: first[name] for name in ("model", "method", "mixture", "variant", "seed")},
                **{name: facts.get(name) for name in FACTS},
                "scale": scale,
                "mixture_kind": mixture_kind(first["mixture"], own, suites),
                **{name: run.get("spec", {}).get(name) for name in ("start", "learning_rate_from")},
                "wall_seconds": run.get("wall_seconds"),
                "candidates": len(candidates) if candidates else None,
                "evaluated_rows": sum(item.record["n"] for item in items),
                "evaluation_tokens": sum(item.record.get("generated_tokens") or 0 for item in items),
                "evaluation_seconds": round(sum(item.record.get("seconds") or 0.0 for item in items), 3),
                "peak_cpu_mb": run.get("peak_memory", {}).get("cpu_mb"),
                "peak_gpu_mb": run.get("peak_memory", {}).get("gpu_mb"),
                **{
                    name: environment.get(name)
                    for name in ("device", "processor", "cores", "kernels", "python", "git_commit")
                },
                **{name: environment.get("versions", {}).get(name) for name in ("torch", "transformers")},
                "finished": run.get("finished"),
                "digest": run.get("digest"),
            }
        )
    return pd.DataFrame(rows, columns=list(RUNS))


def data_table(data: Path | None, tasks: dict[str, Task], scale: str) -> pd.DataFrame:
    """One row a prepared task, from `data/<task>/record.json`; empty without a data folder."""
    rows = []
    for path in sorted(data.glob("*/record.json")) if data else []:
        record = read_json(path)
        task = tasks.get(path.parent.name)
        counts = record.get("rows", {})
        rows.append(
            {
                "scale": scale,
                "task": path.parent.name,
                "suite": task.suite if task else "",
                "title": task.title if task else path.parent.name,
                "source": record.get("source"),
                **{split: counts.get(split, 0) for split in ("train", "validation", "test")},
                "dropped": record.get("dropped", 0),
            }
        )
    return pd.DataFrame(rows, columns=list(DATA))


def history_table(scored: Iterable[Scored], tasks: dict[str, Task], scale: str) -> pd.DataFrame:
    """Every training run's recorded steps, thinned evenly; examples are prompts seen up to that step."""
    suites, rows = {task.suite for task in tasks.values()}, []
    for folder, item in {item.run: item for item in scored}.items():
        if not (folder / "history.jsonl").is_file():
            continue
        record, steps = item.record, read_jsonl(folder / "history.jsonl")
        every = -(-len(steps) // HISTORY_ROWS)
        kind = mixture_kind(record["mixture"], tasks.get(record["mixture"]), suites)
        for place, step in enumerate(steps):
            if place % every and step.get("validation") is None and place + 1 < len(steps):
                continue
            known = {name: step.get(name) for name in HISTORY if name in step}
            known["examples"] = step.get("examples", step.get("prompts"))
            address = {name: record[name] for name in ("model", "method", "mixture", "variant", "seed")}
            rows.append({"scale": scale, "mixture_kind": kind, **address, **known})
    return pd.DataFrame(rows, columns=list(HISTORY))


def find_records(
    results: Path, methods: Collection[str], runs: Collection[str] | None = None
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """The address and the run.json of every run by one of `methods`, in order of path (`runs`: only these addresses)."""
    for path in sorted(results.glob("*/*/*/*/seed*/run.json")):
        address = Address.parse("/".join(path.parts[-6:-1]))
        if address.method in methods and (runs is None or address.path in runs):
            yield asdict(address), read_json(path)


def reward_tables(results: Path, scale: str, runs: Collection[str] | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """rewards.csv and replies.csv, from the records of reward models and of pairs (`runs`: only these addresses)."""
    rewards, replies = [], []
    for run, record in find_records(results, SUPPORTING_METHODS, runs):
        facts, address = record["facts"], {"scale": scale, **run}
        if run["method"] == "pairs":
            replies += [{**address, "split": split, **facts[split]} for split in ("train", "validation")]
        address |= {name: facts.get(name) for name in LEARNT_FROM}
        rewards += [{**address, "pairs": kind, **numbers} for kind, numbers in facts.get("held_out", {}).items()]
    return pd.DataFrame(rewards, columns=list(REWARDS)), pd.DataFrame(replies, columns=list(REPLIES))


def invalid_table(scored: Iterable[Scored], tasks: dict[str, Task], scale: str) -> pd.DataFrame:
    """Unreadable answers of prompted and tuned decoders, counted over seeds by what is wrong with them."""
    counts: dict[tuple[str, ...], dict[str, int]] = {}
    totals: dict[tuple[str, ...], int] = defaultdict(int)
    for item in scored:
        task = tasks.get(item.record["task"])
        method = METHODS.get(item.record["method"])
        if task is None or method is None or method.loads != "decoder":
            continue
        key = (*item.key("model", "method", "mixture"), item.kind, *item.key("variant", "task"))
        totals[key] += item.record["n"]
        found = counts.setdefault(key, dict.fromkeys(CATEGORIES, 0))
        if item.record.get("invalid_rate"):
            for row in read_jsonl(item.folder / "predictions.jsonl"):
                fault = read_response(task, row["text"], response=item.record.get("response", "label")).fault
                if fault is not None and (row["prediction"] is None or task.answer == "text"):
                    found["no label" if fault == "altered label" else fault] += 1
    rows = [(scale, *key, name, count, totals[key]) for key, found in counts.items() for name, count in found.items()]
    return pd.DataFrame(rows, columns=list(INVALID))
