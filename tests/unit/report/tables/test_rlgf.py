"""The third paper's tables and figures, from made-up numbers."""

from dataclasses import replace

import pandas as pd
import pytest
from synthetic import cells_of, inputs

from rl4nlu.report.figures.rlgf import guided_figure, roll_in_figure
from rl4nlu.report.inputs import Inputs
from rl4nlu.report.macros import find_switches
from rl4nlu.report.tables.rlgf import context_sheet, generation_sheet, rlgf_sheet

METRICS = {"judge": 70.0, "perplexity": 5.0, "output-perplexity": 3.0, "polarity": 60.0}
GUIDE = {"tokens_guided": 1000, "guide_validation": 66.0}
METHODS = {"zero-shot": 0.0, "sft": 5.0, "ppo": 10.0, "ppo++": 12.0}


def lines(method: str, variant: str = "main", gain: float = 0.0) -> list[dict]:
    kind, seeds = ("none", [0]) if method == "zero-shot" else ("st", [0, 1, 2])
    address = {"model": "micro-llama", "method": method, "mixture": "none" if kind == "none" else "imdb"}
    address |= {"mixture_kind": kind, "variant": variant, "task": "imdb", "suite": "generation", "source": "microworld"}
    return [
        address | {"seed": seed, "metric": name, "value": value + gain + seed, "stale": False}
        for seed in seeds
        for name, value in METRICS.items()
    ]


@pytest.fixture
def guided() -> Inputs:
    """Four methods on IMDB, and a sweep of PPO++ over two shares."""
    empty = inputs(False)
    rows = [line for method, gain in METHODS.items() for line in lines(method, gain=gain)]
    rows += [line for share in (20, 80) for line in lines("ppo++", f"roll-in-{share}", share / 10)]
    metrics = pd.DataFrame(rows, columns=empty.metrics.columns)
    key = ["model", "method", "mixture", "mixture_kind", "variant", "task", "metric"]
    means = metrics.groupby(key, as_index=False)["value"].mean().assign(leads=lambda m: m["method"] == "ppo++")
    trained = [m for m in METHODS if m != "zero-shot"]
    address = {"model": "micro-llama", "mixture": "imdb", "mixture_kind": "st", "variant": "main"}
    runs = [
        address | {"method": m, "seed": s, "tokens_generated": 2000, **(GUIDE if m == "ppo++" else {})}
        for m in trained
        for s in range(3)
    ]
    history = [
        address | {"method": m, "seed": s, "step": t, "examples": 32 * t, "reward": 0.1 * t, "kl": 0.5 * t}
        for m in ("ppo", "ppo++")
        for s in range(3)
        for t in (1, 2, 3)
    ]
    versus = {
        "model_a": "micro-llama",
        "method_a": "ppo++",
        "model_b": "micro-llama",
        "method_b": "ppo",
        "task": "imdb",
    }
    versus |= {"difference": 2.0, "low": -1.0, "high": 5.0, "p_holm": 0.3}
    return replace(
        empty,
        metrics=metrics,
        means=means,
        runs=pd.DataFrame(runs, columns=empty.runs.columns),
        history=pd.DataFrame(history, columns=empty.history.columns),
        comparisons=pd.DataFrame([versus], columns=empty.comparisons.columns),
    )


def test_a_guide_is_told_with_its_score_its_tokens_and_what_no_reward_sees(guided: Inputs) -> None:
    sheet = rlgf_sheet(guided)
    said = [cell.text for cell in next(line for line in sheet.filled if line.heads[2] == "PPO++-ST").cells]
    assert said == ["83.0", "+2.0", "73.0", "1.50", "66.0", "2.0", "1.0", "3"]
    (sft,) = [line.cells for line in sheet.filled if line.heads[2] == "SFT-ST"]
    assert [cell.text for cell in sft] == ["76.0", "", "66.0", "", "", "2.0", "", "3"]
    assert [line.heads[2] for line in sheet.filled] == ["Zero-shot", "SFT-ST", "PPO-ST", "PPO++-ST"]


def test_every_metric_of_a_text_task_is_a_column_and_only_the_compared_one_is_bold(guided: Inputs) -> None:
    sheet = generation_sheet(guided)
    assert [below for _, below in sheet.columns] == ["judge", "ppl", "output ppl", "polarity"]
    (line,) = [line for line in sheet.filled if line.heads[1:] == ("PPO++-ST", "ours")]
    assert [(cell.text, cell.bold) for cell in line.cells] == [
        ("83.0", True), ("18.0", False), ("16.0", False), ("73.0", False),
    ]  # fmt: skip


def test_the_two_printed_cells_stand_only_under_their_task(guided: Inputs) -> None:
    tldr = replace(guided, metrics=guided.metrics.replace({"imdb": "tldr"}), means=guided.means.iloc[:0])
    printed = [line for line in generation_sheet(tldr).filled if line.kind == "paper"]
    assert [line.heads[1] for line in printed] == ["PPO-ST", "PPO++-ST"]
    assert [next(cell.text for cell in line.cells if cell.text) for line in printed] == ["6.01", "6.11"]
    assert not [line for line in generation_sheet(guided).filled if line.kind == "paper"]


def test_other_papers_numbers_are_context_and_nothing_of_rlgf_is() -> None:
    sheet = context_sheet(inputs(False))
    assert cells_of(sheet, "TL;DR", "gpt-j-6b", "sft", "judge")["Printed"].text == "2.729"
    assert not any(cell.text in ("6.01", "6.11") for line in sheet.filled for cell in line.cells)


def test_figures_draw_training_and_the_sweep(guided: Inputs) -> None:
    above, below = guided_figure(guided).axes
    assert above.get_title(loc="left") == "IMDB"
    assert below.get_xlabel().startswith("KL")
    assert sorted({tuple(line.get_ydata().round(1)) for line in below.lines}) == [(0.1, 0.2, 0.3)]
    (axes,) = roll_in_figure(guided).axes
    assert [tuple(line.get_xdata()) for line in axes.lines if line.get_marker() != "."] == [(0.2, 0.8)]
    assert "in this build" in guided_figure(inputs(True)).axes[0].texts[0].get_text()


def test_the_text_knows_what_was_run(guided: Inputs) -> None:
    assert find_switches(guided) == {"reproduced": True, "audited": False, "guided": True, "swept": True}
    main = replace(guided, metrics=guided.metrics[guided.metrics["variant"] == "main"])
    assert find_switches(main)["swept"] is False
