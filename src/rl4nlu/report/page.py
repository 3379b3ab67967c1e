"""The default's results as README.md and docs/results.md show them, and whether a fresh build gives them again.

`docs/results/` holds the collected means, comparisons and averages of the build that the repository tells of, rounded; README's
block and the page are made of these files, and of nothing else.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..base.errors import ConfigError
from ..base.files import write_text
from ..config import METHODS, load_models
from ..scores.collect import MAIN_VARIANT, REWARDS
from ..scores.comparisons import COMPARISONS, MEANS, OVERALL
from ..scores.inference import LEVEL
from ..tasks.task import load_tasks
from .cells import number
from .names import BASELINES, LABEL_ROWS, METRIC_TITLES, MethodRow
from .tables.rlgf import COMPARED, GUIDED, UNREWARDED
from .tables.rllr import PAIR_KINDS, RLLR_ROWS, RLLR_SUITE

SHIPPED = {"means": MEANS, "comparisons": COMPARISONS, "overall": OVERALL, "rewards": REWARDS}
"""Files of `docs/results/`, and their columns."""

DECIMALS = 4
"""Of the shipped numbers: more than is printed, fewer than summing in another order changes."""

BLOCK = ("<!-- results: begin (python -m rl4nlu results) -->\n", "<!-- results: end -->\n")
"""Lines of README.md between which the results stand."""

CELL = ["model", "method", "mixture", "variant", "task", "metric"]
"""What names a row of means.csv."""


def read_results(folder: Path) -> dict[str, pd.DataFrame]:
    """The files of a folder that the page is made of, rounded.

    Raises:
        ConfigError: one is missing, or lacks a column.
    """
    found = {}
    for name, columns in SHIPPED.items():
        path = folder / f"{name}.csv"
        if not path.is_file():
            raise ConfigError(f"{path}: is missing; the main job makes it (`snakemake --cores all`)")
        frame = pd.read_csv(path, keep_default_na=False, na_values=[""])
        if missing := [column for column in columns if column not in frame]:
            raise ConfigError(
                f"{path}: no column {', '.join(missing)}; collect the results again (`snakemake collect`)"
            )
        found[name] = frame[list(columns)].round(DECIMALS)
    return found


def write_page(root: Path, results: dict[str, pd.DataFrame]) -> None:
    """Write `docs/results/*.csv`, `docs/results.md` and README's block below `root`."""
    for name, frame in results.items():
        write_text(root / "docs" / "results" / f"{name}.csv", frame.to_csv(index=False))
    for name, text in show(root, results).items():
        write_text(root / name, text)


def show(root: Path, results: dict[str, pd.DataFrame]) -> dict[str, str]:
    """README.md with its block made anew, and docs/results.md.

    Raises:
        ConfigError: README.md has no place for the block.
    """
    readme = (root / "README.md").read_text(encoding="utf-8")
    before, begin, rest = readme.partition(BLOCK[0])
    _, end, after = rest.partition(BLOCK[1])
    if not begin or not end:
        raise ConfigError(f"README.md: no lines {BLOCK[0].strip()!r} and {BLOCK[1].strip()!r}")
    return {"README.md": before + begin + headline(results) + end + after, "docs/results.md": page(results)}


def headline(results: dict[str, pd.DataFrame]) -> str:
    """What README shows: methods by tasks, the differences on average, and the second paper's means."""
    means = results["means"]
    means = means[means["variant"] == MAIN_VARIANT]
    seeds = means.loc[[bool(METHODS[m].seeded and METHODS[m].module) for m in means["method"]], "seeds"]
    return "\n".join(
        [
            *methods_by_tasks(means),
            "",
            f"Official metric of each task (Matthews, F1, Spearman or accuracy), mean ± standard deviation over {seeds.min()} to "
            f"{seeds.max()} seeds; {means['n'].max()} generated test rows a task at most. Bold: the highest decoder row, and those "
            "that the test doesn't tell from it. These are microworld numbers: they say nothing about natural language.",
            "",
            *averages(results["overall"]),
            "",
            "Differences in points, averaged over tasks, with 95 % intervals over seeds and rows; p is Holm-corrected over all "
            "lines of [docs/results.md](docs/results.md). Detectable: the smallest true difference that would be found with 80 % "
            "power. How the tests work, and how often they err: [docs/statistics.md](docs/statistics.md).",
            "",
            *second_paper(means, results["rewards"]),
            "",
            *third_paper(means),
        ]
    )


def methods_by_tasks(means: pd.DataFrame) -> list[str]:
    """A table of the main decoder's rows and the encoders', on the tasks of labels and numbers that PPO was trained for alone."""
    models, tasks = load_models(), load_tasks()
    main = means[[name in models and models[name].table == "main" for name in means["model"]]]
    trained = set(main.loc[(main["method"] == "ppo") & (main["mixture_kind"] == "st"), "task"])
    shown = [t for t in tasks.values() if t.name in trained and t.suite != RLLR_SUITE and t.trained_with is None]
    shown = [t for t in shown if t.answer != "text"]
    decoder = str(main.loc[main["method"] == "ppo", "model"].iloc[0]) if trained else ""
    rows = [(decoder, MethodRow(name, "none")) for name in BASELINES] + [(decoder, row) for row in LABEL_ROWS]
    rows += [
        (str(name), MethodRow("encoder", "st")) for name in sorted(set(main.loc[main["method"] == "encoder", "model"]))
    ]
    heads = [
        f"{task.title.partition(' (')[0]}, {METRIC_TITLES.get(task.columns[0], task.columns[0])}" for task in shown
    ]
    lines = [f"| {decoder}, microworld | {' | '.join(heads)} |", f"|{'---|' * (len(heads) + 1)}"]
    found = {key: group.iloc[0] for key, group in main.groupby(["model", "method", "mixture_kind", "task", "metric"])}
    for model, row in rows:
        cells = [found.get((model, row.method, row.kind, task.name, task.columns[0])) for task in shown]
        if any(cell is not None for cell in cells):
            title = (models[model].title or model) if row.method == "encoder" else row.label
            lines.append(f"| {title} | {' | '.join('' if cell is None else mean_text(cell) for cell in cells)} |")
    return lines


def mean_text(row: pd.Series) -> str:
    """A row of means.csv as README shows it."""
    text = number(row["value"])
    text = f"**{text}**" if row["leads"] else text
    return text if row["sd"] != row["sd"] else f"{text} ± {number(row['sd'])}"


def interval_text(row: pd.Series) -> str:
    """A row's interval; nothing where it has none."""
    return f"{number(row['low'])} to {number(row['high'])}" if row["low"] == row["low"] else ""


def averages(overall: pd.DataFrame) -> list[str]:
    """A table of overall.csv: what was compared, the difference, its interval, and whether the test confirms it."""
    lines = ["| comparison | tasks | difference | 95 % interval | p | detectable |", "|---|---|---|---|---|---|"]
    models = load_models()
    for _, row in overall[overall["p"].notna()].iterrows():
        model = models.get(row["model_a"])
        star = " *" if row["p_holm"] < LEVEL else ""
        who = "" if model and model.table == "main" else f", {row['model_a']}"
        cells = [
            f"{row['comparison']}{who}",
            str(row["tasks"]),
            number(row["difference"], sign=True) + star,
            interval_text(row),
            f"{row['p_holm']:.3f}" if row["p_holm"] >= 0.001 else "< .001",
            number(row["detectable"]) if row["detectable"] < 100 else "over 100",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def second_paper(means: pd.DataFrame, rewards: pd.DataFrame) -> list[str]:
    """The mean over the second paper's tasks of every method, and what its reward models tell apart."""
    own = means[(means["suite"] == RLLR_SUITE)]
    count = own["task"].nunique()
    if not count:
        return []
    said = []
    for row in (MethodRow("majority", "none"), *RLLR_ROWS):
        some = own[(own["method"] == row.method) & (own["mixture_kind"] == row.kind)]
        if some["task"].nunique() == count:
            said.append(f"{row.label.removesuffix('-MT')} {number(float(some['value'].mean()))}")
    lines = [
        f"On the second paper's {count} tasks, one model for all (mean accuracy): {', '.join(dict.fromkeys(said))}."
    ]
    shares = []
    main = rewards[rewards["variant"] == MAIN_VARIANT]
    for method in ("reward-label", "reward-rationale"):
        for kind in ("label", "policy"):
            told = (main["method"] == method) & (main["pairs"] == kind)
            accuracies = main.loc[told, "accuracy"].dropna().to_numpy(dtype=float)
            if len(accuracies):
                shares.append(
                    f"{METHODS[method].title.lower()}, {PAIR_KINDS[kind].lower()} {number(100 * float(accuracies.mean()))}"
                )
    return [*lines, f"Held-out pairs that are told apart, %: {'; '.join(shares)}."] if shares else lines


def third_paper(means: pd.DataFrame) -> list[str]:
    """A table of the third paper's methods on the tasks that they were trained for: what is rewarded, and the exact metric."""
    tasks = load_tasks()
    trained = set(means.loc[means["method"].isin(GUIDED), "mixture"])
    shown = [
        (task, metric)
        for task in tasks.values()
        if task.name in trained
        for metric in (task.columns[0], *(name for name in task.metrics if name in UNREWARDED))
    ]
    if not shown:
        return []
    heads = [f"{task.title}, {METRIC_TITLES[metric]}" for task, metric in shown]
    lines = [f"| with a guide | {' | '.join(heads)} |", f"|{'---|' * (len(heads) + 1)}"]
    found = {key: rows.iloc[0] for key, rows in means.groupby(["method", "mixture_kind", "task", "metric"])}
    for method in COMPARED:
        kind = "st" if METHODS[method].module else "none"
        cells = [found.get((method, kind, task.name, metric)) for task, metric in shown]
        if any(cell is not None for cell in cells):
            texts = ["" if cell is None else mean_text(cell).replace("*", "") for cell in cells]
            lines.append(f"| {METHODS[method].title} | {' | '.join(texts)} |")
    return [
        *lines,
        "",
        f"The third paper's methods from one start, on equal prompts. {', '.join(METRIC_TITLES[name] for name in UNREWARDED)}: read off the "
        "text by the generated language's own grammar, and never rewarded; where the first metric rises and these fall, the reward is "
        "hacked. The tables `rlgf` and `generation` have KL, tokens of learner and guide, and all metrics.",
        "",
    ]


def page(results: dict[str, pd.DataFrame]) -> str:
    """docs/results.md: every mean with its interval, and every comparison."""
    means, comparisons = results["means"], results["comparisons"]
    lines = [
        "# Results of the default",
        "",
        "Made by `python -m rl4nlu results` from the main job's output; CI compares a fresh build with these numbers.",
        "",
        "## Differences on average",
        "",
        *averages(results["overall"]),
        "",
        "## Means over seeds",
        "",
        "| model | method | trained on | task | metric | seeds | mean | sd | 95 % interval |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for _, row in means.iterrows():
        interval = interval_text(row)
        name = row["method"] if row["variant"] == MAIN_VARIANT else f"{row['method']}, {row['variant']}"
        cells = [
            row["model"],
            name,
            row["mixture"],
            row["task"],
            row["metric"],
            str(row["seeds"]),
            number(row["value"], 2),
        ]
        lines.append(f"| {' | '.join([*cells, number(row['sd'], 2), interval])} |")
    lines += [
        "",
        "## Differences task by task",
        "",
        "| comparison | model | task | seeds | difference | 95 % interval | p | p, Holm | detectable |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for _, row in comparisons.iterrows():
        tested = row["p"] == row["p"]
        cells = [row["comparison"], row["model_a"], row["task"], f"{row['seeds_a']}, {row['seeds_b']}"]
        cells.append(number(row["difference"], 2, sign=True))
        cells += (
            [interval_text(row), f"{row['p']:.3f}", f"{row['p_holm']:.3f}", number(row["detectable"])]
            if tested
            else [""] * 4
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def mean_and_interval(row: pd.Series) -> str:
    """A row of means.csv in a message."""
    return f"{row['value']:.2f} ({row['low']:.1f} to {row['high']:.1f})"


def find_differences(
    fresh: dict[str, pd.DataFrame], shipped: dict[str, pd.DataFrame], exact: bool
) -> tuple[list[str], int]:
    """What a fresh build doesn't give again, a line each; and how many means differ at all.

    Args:
        fresh: of the build.
        shipped: of docs/results/.
        exact: every number must be equal; else the intervals over seeds and rows of every mean must overlap, as those of other
            trainings by the same code do: another processor's bits are like other seeds.
    """
    new, old = (frames["means"].set_index(CELL) for frames in (fresh, shipped))
    faults = [f"{'/'.join(map(str, key))}: not in the fresh build" for key in old.index.difference(new.index)]
    faults += [f"{'/'.join(key)}: not in docs/results/means.csv" for key in new.index.difference(old.index)]
    changed = 0
    for key in old.index.intersection(new.index):
        was, now = (rows.loc[[key]].iloc[0] for rows in (old, new))
        if now["value"] == was["value"]:
            continue
        changed += 1
        apart = bool(now["low"] > was["high"] or was["low"] > now["high"])  # never where there is no interval
        if exact or apart:
            faults.append(f"{'/'.join(map(str, key))}: {mean_and_interval(now)}, was {mean_and_interval(was)}")
    if exact and not faults:
        for name in SHIPPED:
            if fresh[name].to_csv(index=False) != shipped[name].to_csv(index=False):
                faults.append(f"{name}.csv: differs from docs/results/{name}.csv")
    return faults, changed
