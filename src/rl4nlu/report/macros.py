r"""Every number of the paper's text, as LaTeX macros: `\nPpoSftWins` and the like, and the switches of what was run (`\ifaudited`).

The same macros are defined whatever was run; one whose number does not exist prints a dash.
"""

from __future__ import annotations

import pandas as pd

from ..config import METHODS
from ..scores.collect import MAIN_VARIANT
from ..scores.inference import LEVEL
from .cells import FULL_SEEDS, bounds_text, number
from .inputs import Inputs
from .names import DISCREPANCIES, ENCODER_METHODS, MethodRow, method_rows
from .published import AVERAGES, PAPER_1, PAPER_2, PAPER_3, recompute_averages
from .tables.board import own_average
from .tables.budgets import seconds_per_batch
from .tables.comparisons import discrepancy_effects, headline_gains
from .tables.rlgf import GUIDED, SWEEP
from .typeset import tex

NOTHING = "–"

PAIRED = {
    "PpoSft": ("ppo vs sft", ("st", "mt")),
    "PpoZero": ("ppo vs zero-shot", ("st", "mt")),
    "SftZero": ("sft vs zero-shot", ("st", "mt")),
    "FewZero": ("few-shot vs zero-shot", ("",)),
    "PlusPpo": ("ppo++ vs ppo", ("st", "text")),
    "AggPpo": ("aggrevated vs ppo", ("st", "text")),
    "LolsPpo": ("lols vs ppo", ("st", "text")),
    "DlolsPpo": ("d2lols vs ppo", ("st", "text")),
    "PpoSftOfTexts": ("ppo vs sft", ("text",)),
}
"""Comparisons that the text names, by the stem of their macros."""

TEXT_KEYS = {"zero-shot": "Zero", "few-shot": "Few", "sft": "Sft", "ppo": "Ppo", "encoder": "Encoder"}
"""Methods that the text names."""
TEXT_ROWS = method_rows(name for name in TEXT_KEYS if name not in ENCODER_METHODS)


def camel(row: MethodRow) -> str:
    """`PpoSt` for single-task PPO."""
    return TEXT_KEYS[row.method] + {"st": "St", "mt": "Mt"}.get(row.kind, "")


def build_macros(inputs: Inputs) -> dict[str, str]:
    """Macro name (without the leading n) -> text."""
    return {
        **scale_numbers(inputs),
        **paired_numbers(inputs),
        **average_numbers(inputs),
        **budget_numbers(inputs),
        **effect_numbers(inputs),
        **printed_numbers(inputs),
    }


def find_switches(inputs: Inputs) -> dict[str, bool]:
    """What was run: anything at all, discrepancies of the papers, training with a guide, its sweep over shares of roll-ins."""
    guided = inputs.metrics[inputs.metrics["method"].isin(GUIDED)]["variant"].astype(str)
    return {
        "reproduced": not inputs.metrics.empty,
        "audited": not discrepancy_effects(inputs).empty,
        "guided": bool((guided == MAIN_VARIANT).any()),
        "swept": bool(guided.str.startswith(SWEEP).any()),
    }


def define_macros(macros: dict[str, str], switches: dict[str, bool]) -> str:
    """The file that main.tex reads: numbers, and as `\\if<switch>` what was run."""
    lines = ["% Written by workflow/scripts/text_numbers.py"]
    for name, on in switches.items():
        lines += [rf"\newif\if{name}", rf"\{name}{'true' if on else 'false'}"]
    lines += [rf"\newcommand{{\n{name}}}{{{tex(text or NOTHING)}}}" for name, text in macros.items()]
    return "\n".join(lines) + "\n"


def _span(values: pd.Series, digits: int = 0) -> str:
    known = values.dropna().astype(float)
    if known.empty:
        return ""
    low, high = f"{known.min():,.{digits}f}", f"{known.max():,.{digits}f}"
    return low if low == high else f"{low} to {high}"


def _join_names(names: list[str]) -> str:
    return ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + names[-1] if names else "none"


def scale_numbers(inputs: Inputs) -> dict[str, str]:
    """What was run, where, and on how many rows."""
    m, runs = inputs.metrics, inputs.runs
    main = inputs.decoders("main")
    trained = runs[runs["mixture_kind"] != "none"]
    rows = m.drop_duplicates("task")["n"] if len(m) else pd.Series(dtype=float)
    chance = [task.title for task in inputs.tasks.values() if inputs.near_chance(task)]
    seeds = trained.groupby(["model", "method", "mixture", "variant"])["seed"].nunique()
    stale = m[m["stale"].astype(bool)] if len(m) else m
    own = m[m["method"].isin(TEXT_KEYS)].drop_duplicates(["model", "method", "mixture", "variant", "seed", "task"])
    facts = {
        "Scale": inputs.scale,
        "Note": inputs.note.strip() or "none",
        "MainModel": ", ".join(map(inputs.title, main)),
        "OtherModels": _join_names([inputs.title(x) for x in inputs.decoders("other")]),
        "Encoders": _join_names([inputs.title(x) for x in inputs.encoders()]),
        "Split": inputs.provenance() if m.empty else ", ".join(sorted(set(m["source"].astype(str)))),
        "Tasks": str(m["task"].nunique()),
        "Runs": str(len(runs)),
        "TrainedRuns": str(len(trained)),
        "ScoredCells": str(len(m.drop_duplicates(["model", "method", "mixture", "variant", "seed", "task"]))),
        "FullSeeds": str(FULL_SEEDS),
        "FullSeedArms": str(int((seeds >= FULL_SEEDS).sum())),
        "FewSeedArms": str(int((seeds < FULL_SEEDS).sum())),
        "RowsScored": _span(rows),
        "Thresholds": str(runs[(runs["method"] == "rllr-mixed") & runs["threshold"].notna()]["variant"].nunique()),
        "NearChance": _join_names(chance) if len(m) else "",
        "NearChanceCount": str(len(chance)),
        "StaleCells": str(len(stale.drop_duplicates(["model", "method", "mixture", "variant", "seed", "task"]))),
        "DroppedDemonstrations": str(int(own["dropped_demonstrations"].fillna(0).astype(int).sum()))
        if len(own)
        else "",
    }
    for name in ("python", "torch", "transformers", "device"):
        known = sorted(set(runs[name].dropna().astype(str)))
        facts[name.capitalize()] = ", ".join(known)
    return facts


def paired_numbers(inputs: Inputs) -> dict[str, str]:
    """Who was ahead, task by task and on average, on how many tasks the corrected test tells the methods apart, and what it could find.

    A task that is scored with another task's runs is not counted: it would count the same training twice. Tasks of texts
    are comparisons of their own.
    """
    found = inputs.comparisons
    out: dict[str, str] = {}
    own = [task.name for task in inputs.tasks.values() if task.trained_with is None]
    found = found[found["model_a"].isin(inputs.decoders("main")) & found["task"].isin(own)]
    overall = inputs.overall[inputs.overall["model_a"].isin(inputs.decoders("main"))]
    for stem, (label, kinds) in PAIRED.items():
        for kind in kinds:
            comparison = f"{label} ({kind})" if kind else label
            rows, average = (frame[frame["comparison"] == comparison] for frame in (found, overall))
            tested = average.iloc[0] if len(average) and average["p"].notna().all() else None
            sure = rows[rows["p_holm"] < LEVEL]
            up, down = rows[rows["difference"] > 0], rows[rows["difference"] < 0]
            seeds = rows[["seeds_a", "seeds_b"]].astype(float)
            name = stem + kind.capitalize()
            out |= {
                f"{name}Compared": str(len(rows)),
                f"{name}Wins": str(len(up)),
                f"{name}Losses": str(len(down)),
                f"{name}Ties": str(len(rows) - len(up) - len(down)),
                f"{name}SureWins": str(int((sure["difference"] > 0).sum())),
                f"{name}SureLosses": str(int((sure["difference"] < 0).sum())),
                f"{name}Gain": number(float(rows["difference"].mean()), sign=True) if len(rows) else "",
                f"{name}Best": number(float(rows["difference"].max()), sign=True) if len(rows) else "",
                f"{name}Worst": number(float(rows["difference"].min()), sign=True) if len(rows) else "",
                f"{name}Tested": str(int(rows["p"].notna().sum())),
                f"{name}Seeds": _span(seeds.max(axis=1)),
                f"{name}Interval": bounds_text(tested),
                f"{name}Verdict": _verdict(tested),
                f"{name}Detectable": number(float(tested["detectable"])) if tested is not None else "",
                f"{name}DetectableTask": number(float(rows["detectable"].median()))
                if rows["detectable"].notna().any()
                else "",
            }
    return out


def _verdict(average: pd.Series | None) -> str:
    """What the corrected test says of an average difference, as the text continues `which is …`."""
    if average is None:
        return "not tested, for want of seeds"
    return "significant" if average["p_holm"] < LEVEL else "not significant"


def average_numbers(inputs: Inputs) -> dict[str, str]:
    """Suite averages and unreadable answers of the main decoder's methods."""
    out: dict[str, str] = {}
    model = (inputs.decoders("main") or [""])[0]
    for suite, table, stem in (("glue", "1", "Glue"), ("superglue", "10", "Super")):
        tasks = [t for t in inputs.of_suite(suite) if t.name in AVERAGES[PAPER_1, table]]
        for row in TEXT_ROWS:
            out[stem + camel(row)] = number(own_average(inputs, model, row, tasks))
    m = inputs.metrics[(inputs.metrics["variant"] == MAIN_VARIANT) & (inputs.metrics["model"] == model)]
    for row in TEXT_ROWS:
        rates = m[(m["method"] == row.method) & (m["mixture_kind"] == row.kind)].drop_duplicates(
            ["mixture", "seed", "task"]
        )["invalid_rate"]
        out["Invalid" + camel(row)] = number(float(rates.astype(float).mean()) * 100, 2) if len(rates) else ""
    return out


def budget_numbers(inputs: Inputs) -> dict[str, str]:
    """What training was given and what it cost, SFT beside PPO."""
    r = inputs.runs
    out: dict[str, str] = {}
    model = (inputs.decoders("main") or [""])[0]
    r_main = r[(r["variant"] == MAIN_VARIANT) & (r["model"] == model)]
    for row in (MethodRow("sft", "st"), MethodRow("ppo", "st"), MethodRow("sft", "mt"), MethodRow("ppo", "mt")):
        runs = r_main[(r_main["method"] == row.method) & (r_main["mixture_kind"] == row.kind)]
        name = camel(row)
        out |= {
            f"{name}Runs": str(len(runs)),
            f"{name}Prompts": _span(runs["prompts_seen"]),
            f"{name}Steps": _span(runs["optimiser_steps"]),
            f"{name}Candidates": _span(runs["candidates"]),
            f"{name}Sampled": _span(runs["tokens_generated"].astype(float) / 1000, 1),
            f"{name}Trained": _span(runs["tokens_trained"].astype(float) / 1000, 1),
            f"{name}Cost": number(seconds_per_batch(inputs, model, row), 3),
        }
    sft, ppo = (
        seconds_per_batch(inputs, model, MethodRow("sft", "st")),
        seconds_per_batch(inputs, model, MethodRow("ppo", "st")),
    )
    out["CostRatio"] = number(ppo / sft, 2) if ppo == ppo and sft == sft and sft else ""
    fair = fair_mixtures(r_main)
    out["BudgetMixtures"], out["BudgetEqual"] = str(len(fair)), str(sum(fair.values()))
    out["TrainingMinutes"] = number(float(r["seconds"].astype(float).sum()) / 60) if len(r) else ""
    out["EvaluationMinutes"] = number(float(r["evaluation_seconds"].astype(float).sum()) / 60) if len(r) else ""
    out["PeakMemory"] = _span(r[["peak_cpu_mb"]].astype(float).max(axis=1)) if len(r) else ""
    return out


def fair_mixtures(runs: pd.DataFrame) -> dict[str, bool]:
    """For every mixture that SFT and PPO were both trained on: whether prompts seen and tuning candidates were equal."""
    given = {
        (str(mixture), str(method)): set(zip(found["prompts_seen"], found["candidates"], strict=True))
        for (mixture, method), found in runs[runs["method"].isin(["sft", "ppo"])].groupby(["mixture", "method"])
    }
    both = [mixture for mixture, method in given if method == "sft" and (mixture, "ppo") in given]
    return {
        mixture: given[mixture, "sft"] == given[mixture, "ppo"] and len(given[mixture, "sft"]) == 1 for mixture in both
    }


def effect_numbers(inputs: Inputs) -> dict[str, str]:
    """How many discrepancies of the papers were run, which of them do anything, and how that compares with the printed gains."""
    found = discrepancy_effects(inputs)
    sure = found[found["p_holm"] < LEVEL]
    gains = headline_gains(inputs)
    beyond = [abs(row["difference"]) >= gains[row["paper"]] for _, row in sure.iterrows()]
    out = {
        "Effects": str(len(found)),
        "EffectDiscrepancies": str(found["variant"].nunique()),
        "EffectSeeds": _span(found["seeds"]),
        "EffectsSure": str(len(sure)),
        "EffectsSureUp": str(int((sure["difference"] > 0).sum())),
        "EffectsSureDown": str(int((sure["difference"] < 0).sum())),
        "EffectsBeyondGain": str(sum(beyond)),
        "EffectsNone": str(int(((found["low"] == 0) & (found["high"] == 0)).sum())),
        "RllrLeadPrinted": number(gains[PAPER_2], 2),
    }
    for name, place in (("Lowest", "idxmin"), ("Highest", "idxmax")):
        row = found.loc[getattr(found["difference"].astype(float), place)()] if len(found) else None
        out[f"Effect{name}"] = "" if row is None else number(row["difference"], sign=True)
        out[f"Effect{name}Of"] = (
            "" if row is None
            else f"{DISCREPANCIES[row['variant']][1]}: {METHODS[row['method']].title}, {inputs.tasks[row['task']].title}"
        )  # fmt: skip
    return out


def printed_numbers(inputs: Inputs) -> dict[str, str]:
    """The paper's own averages, and how many of them its cells do not give."""
    out: dict[str, str] = {}
    for table, stem in (("1", "PaperGlue"), ("10", "PaperSuper")):
        printed = inputs.printed(table)
        printed = printed[(printed["task"] == "average") & (printed["model"] == "llama2-7b-chat")]
        for row in TEXT_ROWS:
            value = printed[(printed["method"] == row.method) & (printed["mixture_kind"] == row.kind)]["value_printed"]
            out[stem + camel(row)] = value.iloc[0] if len(value) else ""
    averages = recompute_averages(inputs.published[inputs.published["paper"] == PAPER_1])
    out["PrintedAverages"] = str(int((averages["verdict"] != "not printed").sum()))
    out["Misprints"] = str(int((averages["verdict"] == "misprint").sum()))
    out["PrintedNumbers"] = str(int(inputs.published["value"].notna().sum()))

    def printed_cell(table: str, method: str, kind: str, task: str) -> str:
        rows = inputs.printed(table)
        rows = rows[(rows["model"] == "llama2-7b-chat") & (rows["method"] == method) & (rows["mixture_kind"] == kind)]
        return str(rows.loc[rows["task"] == task, "value_printed"].iloc[0])

    def recomputed(table: str, method: str, kind: str) -> float:
        fits = (averages["table"] == table) & (averages["method"] == method) & (averages["mixture_kind"] == kind)
        return float(averages.loc[fits & (averages["model"] == "llama2-7b-chat"), "recomputed"].iloc[0])

    guided = inputs.published[(inputs.published["paper"] == PAPER_3) & (inputs.published["task"] == "tldr")]
    tldr = guided[guided["table"] == "main"].set_index("method")["value_printed"]

    # The SST-2 label bug: negative items that the model names rightly become coin tosses (balanced classes).
    right = float(printed_cell("1", "ppo", "st", "sst2")) / 100
    tossed = 0.5 * (right + (1 - right) / 2) + 0.5 * right / 2
    sft, ppo = recomputed("1", "sft", "st"), recomputed("1", "ppo", "st")
    mended = sft + (100 * right - float(printed_cell("1", "sft", "st", "sst2"))) / len(AVERAGES[PAPER_1, "1"])
    return out | {
        "PaperTldrPpo": str(tldr["ppo"]),
        "PaperTldrPlus": str(tldr["ppo++"]),
        "SstPpo": printed_cell("1", "ppo", "st", "sst2"),
        "SstSftSt": printed_cell("1", "sft", "st", "sst2"),
        "SstSftMt": printed_cell("1", "sft", "mt", "sst2"),
        "SstSftValidation": printed_cell("9", "sft", "st", "sst2"),
        "SstTossed": number(100 * tossed),
        "SstMended": number(mended),
        "LeadPrinted": number(ppo - sft),
        "LeadMended": number(ppo - mended),
        "PpoMtRecomputed": number(recomputed("1", "ppo", "mt"), 2),
        "SuperFewRecomputed": number(recomputed("10", "few-shot", "none"), 2),
        "StsbTest": printed_cell("1", "ppo", "st", "stsb"),
        "StsbTestMt": printed_cell("1", "ppo", "mt", "stsb"),
        "StsbValidation": printed_cell("9", "ppo", "st", "stsb"),
        "PaperCostRatio": number(
            float(printed_cell("3", "ppo", "st", "cost")) / float(printed_cell("3", "sft", "st", "cost")), 2
        ),
    }
