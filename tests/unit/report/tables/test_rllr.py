"""The second paper's tables and figures, from made-up runs."""

import pandas as pd
import pytest
from synthetic import told, write_tree

from rl4nlu.base.files import REPOSITORY, read_json, write_json, write_jsonl
from rl4nlu.config import load_models
from rl4nlu.report.figures.rllr import over_optimisation_figure, thresholds_figure
from rl4nlu.report.figures.scores import scores_figure
from rl4nlu.report.inputs import load_inputs
from rl4nlu.report.names import MethodRow
from rl4nlu.report.tables.rllr import differences_sheet, reward_models_sheet, reward_pairs_sheet, rllr_sheet
from rl4nlu.scores import collect
from rl4nlu.scores.comparisons import compare_methods
from rl4nlu.scores.tuning import CANDIDATES
from rl4nlu.tasks.task import load_tasks

TASKS = load_tasks()
SUITE = [task.name for task in TASKS.values() if task.suite == "rllr"]
METHODS = ("sft", "sft-rationale", "rlhf", "rllr", "rllr-mixed")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rllr")
    results = folder / "results"
    write_tree(results, TASKS, [("micro-llama", m, "rllr", "main", [0, 1, 2], SUITE) for m in METHODS], n=30)
    write_tree(results, TASKS, [("micro-llama", "rllr-mixed", "rllr", "tau-low", [0], SUITE)], n=30)
    for seed in range(3):
        for method, right in (("reward-label", 0.97), ("reward-rationale", 0.6)):
            held_out = {"label": told(100, right), "rationale": told(80, 1.5 - right), "policy": told(0, None)}
            learnt = {"pairs_at_hand": 900 + seed, "pairs_kept": 300, "pairs_seen": 320, "distinct_pairs_seen": 256}
            learnt |= {"rationale_sensitive": 0.385, "passes": 1.25}
            run = results / "micro-llama" / method / "rllr" / "main" / f"seed{seed}"
            write_json(run / "run.json", {"facts": {"held_out": held_out, **learnt}})
        encoder = results / "micro-llama" / "reward-encoder" / "rllr" / "main" / f"seed{seed}"
        write_json(encoder / "run.json", {"facts": {"held_out": {"all": told(9, 1.0)}, "pairs_seen": 9}})
        replies = {"rows": 10, "replies": 40, "right": 0.8, "unreadable": 0.0, "ranked_pairs": 10, "same_label": 0.7}
        run = results / "micro-llama" / "pairs" / "rllr" / "main" / f"seed{seed}"
        write_json(run / "run.json", {"facts": {"train": replies, "validation": replies}})
    for path in results.glob("*/rllr-mixed/*/*/*/run.json"):
        record = read_json(path)
        record["facts"]["threshold"] = 1.0 if "tau-low" in path.parts else 3.0
        write_json(path, record)
    for path in results.glob("*/rl*/*/*/*/history.jsonl"):
        rows = [
            {"step": s, "prompts": 64 * s, "reward": s / 10, "accuracy": 0.9 - s / 50, "label_reward_wrong": s / 20}
            for s in range(1, 11)
        ]
        write_jsonl(path, rows)
    scored, out = collect.find_scored(results, TASKS), folder / "collected"
    out.mkdir()
    rewards, replies = collect.reward_tables(results, "embedded")
    frames = {
        "metrics": collect.metrics_table(scored, TASKS, "embedded", None),
        "runs": collect.runs_table(scored, TASKS, "embedded"),
        **compare_methods(scored, TASKS, "embedded", 50, 0),
        "data": collect.data_table(None, TASKS, "embedded"),
        "history": collect.history_table(scored, TASKS, "embedded"),
        "invalid": collect.invalid_table(scored, TASKS, "embedded"),
        "rewards": rewards,
        "replies": replies,
        "candidates": pd.DataFrame(columns=CANDIDATES),
    }
    for name, frame in frames.items():
        frame.to_csv(out / f"{name}.csv", index=False)
    return load_inputs(REPOSITORY / "resources" / "published", TASKS, load_models(), out, "embedded", "Made up.")


@pytest.fixture(scope="module")
def printed_only():
    return load_inputs(REPOSITORY / "resources" / "published", TASKS, load_models())


def test_every_method_has_a_row_with_its_mean_over_tasks(made):
    sheet = rllr_sheet(made)
    assert [line.heads[1] for line in sheet.filled] == [
        "SFT-MT", "SFT with rationale-MT", "RLHF-MT", "RLLR-MT", "RLLR-mixed-MT"
    ]  # fmt: skip
    m = made.metrics[(made.metrics["method"] == "rllr") & (made.metrics["variant"] == "main")]
    (line,) = [line for line in sheet.filled if line.heads[1] == "RLLR-MT"]
    assert float(line.cells[-1].text) == pytest.approx(m["value"].mean(), abs=0.06)
    assert all(cell.below.startswith("±") for cell in line.cells[:-1])


def test_differences_stand_beside_the_printed_ones(made, printed_only):
    lines = {line.heads: [cell.text for cell in line.cells] for line in differences_sheet(made).filled}
    assert lines["Mean over tasks and models", "paper"] == ["", "+1.54", "", "+0.69", ""]
    of_task = [float(lines[TASKS[name].title, "ours"][2].replace("−", "-")) for name in SUITE]
    mean = float(lines["Mean over tasks", "ours"][2].replace("−", "-"))
    assert mean == pytest.approx(sum(of_task) / len(SUITE), abs=0.06)
    (only,) = differences_sheet(printed_only).filled
    assert only.cells[1].text == "+1.54"


def test_the_two_by_two_of_reward_models(made, printed_only):
    sheet = reward_models_sheet(made)
    found = {line.heads[2]: [cell.text for cell in line.cells] for line in sheet.filled}
    assert found["Reward model (label)"] == ["97.0", "2.00", "0.050", "", "", "", "53.0", "2.00", "0.050", "", "", ""]
    assert found["Reward model (rationale)"][:7] == ["60.0", "2.00", "0.050", "", "", "", "90.0"]
    assert any("70.0 % have two equal labels" in note for note in sheet.notes)
    assert reward_models_sheet(printed_only).filled == []


def test_what_each_reward_model_learnt_from(made, printed_only):
    found = {line.heads[2]: [cell.text for cell in line.cells] for line in reward_pairs_sheet(made).filled}
    row = ["900–902", "300", "38.5", "320", "256", "1.25"]
    assert found == {"Reward model (label)": row, "Reward model (rationale)": row}
    assert reward_pairs_sheet(printed_only).filled == []


def test_runs_outside_the_grid_are_left_out(tmp_path):
    for name in ("a", "b"):
        run = tmp_path / name / "reward-label" / "rllr" / "main" / "seed0"
        write_json(run / "run.json", {"facts": {"held_out": {"label": told(1, 1.0)}}})
    rewards, replies = collect.reward_tables(tmp_path, "embedded", {"a/reward-label/rllr/main/seed0": "digest"})
    assert list(rewards["model"]) == ["a"]
    assert replies.empty


def test_the_scores_figure_has_the_methods_that_were_run_on_the_suite(made):
    figure = scores_figure(made)
    assert len(figure.axes) == 1
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == [MethodRow(method, "mt").label for method in METHODS]


def test_figures_draw_what_is_there_and_say_what_is_not(made, printed_only):
    figure = over_optimisation_figure(made)
    drawn = [len(axes.lines) for axes in figure.axes]
    assert drawn[0] == drawn[1] == 3 * 4  # three methods: three seeds and their mean
    assert drawn[2] == 3 * 4
    (axes,) = thresholds_figure(made).axes
    assert sorted(set(axes.lines[0].get_xdata())) == [1.0, 3.0]
    for build in (over_optimisation_figure, thresholds_figure):
        (axes,) = build(printed_only).axes
        assert "in this build" in axes.texts[0].get_text()
