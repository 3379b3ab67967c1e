"""Reward tables of paper 1, section 3.4, and that rewards and scores read answers alike."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scenes import scene_rows, scenes, scenes_spec, write_scenes

from rl4nlu.config import Model, Protocol, load_config, load_models
from rl4nlu.methods.rl.rewards import REWARD_TABLES, by_rules, distance, find_rules, label_match
from rl4nlu.methods.rl.rollout import Prompt, RollOut, is_right
from rl4nlu.runs.resolve import resolve
from rl4nlu.runs.spec import Address
from rl4nlu.tasks.reading import Reading, read_response
from rl4nlu.tasks.rows import Row
from rl4nlu.tasks.task import load_tasks
from rl4nlu.tasks.texts.cider import cider_d, read_corpus
from rl4nlu.tasks.texts.overlap import rouge

TASKS = load_tasks()
PAPER, RELEASED = Protocol(reward_table="paper"), Protocol(reward_table="released")


def row(label: str | float | None) -> Row:
    return Row(id="x", fields={}, label=label, group=None, answers=None, derivation=None)


def rule(name: str, protocol: Protocol):
    """The task's own rule."""
    return distance(TASKS[name]) if TASKS[name].reward == "distance" else label_match(TASKS[name], protocol)


def judge(task: str, texts: list[str], labels: list, protocol: Protocol) -> list[float]:
    """The task's rewards of a batch of answers."""
    readings = [read_response(TASKS[task], text, response=protocol.response) for text in texts]
    return rule(task, protocol)([row(label) for label in labels], texts, readings)


def reward(task: str, text: str, label: str | float, protocol: Protocol = RELEASED) -> float:
    return judge(task, [text], [label], protocol)[0]


# task, completion, gold, released reward, reward of the paper's text
TABLE = [
    ("cola", " Yes </Judgement>", "1", 1, 1),
    ("cola", " Yes </Judgement>", "0", -1, 0),
    ("cola", " Yes or No </Judgement>", "1", -3, -1),
    ("cola", " Yes", "1", -3, -1),
    ("cola", "", "1", -3, -1),
    ("cola", " </Judgement> Yes", "1", -3, -1),
    ("sst2", " Negative </Judgement>", "0", 1, 1),
    ("sst2", " No </Judgement>", "0", -3, -1),
    ("copa", " Option two </Judgement>", "1", 1, 1),
    ("copa", " Option one </Judgement>", "1", -1, 0),
    ("multirc", " True </Judgement>", "1", 1, 1),
    ("multirc", " False </Judgement>", "1", -1, 0),
    ("multirc", " Yes </Judgement>", "1", -3, -1),
    ("record", " No </Judgement>", "1", -1, 0),
    # the release takes a closed answer without yes or no for a wrong one, on ReCoRD alone
    ("record", " maybe </Judgement>", "1", -1, -1),
    ("record", " </Judgement>", "1", -1, -1),
    ("record", " yes </Judgement>", "1", -3, -1),
    ("record", " I know </Judgement>", "1", -3, -1),
    ("record", " Yes No </Judgement>", "1", -3, -1),
    ("record", " maybe", "1", -3, -1),
    # 2.5 - |predicted - gold| in both tables
    ("stsb", " 3.8 </Judgement>", 3.8, 2.5, 2.5),
    ("stsb", " 1.0 </Judgement>", 3.5, 0.0, 0.0),
    ("stsb", " 5 </Judgement>", 0.0, -2.5, -2.5),
    ("stsb", " 9.0 </Judgement>", 0.0, -6.5, -6.5),
    ("stsb", " high </Judgement>", 5.0, -2.5, -2.5),
    ("stsb", " 3.8", 3.8, -2.5, -2.5),
]


@pytest.mark.parametrize(("task", "text", "gold", "released", "paper"), TABLE)
def test_reward_tables(task, text, gold, released, paper):
    assert reward(task, text, gold, RELEASED) == pytest.approx(released)
    assert reward(task, text, gold, PAPER) == pytest.approx(paper)


@given(
    st.sampled_from([name for name, task in TASKS.items() if task.labels and name != "record"]),
    st.text(alphabet=st.sampled_from("YesNo TrueFalse</Judgement>entailmentneutral"), max_size=30),
    st.booleans(),
    st.data(),
)
def test_reward_agrees_with_the_parser(name, text, closed, data):
    task = TASKS[name]
    gold = data.draw(st.sampled_from(list(task.labels)))
    text += data.draw(st.sampled_from(["", *task.labels.values()])) + ("</Judgement>" if closed else "")
    answer = read_response(task, text).label
    expected = -3 if answer is None else 1 if answer == gold else -1
    assert reward(name, text, gold) == expected


def test_every_label_word_is_rewarded():
    for task in TASKS.values():
        for label, word in task.labels.items():
            assert reward(task.name, f" {word} </Judgement>", label) == 1


def test_a_missing_label_is_not_passed_over():
    with pytest.raises(ValueError, match="row x has no label"):
        judge("stsb", ["1.0 </Judgement>", "2.0 </Judgement>"], [None, 1.0], RELEASED)


def test_batch_is_judged_by_its_own_tasks():
    texts = [" Yes </Judgement>", " 4.5 </Judgement>", " Positive </Judgement>", "?"]
    names, labels = ["cola", "stsb", "sst2", "cola"], ["1", 4.0, "0", "0"]
    batch = [Prompt(TASKS[name], row(label), [1]) for name, label in zip(names, labels, strict=True)]
    readings = [read_response(prompt.task, text) for prompt, text in zip(batch, texts, strict=True)]
    answers = RollOut(batch, [[0], [1], [2], [3]], texts, readings)
    found = by_rules({name: rule(name, RELEASED) for name in names})(answers)
    assert found.scores == [1.0, 2.0, -1.0, -3.0]
    assert found.reward == -0.25
    assert answers.right == [True, True, False, False]
    assert answers.unreadable == 0.25


def test_a_rule_is_given_the_answers_of_its_task_at_once():
    seen = []

    def rule(rows, texts, readings):
        seen.append((texts, [reading.label for reading in readings]))
        return [float(row.id) for row in rows]

    labels = {"a": "cola", "b": "sst2", "c": "cola"}
    batch = [Prompt(TASKS[name], Row(str(n), {}, "1"), [1]) for n, name in enumerate(labels.values())]
    read = [Reading("", letter, None) for letter in labels]
    found = by_rules({"cola": rule, "sst2": rule})(RollOut(batch, [[0]] * 3, list("xyz"), read))
    assert found.scores == [0, 1, 2]
    assert seen == [(["x", "z"], ["a", "c"]), (["y"], ["b"])]


def test_near_numbers_count_as_right_in_learning_curves():
    assert is_right(TASKS["stsb"], 3.5, row(3.0))
    assert not is_right(TASKS["stsb"], 3.6, row(3.0))
    assert not is_right(TASKS["stsb"], None, row(3.0))
    assert not is_right(TASKS["cola"], "1", row(None))


@pytest.mark.parametrize("table", ["released", "paper"])
def test_rewards_read_the_label_behind_a_rationale(table: str) -> None:
    protocol = Protocol(reward_table=table, response="rationale")
    right, wrong, invalid = REWARD_TABLES[table]
    texts = [
        "No. <Judgement> Yes </Judgement>",
        "Yes. <Judgement> No </Judgement>",
        "Yes. </Judgement>",
        "<Judgement> Yes",
    ]
    assert judge("mrpc", texts, ["1"] * 4, protocol) == [right, wrong, invalid, invalid]
    numbers = ["0.0 <Judgement> 4.0 </Judgement>", "4.0 </Judgement>"]
    assert judge("stsb", numbers, [4.5] * 2, protocol) == [2.0, -2.5]


def reward_texts(task, data, texts, **config):
    """The rewards of texts as answers to the task's first rows."""
    rows = scene_rows(len(texts))
    rule = find_rules(scenes_spec("ppo", task, **config), data)["scenes"]
    return rule(rows, texts, [read_response(task, text) for text in texts])


TEXTS = [" a dog can run .", " cats", "", " the horse runs at 2 ."]


def test_texts_are_rewarded_by_what_they_share_with_references(tmp_path):
    data, rows = write_scenes(tmp_path), scene_rows(4)
    texts = [text.strip() for text in TEXTS]
    found = reward_texts(scenes(reward="overlap"), data, TEXTS)
    assert found == [rouge("rouge-l", text, row.answers) for text, row in zip(texts, rows, strict=True)]
    assert (found[0], found[2]) == (1, 0)
    corpus = read_corpus(row.answers for row in scene_rows(12, "train"))
    found = reward_texts(scenes(reward="coverage-cider"), data, TEXTS)
    own = [cider_d(text, row.answers, corpus) for text, row in zip(texts, rows, strict=True)]
    assert [a - b for a, b in zip(found, own, strict=True)] == pytest.approx([1, 0.5, 0, 0])
    assert found[2] == 0


def test_texts_are_rewarded_by_a_judge_and_an_empty_one_by_the_least(tmp_path):
    task = scenes(reward="judge", judge={"title": "Mood", "text_a": "{answer}"})
    found = reward_texts(
        task, write_scenes(tmp_path), [" a wonderful dog", " a terrible dog", " "], judges={"scenes": "vader"}
    )
    assert found[0] > 0.7 > 0.3 > found[1] > found[2] == 0


@pytest.mark.parametrize(("reads", "words"), [("prompt", 200), ("window", 64)])
def test_a_judge_reads_the_whole_prompt_or_what_the_policy_read_of_it(monkeypatch, tmp_path, reads, words):
    """IMDB's release rewards what follows the last 64 tokens of a prompt, and measures what follows all of it."""
    read = []

    class Listener:
        def scores(self, task, rows, prompts, texts):
            read.extend(prompts)
            return [0.5] * len(texts)

    monkeypatch.setattr("rl4nlu.models.judge.load_judge", lambda model: Listener())
    config = load_config({"rlgf": {"reward_reads": reads}, "judges": {"scenes": "mood"}})
    models = {"micro-llama": load_models()["micro-llama"], "mood": Model(kind="classifier", path="vader")}
    task = scenes(query="{words}", reward="judge", most_prompt_tokens=64, keep="end")
    spec = resolve(config, models, {"scenes": task}, Address("micro-llama", "ppo++", "scenes", "main", 0))
    text = " ".join(["the film was good"] * 50)
    found = find_rules(spec, tmp_path)["scenes"](
        [Row("x", {"words": text}, None)], ["fine"], [Reading("", "fine", None)]
    )
    assert found == [0.5]
    assert text.endswith(read[0])
    assert words // 2 < len(read[0].split()) <= words
    assert (read[0] == text) == (reads == "prompt")
