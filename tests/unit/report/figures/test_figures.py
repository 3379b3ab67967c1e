"""Figures are drawn from full, partial and empty inputs, and are the same bytes for the same numbers."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure
from scenes import scene_inputs
from synthetic import inputs

from rl4nlu.config import METHODS
from rl4nlu.report.figures import FIGURES, draw_figures, write_figure
from rl4nlu.report.figures.differences import gains_figure
from rl4nlu.report.figures.scores import invalid_figure, scores_figure
from rl4nlu.report.figures.training import curves_figure
from rl4nlu.report.names import MethodRow


def texts(figure: Figure) -> str:
    return " ".join(
        t.get_text() for axes in figure.axes for t in [*axes.texts, *axes.get_xticklabels(), *axes.get_yticklabels()]
    )


@pytest.fixture(scope="module")
def figures() -> dict[str, Figure]:
    return draw_figures(inputs(True))


def test_all_figures_are_written_as_vector_and_image(figures: dict[str, Figure], tmp_path: Path) -> None:
    assert list(figures) == list(FIGURES)
    for name, figure in figures.items():
        write_figure(figure, name, tmp_path)
        assert (tmp_path / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".pdf"] * len(FIGURES) + [".png"] * len(FIGURES)


def test_empty_inputs_say_so(tmp_path: Path) -> None:
    for name, figure in draw_figures(inputs(False)).items():
        assert "in this build" in texts(figure), name
        write_figure(figure, name, tmp_path)


def test_equal_numbers_give_equal_files(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        for name, figure in draw_figures(inputs(True)).items():
            write_figure(figure, name, tmp_path / folder)
    for name in FIGURES:
        for form in ("pdf", "png"):
            assert (tmp_path / "a" / f"{name}.{form}").read_bytes() == (tmp_path / "b" / f"{name}.{form}").read_bytes()


def test_what_is_drawn(figures: dict[str, Figure]) -> None:
    assert len(figures["scores"].axes) == 2  # a suite each
    assert "MNLI-mm" in texts(figures["scores"])
    assert "CB" in texts(figures["scores"])
    single, multi = figures["gains"].axes
    assert [t.get_text() for t in single.get_yticklabels()][::-1][:3] == ["QNLI", "SST-2", "CoLA"]
    assert len(multi.get_yticklabels()) == 11
    assert len(figures["curves"].axes) == 6
    assert all(axes.lines for axes in figures["curves"].axes)
    assert "micro-llama Zero-shot" in texts(figures["invalid"])


def test_gains_show_the_paired_difference(figures: dict[str, Figure]) -> None:
    found = inputs(True).comparisons
    wanted = found[(found["comparison"] == "ppo vs sft (st)") & (found["model_a"] == "micro-llama")]["difference"]
    drawn = [line.get_xdata()[0] for line in figures["gains"].axes[0].lines if line.get_marker() == "o"]
    assert sorted(float(x) for x in drawn) == pytest.approx(sorted(wanted))


def test_learning_rates_are_drawn_by_task_with_the_chosen_one_filled(figures: dict[str, Figure]) -> None:
    panels = {axes.get_title(loc="left"): axes for axes in figures["learning-rates"].axes}
    assert list(panels)[:3] == ["QNLI, acc.", "SST-2, acc.", "CoLA, MCC"]
    assert list(panels)[-1] == "glue (multi-task), mean"
    lines = panels["CoLA, MCC"].lines
    assert len(lines) == 2 * 4  # SFT, PPO and two encoders, each with its chosen rate; the variant is left out
    assert panels["CoLA, MCC"].get_xscale() == "log"
    sft, chosen, ppo = lines[0], lines[1], lines[2]
    assert (sft.get_color(), ppo.get_color()) == (METHODS["sft"].colour, METHODS["ppo"].colour)
    assert sft.get_xydata().tolist() == [[0.001, 74], [0.003, 80], [0.01, 60]]
    assert ppo.get_xydata().tolist() == [[0.001, 74], [0.003, 80]]  # it diverged at the third
    assert chosen.get_xydata().tolist() == [[0.003, 80]]
    assert (sft.get_markerfacecolor(), chosen.get_markerfacecolor()) == ("white", METHODS["sft"].colour)


def test_histories_without_validation_or_sft_are_drawn() -> None:
    history = inputs(True).history
    history = history[history["method"] == "ppo"].assign(validation=float("nan"))
    figure = draw_figures(replace(inputs(True), history=history))["curves"]
    assert texts(figure).count("not recorded") == 3


def test_bars_stand_in_the_order_of_the_methods() -> None:
    invalid = inputs(True).invalid
    ppo = invalid[
        (invalid["method"] == "ppo") & (invalid["mixture_kind"] == "st") & (invalid["model"] == "micro-llama")
    ]
    also = ("rllr", "grpo", "sft-rationale")
    more = pd.concat([invalid, *(ppo.assign(method=name) for name in also)])
    figure = invalid_figure(replace(inputs(True), invalid=more))
    bars = [label.get_text() for label in figure.axes[0].get_yticklabels()][::-1]
    methods = [name for name in METHODS if name in ("sft", "ppo", *also)]
    wanted = [f"micro-llama {MethodRow(name, 'st').label}" for name in methods]
    assert [bar for bar in bars if bar in wanted] == wanted


def test_texts_are_not_drawn_on_the_scale_of_labels_and_a_gain_is_what_is_better(tmp_path: Path) -> None:
    shown = scene_inputs(tmp_path, ["perplexity", "rouge-l"])
    assert "in this build" in texts(scores_figure(shown))
    assert "in this build" in texts(curves_figure(shown))
    (axes,) = gains_figure(shown).axes
    assert (shown.comparisons.set_index("comparison").loc["ppo vs sft (text)", "difference"]) < 0
    assert axes.lines[1].get_color() == METHODS["ppo"].colour  # PPO has the lower perplexity
