"""Means over seeds and tests between methods, from the predictions of all runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from ..base.files import read_json, read_jsonl
from ..config import METHODS
from ..tasks.metrics import choose_candidate, ratio, summarise
from ..tasks.task import LOWER_IS_BETTER, Task
from ..tasks.units import Summary, by_group, draw_together, summarise_units
from .collect import MAIN_VARIANT, Scored
from .inference import LEVEL, Contrast, Inference, Resampled, infer, resample
from .intervals import holm, mean_sd

MEANS = (
    "scale", "model", "method", "mixture", "mixture_kind", "variant", "task", "suite", "metric", "seeds", "n", "value", "sd",
    "low", "high", "leads",
)  # fmt: skip
"""Columns of means.csv: one row a metric of a method on a task, its mean over seeds, the interval over seeds and rows (none
for a single run of a method that has seeds), and whether no decoder row of the model that answers with a label alone is surely better."""

COMPARISONS = (
    "scale", "comparison", "task", "suite", "metric", "model_a", "method_a", "mixture_a", "model_b", "method_b", "mixture_b",
    "mixture_kind", "seeds_a", "seeds_b", "n", "value_a", "value_b", "difference", "low", "high", "df", "test", "p", "p_holm",
    "detectable",
)  # fmt: skip
"""Columns of comparisons.csv: method A against method B on one task; `p_holm` is corrected within `comparison`, `detectable`
is the smallest true difference that would be found with 80 % power."""

OVERALL = (
    "scale", "comparison", "model_a", "method_a", "model_b", "method_b", "mixture_kind", "tasks", "difference", "low", "high",
    "df", "p", "p_holm", "detectable",
)  # fmt: skip
"""Columns of overall.csv: the difference averaged over the tasks of a comparison, without those that are scored with another
task's runs; `p_holm` is corrected over the file."""

EFFECTS = (
    "scale", "variant", "model", "method", "mixture", "mixture_kind", "task", "suite", "metric", "seeds", "n", "value", "main",
    "difference", "low", "high", "df", "test", "p", "p_holm", "detectable",
)  # fmt: skip
"""Columns of effects.csv: a variant against the main runs on one task; `p_holm` is corrected within the variant."""

PAIRS = tuple((name, other) for name, method in METHODS.items() for other in method.against)
"""Methods that are tested against each other, the first against the second."""


class Labelled(NamedTuple):
    """What metrics need to know of a row; predictions.jsonl holds no more."""

    id: str
    label: Any
    group: str | None
    cluster: str | None


@dataclass(frozen=True)
class SeedRuns:
    """The runs of one model, method, mixture and variant on one task, and their place among what was resampled together.

    Attributes:
        runs: by seed, in order of the seeds.
        places: of the runs in `resampled`.
        metrics: what is compared, by its mean; of texts the first one alone.
    """

    task: Task
    kind: str
    model: str
    method: str
    mixture: str
    variant: str
    runs: dict[int, Scored]
    resampled: Resampled
    places: tuple[int, ...]
    metrics: tuple[str, ...]

    @property
    def tells_seeds(self) -> bool:
        """Whether the variance over seeds is known: from several runs, or because there is none."""
        return len(self.runs) > 1 or not METHODS[self.method].seeded

    def mean(self, metrics: Sequence[str]) -> Inference:
        """The mean over seeds."""
        return infer([self.resampled.contrast(metrics, self.places)])

    def is_on_the_rows_of(self, other: SeedRuns) -> bool:
        """Whether the two can be compared; what hinders it is told."""
        if self.resampled is not other.resampled:
            tell_other_rows(next(iter(self.runs.values())), next(iter(other.runs.values())))
        return self.resampled is other.resampled

    def less(self, other: SeedRuns) -> Contrast:
        """The difference from another method on the same rows."""
        return self.resampled.contrast(self.metrics, self.places, other.places, share_trainings(self, other))

    @property
    def known(self) -> bool:
        """Whether all runs have what is compared: a metric of texts may be absent."""
        return all(metric in item.record["metrics"] for item in self.runs.values() for metric in self.metrics)


def resample_tasks(scored: Iterable[Scored], tasks: dict[str, Task], draws: int, seed: int) -> list[SeedRuns]:
    """All runs, those on the same rows of a task resampled together; runs that were scored on other rows than others of theirs are told and left out."""
    groups: dict[tuple[str, ...], dict[int, Scored]] = defaultdict(dict)
    for item in scored:
        if item.record["task"] in tasks:
            key = (item.record["task"], item.kind, *item.key("model", "method", "mixture", "variant"))
            groups[key][int(item.record["seed"])] = item
    found = []
    for name, task in tasks.items():
        own = {key[1:]: dict(sorted(runs.items())) for key, runs in groups.items() if key[0] == name}
        folders = [item.folder for runs in own.values() for item in runs.values()]
        for predictions in group_by_rows(folders):
            some = list(predictions)
            summary, metrics = summarise_files(task, list(predictions.values()))
            resampled = resample(summary, draws, seed)
            for (kind, *address), runs in own.items():
                inside = [item.folder in some for item in runs.values()]
                if all(inside):
                    places = tuple(some.index(item.folder) for item in runs.values())
                    found.append(SeedRuns(task, kind, *address, runs, resampled, places, tuple(metrics)))  # type: ignore[misc, call-arg, arg-type]
                elif any(inside) and inside[0]:
                    other = next(item for item, here in zip(runs.values(), inside, strict=True) if not here)
                    tell_other_rows(next(iter(runs.values())), other)
    return found


def group_by_rows(folders: Sequence[Path]) -> list[dict[Path, list[dict[str, Any]]]]:
    """The lines of each folder's predictions.jsonl, those on equal rows together."""
    groups: dict[tuple[Any, ...], dict[Path, list[dict[str, Any]]]] = defaultdict(dict)
    for folder in folders:
        lines = read_jsonl(folder / "predictions.jsonl")
        groups[tuple(map(read_row, lines))][folder] = lines
    return list(groups.values())


def read_row(line: dict[str, Any]) -> Labelled:
    """The row of a line of predictions.jsonl."""
    return Labelled(line["id"], line["gold"], line["group"], line.get("cluster"))


def tell_other_rows(first: Scored, second: Scored) -> None:
    """Say of two runs that they cannot be compared, such as results of an older config; the rest can still be."""
    files = (item.folder / "predictions.jsonl" for item in (first, second))
    print(f"not compared: {' and '.join(map(str, files))} hold different rows; score both again")


def summarise_files(task: Task, runs: Sequence[list[dict[str, Any]]]) -> tuple[Summary, list[str]]:
    """Runs on the same rows of one task, as their predictions.jsonl have them, and the metrics to compare.

    ReCoRD's texts are not in predictions.jsonl: there the chosen candidate's being a gold answer (its exact match) is
    compared.
    """
    rows: list[Any] = list(map(read_row, runs[0]))
    predictions = [[line["prediction"] for line in run] for run in runs]
    if task.layout != "record":
        return summarise(task, rows, predictions, clusters=[row.cluster for row in rows]), task.compared
    queries = list(by_group(rows).values())
    features = []
    for run, labels in zip(runs, predictions, strict=True):
        known = [line["confidence"] for line in run if line.get("confidence") is not None]
        confidence = known if len(known) == len(run) else None
        picks = [choose_candidate(task, members, labels, confidence) for members in queries]
        features.append([[float(n is not None and rows[n].label == next(iter(task.labels))), 1.0] for n in picks])
    summary = summarise_units(features, lambda sums: {"record-em": 100 * ratio(sums[:, 0], sums[:, 1])})
    return draw_together(summary, [rows[members[0]].cluster for members in queries]), ["record-em"]


def share_trainings(a: SeedRuns, b: SeedRuns) -> bool:
    """Whether runs of equal seeds have a training in common: one stands on the other, or both on a third."""
    if a.runs.keys() != b.runs.keys():
        return False
    pairs = zip(a.runs.values(), b.runs.values(), strict=True)
    return all(trainings(x.run) & trainings(y.run) for x, y in pairs)


@cache
def trainings(run: Path) -> frozenset[Path]:
    """The run's folder, and those of the runs that it stands on, as its run.json and theirs have it; nothing if nothing was trained."""
    if run.parts[-3] == "none":
        return frozenset()
    record = run / "run.json"
    spec = read_json(record).get("spec", {}) if record.is_file() else {}
    below = [spec.get("start"), *spec.get("stands_on", {}).values()]
    return frozenset({run}).union(*(trainings(run.parents[4] / address) for address in below if address))


# 1. Means ------------------------------------------------------------------------------------------------------------


def means_table(runs_by_seed: Sequence[SeedRuns], scale: str) -> pd.DataFrame:
    """The mean over seeds of every method, task and metric."""
    leaders = {id(one) for some in find_rivals(runs_by_seed) for one in find_leaders(some)}
    rows = []
    for one in runs_by_seed:
        for metric in one.task.metrics:
            if not all(metric in item.record["metrics"] for item in one.runs.values()):
                continue  # cannot be computed (`texts.statistics`)
            values = [float(item.record["metrics"][metric]["value"]) for item in one.runs.values()]
            mean, deviation = mean_sd(values)
            known = one.tells_seeds and metric in one.resampled.observed
            low, high = one.mean([metric]).bounds if known else (float("nan"), float("nan"))
            rows.append(
                {
                    **describe(one, scale),
                    "variant": one.variant,
                    "metric": metric,
                    "seeds": len(values),
                    **{"value": mean, "sd": deviation, "low": low, "high": high, "leads": id(one) in leaders},
                }
            )
    return pd.DataFrame(rows, columns=list(MEANS))


def describe(runs_by_seed: SeedRuns, scale: str) -> dict[str, Any]:
    """What every line about runs on a task says of them."""
    return {
        "scale": scale,
        **{
            "model": runs_by_seed.model,
            "method": runs_by_seed.method,
            "mixture": runs_by_seed.mixture,
            "mixture_kind": runs_by_seed.kind,
        },
        **{"task": runs_by_seed.task.name, "suite": runs_by_seed.task.suite, "n": runs_by_seed.resampled.units},
    }


def find_rivals(runs_by_seed: Sequence[SeedRuns]) -> list[list[SeedRuns]]:
    """Of each model and task the main runs by a decoder that answer with a label alone, and whose seeds suffice for a test."""
    rivals: dict[tuple[str, str], list[SeedRuns]] = defaultdict(list)
    for one in runs_by_seed:
        method = METHODS[one.method]
        fits = method.loads == "decoder" and not method.rationale and one.kind != "transfer"
        if fits and one.variant == MAIN_VARIANT and one.tells_seeds and one.known:
            rivals[one.model, one.task.name].append(one)
    return list(rivals.values())


def find_leaders(rivals: list[SeedRuns]) -> list[SeedRuns]:
    """The best, and those that the corrected test doesn't tell from it; nobody leads alone."""
    sign = -1 if rivals[0].metrics[0] in LOWER_IS_BETTER else 1
    best = max(rivals, key=lambda one: sign * one.mean(one.metrics).value)
    others = [one for one in rivals if one is not best and one.resampled is best.resampled]
    corrected = holm([infer([best.less(one)]).p for one in others])
    return [best, *(one for one, p in zip(others, corrected, strict=True) if not p < LEVEL)] if others else []


# 2. Differences ---------------------------------------------------------------------------------------------------


def find_pairs(runs_by_seed: Sequence[SeedRuns]) -> dict[str, list[tuple[SeedRuns, SeedRuns]]]:
    """Which runs are compared with which, by the comparison's name.

    A decoder meets itself under the other method, or each encoder. A trained run is compared on the
    tasks that it was trained for (its own or its suite's), single-task with single-task, multi-task with multi-task. Text
    tasks, whose scores are of other kinds, are a comparison of their own.
    """
    found: dict[str, list[tuple[SeedRuns, SeedRuns]]] = defaultdict(list)
    main = [one for one in runs_by_seed if one.variant == MAIN_VARIANT and one.kind != "transfer" and one.known]
    for method_a, method_b in PAIRS:
        for a in main:
            for b in main:
                fits = (a.method, b.method, a.task.name) == (method_a, method_b, b.task.name)
                fits = fits and b.kind in ("none", a.kind)
                if not fits or (a.model != b.model and METHODS[method_b].loads != "encoder"):
                    continue
                if not a.is_on_the_rows_of(b):
                    continue
                label = f"{method_a} vs {b.model if METHODS[method_b].loads == 'encoder' else method_b}"
                kind = "text" if a.task.answer == "text" else a.kind
                found[f"{label} ({kind})" if kind != "none" else label].append((a, b))
    return found


def measure_difference(*groups: Sequence[tuple[SeedRuns, SeedRuns]]) -> dict[str, Any]:
    """The columns of a difference, averaged over tasks, and of its test; without a test where a method's seeds are too few."""
    compared = [one for group in groups for pair in group for one in pair]
    found = infer(*([a.less(b) for a, b in group] for group in groups))
    return write_test(
        found, all(one.tells_seeds for one in compared), any(METHODS[one.method].seeded for one in compared)
    )


def write_test(found: Inference, can_be_tested: bool, seeded: bool) -> dict[str, Any]:
    """The columns of a difference and of its test; those of the test are empty where there is none."""
    if not can_be_tested:
        return {"difference": found.value, "test": "", "p": float("nan")}
    low, high = found.bounds
    return {
        **{"difference": found.value, "low": low, "high": high, "df": found.freedom, "p": found.p},
        "test": "seeds and rows" if seeded else "rows",
        "inferred": found,
    }


def correct(rows: list[dict[str, Any]]) -> None:
    """Add `p_holm` and `detectable` to the tested of `rows`, which are one family; the latter at the strictest level of the correction."""
    tested = [row for row in rows if row["p"] == row["p"]]
    for row, p in zip(tested, holm([row["p"] for row in tested]), strict=True):
        row["p_holm"] = p
        row["detectable"] = row["inferred"].detectable(LEVEL / len(tested))


def comparisons_table(pairs: dict[str, list[tuple[SeedRuns, SeedRuns]]], scale: str) -> pd.DataFrame:
    """Every comparison on every task, corrected within the comparison."""
    table = []
    for comparison, compared in pairs.items():
        rows = []
        for a, b in compared:
            values = {f"value_{side}": one.mean(one.metrics).value for side, one in (("a", a), ("b", b))}
            seeds = {f"seeds_{side}": len(one.runs) for side, one in (("a", a), ("b", b))}
            names = ("model", "method", "mixture")
            sides = {f"{name}_{side}": getattr(one, name) for side, one in (("a", a), ("b", b)) for name in names}
            metric = {"comparison": comparison, "metric": "+".join(a.metrics)}
            rows.append(describe(a, scale) | metric | sides | seeds | values | measure_difference([(a, b)]))
        correct(rows)
        table += rows
    return pd.DataFrame(table, columns=list(COMPARISONS))


def overall_table(pairs: dict[str, list[tuple[SeedRuns, SeedRuns]]], scale: str) -> pd.DataFrame:
    """Every comparison, averaged over its tasks, for each pair of models; tasks of texts have no common scale and are left out."""
    rows = []
    for comparison, compared in pairs.items():
        counted = [(a, b) for a, b in compared if a.task.trained_with is None and a.task.answer != "text"]
        for models in dict.fromkeys((a.model, b.model) for a, b in counted):
            groups: dict[tuple[Any, ...], list[tuple[SeedRuns, SeedRuns]]] = defaultdict(list)
            for a, b in counted:
                if (a.model, b.model) == models:  # of one mixture: the same runs
                    groups[a.mixture, b.mixture, tuple(a.runs), tuple(b.runs)].append((a, b))
            a, b = next(iter(groups.values()))[0]
            facts = {"scale": scale, "comparison": comparison, "mixture_kind": a.kind}
            sides = {"model_a": a.model, "method_a": a.method, "model_b": b.model, "method_b": b.method}
            tasks = {"tasks": sum(map(len, groups.values()))}
            rows.append(facts | sides | tasks | measure_difference(*groups.values()))
    correct(rows)
    return pd.DataFrame(rows, columns=list(OVERALL))


# 3. Effects of variants ---------------------------------------------------------------------------------------------


def effects_table(runs_by_seed: Sequence[SeedRuns], scale: str) -> pd.DataFrame:
    """Every variant against the main runs of its model, method, mixture, task and seeds, corrected within the variant."""
    main = {
        (one.model, one.method, one.mixture, one.task.name): one
        for one in runs_by_seed
        if one.variant == MAIN_VARIANT and one.kind != "transfer"
    }
    families: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for one in runs_by_seed:
        other = main.get((one.model, one.method, one.mixture, one.task.name))
        if one.variant == MAIN_VARIANT or other is None or not one.runs.keys() & other.runs.keys():
            continue
        if not one.is_on_the_rows_of(other) or not (one.known and other.known):
            continue
        facts = {"variant": one.variant, "metric": "+".join(one.metrics)}
        families[one.variant].append(describe(one, scale) | facts | measure_effect(one, other))
    for rows in families.values():
        correct(rows)
    return pd.DataFrame([row for rows in families.values() for row in rows], columns=list(EFFECTS))


def measure_effect(one: SeedRuns, main: SeedRuns) -> dict[str, Any]:
    """The columns of a variant's difference from main, over the seeds of both, and of its test.

    Runs of one seed are a pair: they begin with the same weights and see the same rows, if their training differs at all.
    """
    seeds = [seed for seed in one.runs if seed in main.runs]
    own, mains = (dict(zip(side.runs, side.places, strict=True)) for side in (one, main))
    contrast = one.resampled.contrast(one.metrics, [own[s] for s in seeds], [mains[s] for s in seeds], shared=True)
    values = {"value": float(contrast.a.mean()), "main": float(contrast.b.mean())}
    seeded = METHODS[one.method].seeded
    return {"seeds": len(seeds), **values, **write_test(infer([contrast]), len(seeds) > 1 or not seeded, seeded)}


def compare_methods(
    scored: Iterable[Scored], tasks: dict[str, Task], scale: str, draws: int, seed: int
) -> dict[str, pd.DataFrame]:
    """means.csv, comparisons.csv, overall.csv and effects.csv of all scored runs, from `draws` resamples of each task's rows."""
    runs_by_seed = resample_tasks(scored, tasks, draws, seed)
    pairs = find_pairs(runs_by_seed)
    return {
        "means": means_table(runs_by_seed, scale),
        "comparisons": comparisons_table(pairs, scale),
        "overall": overall_table(pairs, scale),
        "effects": effects_table(runs_by_seed, scale),
    }
