"""Table 7: our rows beside the printed ones, what stands for the grade, and the reward encoder's pairs."""

from pathlib import Path

import pandas as pd
import pytest
from synthetic import told, write_tree

from rl4nlu.base.files import REPOSITORY, read_json, read_jsonl, write_json, write_jsonl
from rl4nlu.config import load_models
from rl4nlu.report.inputs import Inputs, load_inputs
from rl4nlu.report.tables.ppo_rm import ppo_rm_sheet
from rl4nlu.report.tables.rllr import reward_models_sheet
from rl4nlu.scores import collect
from rl4nlu.scores.comparisons import compare_methods
from rl4nlu.scores.tuning import CANDIDATES
from rl4nlu.tasks.task import load_tasks

TASKS = load_tasks()
METHODS = ("sft-rationale", "ppo-rationale", "ppo-rm")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    folder = tmp_path_factory.mktemp("ppo-rm")
    results, data = folder / "results", folder / "data"
    write_tree(results, TASKS, [("micro-llama", m, "sst2", "main", [0, 1, 2], ["sst2"]) for m in METHODS], n=200)
    for seed in range(3):
        held_out = {"all": told(90, 0.9), "label": told(50, 0.8), "rationale": told(40, 1.0), "policy": told(9, 0.7)}
        run = results / "micro-llama" / "reward-encoder" / "sst2" / "main" / f"seed{seed}"
        write_json(run / "run.json", {"facts": {"held_out": held_out}})
    lines = []
    for path in results.glob("*/*/sst2/main/seed*/evaluation/sst2/metrics.json"):
        write_json(path, read_json(path) | {"response": "rationale"})
        rows = read_jsonl(path.parent / "predictions.jsonl")
        told_of = {"sft-rationale": "a b c d", "ppo-rationale": "a", "ppo-rm": "a b"}[path.parts[-7]]
        write_jsonl(
            path.parent / "predictions.jsonl", [r | {"text": f"{told_of} <Judgement>{r['text']}"} for r in rows]
        )
        lines = [{"split": "test", "id": r["id"], "label": r["gold"], "rationale": "a b c d"} for r in rows]
    write_jsonl(data / "sst2" / "rationales.jsonl", lines)
    scored, out = collect.find_scored(results, TASKS), folder / "collected"
    out.mkdir()
    rewards, replies = collect.reward_tables(results, "embedded")
    frames = {
        "metrics": collect.metrics_table(scored, TASKS, "embedded", None, data),
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


def texts(inputs: Inputs) -> dict[tuple[str, ...], list[str]]:
    return {line.heads: [cell.text for cell in line.cells] for line in ppo_rm_sheet(inputs).filled}


def test_our_rows_stand_beside_the_printed_ones(made: Inputs):
    found = texts(made)
    assert list(found) == [
        ("SFT with rationale-ST", "ours"), ("PPO with rationale-ST", "ours"), ("PPO-ST", "paper"), ("PPO-RM-ST", "ours"),
        ("PPO-RM-ST", "paper"), ("PPO-RM − PPO with rationale", "ours"), ("PPO-RM − PPO", "paper"),
    ]  # fmt: skip
    assert found["PPO-ST", "paper"] == ["96.4", "", "3.479"]
    assert found["PPO-RM-ST", "paper"] == ["89.7", "", "4.104"]
    assert found["PPO-RM − PPO", "paper"] == ["−6.7", "", ""]
    m = made.metrics[(made.metrics["method"] == "ppo-rm") & (made.metrics["metric"] == "accuracy")]
    assert found["PPO-RM-ST", "ours"][0] == f"{m['value'].mean():.1f}"
    assert found["PPO-RM-ST", "ours"][2] == ""  # GPT-4o has graded nothing of ours


def test_overlap_is_the_f1_of_words_by_hand(made: Inputs):
    found = texts(made)
    # four of four words; one of four: 2*1/(1+4); two of four: 2*2/(2+4)
    overlaps = [found[f"{name}-ST", "ours"][1] for name in ("SFT with rationale", "PPO with rationale", "PPO-RM")]
    assert overlaps == ["100.0", "40.0", "66.7"]
    assert found["PPO-RM − PPO with rationale", "ours"][1] == "+26.7"


def test_overlap_needs_rationales(made: Inputs, tmp_path: Path):
    rows = made.metrics[made.metrics["metric"] == collect.OVERLAP]
    assert len(rows) == 9
    task, record = made.tasks["sst2"], {"task": "sst2", "split": "test", "response": "label"}
    assert collect.rationale_overlap(collect.Scored(tmp_path, record, "st", tmp_path), task, tmp_path) is None
    record["response"] = "rationale"  # and no file of rationales
    assert collect.rationale_overlap(collect.Scored(tmp_path, record, "st", tmp_path), task, tmp_path) is None


def test_the_difference_is_tested_and_marked(made: Inputs):
    (line,) = [line for line in ppo_rm_sheet(made).filled if line.heads[0] == "PPO-RM − PPO with rationale"]
    assert float(line.cells[0].text.replace("−", "-")) < -5
    assert line.cells[0].below.startswith("[")
    assert line.cells[0].marks == "*"


def test_the_reward_encoders_pairs_are_in_the_note_and_in_the_table_of_reward_models(made: Inputs):
    note = " ".join(ppo_rm_sheet(made).notes)
    assert "ranks right: 90.0 % (right against wrong label 80.0 %, with against without rationale 100.0 %)" in note
    (line,) = reward_models_sheet(made).filled
    assert line.heads == ("micro-llama", "SST-2", "Reward encoder")
    assert [line.cells[n].text for n in (0, 6, 9)] == ["80.0", "100.0", "70.0"]


def test_the_print_alone():
    alone = load_inputs(REPOSITORY / "resources" / "published", TASKS, load_models())
    assert [heads[1] for heads in texts(alone)] == ["paper"] * 3
