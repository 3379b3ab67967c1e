"""Demonstrations: how many, which, and in whose words."""

import pytest
from asking import CLOSE, TASKS, TOKENIZER, ask_and_score, files, rows_of, spec_of, write_data
from scenes import scenes, scenes_spec, write_scenes
from tiny_models import RuleDecoder

from rl4nlu.answering.answer import Backbone
from rl4nlu.answering.few_shot import best_shots
from rl4nlu.base.errors import ConfigError
from rl4nlu.base.files import write_jsonl


@pytest.fixture
def data(tmp_path):
    return write_data(tmp_path / "data")


def test_few_shot_chooses_on_validation_and_followers_take_it_over(data, tmp_path):
    seen = []

    def rule(prompt):
        """Right only behind two demonstrations."""
        seen.append(prompt)
        shown = prompt.count("[ Prompt:")
        right = "Yes" if "good" in prompt.rpartition("Prompt:")[2] else "No"
        return f" {right if shown == 2 else 'Yes'} {CLOSE}"

    spec = spec_of("few-shot", ("rte", "superglue-rte"), prompting={"shots": [1, 2, 3], "demonstrations": "first"})
    ask_and_score(spec, data, None, tmp_path / "out", Backbone(TOKENIZER, RuleDecoder(TOKENIZER, rule)))
    for task in ("rte", "superglue-rte"):
        _, record = files(tmp_path / "out" / task)
        assert record["shots"] == 2
        assert record["shots_validation"]["2"] == 100.0 > record["shots_validation"]["1"]
        assert record["demonstrations"] == ["rte/train:0", "rte/train:1"]
        assert record["metrics"]["accuracy"]["value"] == 100.0
        assert record["dropped_demonstrations"] == 0
    # The follower is asked in its own words about its own field names.
    assert seen[-1].count(TASKS["superglue-rte"].query.partition("{")[0]) == 3


def test_responses_with_a_rationale_are_read_and_shown(data, tmp_path):
    """Few-shot demonstrations show the rationales of their own labels; the answer is read behind its opening tag."""
    reasons = [
        {"split": "train", "id": row.id, "label": row.label, "gold": True, "rationale": f"why {row.id}"}
        for row in rows_of("sst2", 9, "train")
    ]
    asked = []

    def rule(prompt):
        asked.append(prompt)
        return f"Negative words are in it. <Judgement> {'Positive' if 'good' in prompt.rpartition('Prompt:')[2] else 'Negative'} {CLOSE} x"

    over = Backbone(TOKENIZER, RuleDecoder(TOKENIZER, rule, "Assistant:\n"))
    settings = {"bootstrap": 0, "decoding": {"max_new_tokens": 80}}
    spec = spec_of("few-shot", protocol={"response": "rationale"}, prompting={"shots": [2]}, evaluation=settings)
    with pytest.raises(ConfigError, match="no rationales"):
        ask_and_score(spec, data, None, tmp_path / "out", over)
    write_jsonl(data / "sst2" / "rationales.jsonl", reasons)
    ask_and_score(spec, data, None, tmp_path / "out", over)
    predictions, record = files(tmp_path / "out" / "sst2")
    assert record["metrics"]["accuracy"]["value"] == 100
    assert record["response"] == "rationale"
    assert predictions[0]["text"].endswith(CLOSE)
    shown = record["demonstrations"]
    assert all(f"Assistant:\nwhy {row} <Judgement> " in asked[-1] for row in shown)
    assert asked[-1].endswith("\nAssistant:\n")


def test_the_fewest_of_equally_good_demonstrations_win():
    scores = {5: 0.7, 1: 0.5, 3: 0.7, 2: 0.1}
    best, all_scores = best_shots([5, 1, 3, 2, 3], scores.__getitem__)
    assert best == 3
    assert all_scores == scores


def test_shown_texts_end_at_a_blank_line_and_are_chosen_by_the_first_metric(tmp_path):
    task = scenes(metrics=["rouge-l", "perplexity"], supervised_on={"words": "dog run"})
    asked = []

    def rule(prompt):
        """Goes on with another prompt, as base models do; right only behind two demonstrations."""
        asked.append(prompt)
        words = prompt.rpartition("write of ")[2].removesuffix(" :").split()
        right = f" a {words[0]} can {words[1]} ." if prompt.count("write of") == 3 and len(words) == 2 else " no"
        return f"{right}\n\nwrite of"

    data = write_scenes(tmp_path / "data")
    spec = scenes_spec("few-shot", task, prompting={"shots": [1, 2], "demonstrations": "first"})
    ask_and_score(spec, data, None, tmp_path / "out", Backbone(TOKENIZER, RuleDecoder(TOKENIZER, rule, start=" :")))
    predictions, record = files(tmp_path / "out" / "scenes")
    assert record["shots"] == 2
    assert record["demonstrations"] == ["scenes/train:0", "scenes/train:9"]  # rows that SFT learns from
    assert record["metrics"]["rouge-l"]["value"] == 100.0
    assert {p["text"].count("write") for p in predictions} == {0}
    assert asked[-1].startswith("write of dog run : the dog runs at 0 .\n\nwrite of dog run :")
