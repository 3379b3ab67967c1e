"""Pairs: what is a pair, which replies are paired, how they are judged, and one message for every kind of bad input."""

import random
from collections import Counter
from dataclasses import asdict, replace

import pytest
from questions import SST2, TASKS, answer, question

from rl4nlu.base.errors import ConfigError
from rl4nlu.base.files import REPOSITORY, read_json, read_jsonl, write_jsonl
from rl4nlu.config import Model, Pairs, load_config
from rl4nlu.methods.replies import Reply
from rl4nlu.methods.rllr import pairs as stage
from rl4nlu.methods.rllr.judge import judge
from rl4nlu.methods.rllr.pairs import (
    Pair,
    choose_questions,
    drop_repeated,
    equalise,
    find_extremes,
    make_questions,
    pair_labels,
    pair_own_errors,
    pair_replies,
    pair_supplied,
    pair_swapped,
    pair_ungrounded,
    read_pairs,
    statistics,
)
from rl4nlu.rationales import overlap
from rl4nlu.runs.resolve import resolve
from rl4nlu.runs.spec import Address
from rl4nlu.tasks.rows import Row


def spec_of(**settings):
    models = {"tiny": Model(kind="decoder", path="resources/micro/micro-llama")}
    return resolve(load_config({"pairs": settings}), models, TASKS, Address("tiny", "pairs", "sst2", "main", 0))


GOOD = Pair("sst2", "r", "p", answer("it is good", "Positive"), answer("it is bad", "Negative"), "label")


# ------------------------------------------------------------------------------------------ what is a pair


def test_pairs_are_read_back_as_they_were_written(tmp_path):
    write_jsonl(tmp_path / "p.jsonl", [asdict(GOOD)])
    assert read_pairs(tmp_path / "p.jsonl", [SST2]) == [GOOD]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rejected": GOOD.chosen}, r"line 2 \(task sst2, row r\): chosen and rejected are equal"),
        ({"chosen": answer("", "Positive")}, r"line 2 .*: chosen has an empty rationale"),
        (
            {"rejected": answer("why", "Neutral")},
            r"rejected has a fault \(no label\): 'why <Judgement> Neutral </Judgement>'; label words: Positive, Negative",
        ),
        ({"rejected": "why <Judgement> Negative"}, r"rejected has a fault \(no closing tag\)"),
        ({"rejected": "why not"}, r"rejected has a fault \(no opening tag\)"),
        ({"task": "sst3"}, r"unknown task - did you mean 'sst2'"),
        ({"colour": "red"}, r"line 2: is no pair: .*colour"),
    ],
)
def test_a_faulty_pair_is_one_message(tmp_path, changes, message):
    write_jsonl(tmp_path / "p.jsonl", [asdict(GOOD), asdict(GOOD) | changes])
    with pytest.raises(ConfigError, match=message):
        read_pairs(tmp_path / "p.jsonl", [SST2])


def rationale_file(tmp_path, lines):
    write_jsonl(tmp_path / "sst2" / "train.jsonl", [Row("r", {"sentence": "x"}, "1").stored()])
    write_jsonl(
        tmp_path / "sst2" / "rationales.jsonl", [{"split": "train", "id": "r", "gold": True} | line for line in lines]
    )


def test_supplied_pairs_set_the_gold_answer_against_every_wrong_one(tmp_path):
    rationale_file(tmp_path, [{"label": "1", "rationale": "it is good"}, {"label": "0", "rationale": "it is bad"}])
    (found,) = pair_supplied(make_questions(spec_of(), tmp_path, "train"))
    assert (found.chosen, found.rejected) == (answer("it is good", "Positive"), answer("it is bad", "Negative"))
    assert found.prompt.endswith("Assistant:\n")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([{"label": "1", "rationale": " "}], r"rationales\.jsonl: row r \(train\): .*rationale for label '1' is empty"),
        ([{"label": "9", "rationale": "why"}], r"row r \(train\): task sst2: '9' is no label; known are 1, 0"),
        ([{"label": "0", "rationale": "why"}], r"no train row has a rationale for its label"),
    ],
)
def test_a_faulty_rationale_is_one_message(tmp_path, lines, message):
    rationale_file(tmp_path, lines)
    with pytest.raises(ConfigError, match=message):
        make_questions(spec_of(), tmp_path, "train")


# ------------------------------------------------------------------------------------------ judgement


def test_overlap_by_hand():
    assert overlap("a b c", "a b c") == 1
    assert overlap("a a b", "a c") == pytest.approx(2 * 1 / 5)  # one of three, one of two
    assert overlap("x", "y") == 0
    assert overlap("", "y") == 0


def test_the_judge_reads_rationales_and_leaves_out_unreadable_replies():
    replies = [[Reply("", "it is good in r", "1"), Reply("", "bad", "0"), Reply("", "good", None), Reply("", "", "1")]]
    (found,) = judge(spec_of(), [question()], replies)
    assert [(r.label, r.score) for r in found] == [("1", 1.0), ("0", 0.0)]


def test_a_likelihood_judge_prefers_what_its_model_would_say():
    replies = [[Reply("", "the film is good", "1"), Reply("", "zq7 xx %% zq7", "1")]]
    spec = spec_of(judge="likelihood", judge_model="micro-llama")
    (found,) = judge(spec, [question()], replies)
    assert found[0].score > found[1].score
    with pytest.raises(
        ConfigError, match=r"pairs\.judge_model: 'micro-lama' is no decoder - did you mean 'micro-llama'"
    ):
        judge(spec_of(judge="likelihood", judge_model="micro-lama"), [question()], replies)


@pytest.mark.parametrize("settings", [{"judge": "likelihood"}, {"judge": "overlap", "judge_model": "micro-llama"}])
def test_a_judge_without_its_model_is_refused(settings):
    with pytest.raises(ConfigError, match="judge likelihood needs judge_model"):
        spec_of(**settings)


# ------------------------------------------------------------------------------------------ sampled pairs


def reply(rationale, label, score):
    word = SST2.labels.get(label, "?")
    return Reply(answer(rationale, word), rationale, label, score)


ROW = [reply("a", "0", 0.9), reply("b", "1", 0.1), reply("c", "1", 0.8), reply("d", "1", 0.5), reply("e", "0", 0.1)]
"""Replies by their letters: of label 1, c before d before b; of label 0, a before e; b and e are ranked alike."""


@pytest.mark.parametrize(
    ("mix", "pairing", "expected"),
    [
        ("any-label", "every", {"ac": "l", "ad": "l", "ab": "l", "ae": "r", "cd": "r", "cb": "r", "ce": "l", "db": "r", "de": "l"}),
        ("same-label", "every", {"ae": "r", "cd": "r", "cb": "r", "db": "r"}),
        ("any-label", "extremes", {"ab": "l"}),
        ("same-label", "extremes", {"cb": "r"}),  # of the commonest label
    ],
)  # fmt: skip
def test_the_pairs_of_ranked_replies_by_mix_and_pairing(mix, pairing, expected):
    found = pair_replies([question()], [ROW], Pairs(mix=mix, pairing=pairing))
    assert {p.chosen[0] + p.rejected[0]: p.kind[0] for p in found} == expected
    assert len(found) == len(expected)
    assert {(p.origin, p.prompt, p.row) for p in found} == {("policy", "prompt", "r")}


@pytest.mark.parametrize("mix", ["any-label", "same-label"])
@pytest.mark.parametrize("pairing", ["every", "extremes"])
def test_replies_that_are_ranked_alike_are_no_pair(mix, pairing):
    settings = Pairs(mix=mix, pairing=pairing)
    assert pair_replies([question()], [[reply("a", "1", 0.5), reply("b", "1", 0.5)]], settings) == []
    assert pair_replies([question()], [[]], settings) == []
    assert find_extremes([]) is None


def test_the_same_prompt_with_the_same_two_texts_is_one_pair():
    other_row, turned = replace(GOOD, row="s"), replace(GOOD, chosen=GOOD.rejected, rejected=GOOD.chosen)
    other_prompt, other_text = replace(GOOD, prompt="q"), replace(GOOD, rejected=answer("it is poor", "Negative"))
    assert drop_repeated([GOOD, other_prompt, other_row, turned, other_text, GOOD]) == [GOOD, other_prompt, other_text]


def test_both_models_learn_from_the_smaller_number_of_pairs_in_every_task():
    def pairs(kind, **sizes):
        return [replace(GOOD, task=task, row=f"{n}", kind=kind) for task, size in sizes.items() for n in range(size)]

    label, rationale = pairs("label", a=9, b=2, c=3), pairs("rationale", a=4, b=5, d=1)
    kept = equalise(label, rationale, random.Random(0))
    assert [Counter(pair.task for pair in pairs) for pairs in kept] == [{"a": 4, "b": 2}] * 2
    assert [pair.kind for pairs in kept for pair in pairs] == ["label"] * 6 + ["rationale"] * 6
    for pairs, came in zip(kept, (label, rationale), strict=True):
        places = [came.index(pair) for pair in pairs]
        assert places == sorted(set(places))  # each once, in the order in which they came
    again = equalise(label, rationale, random.Random(1))
    assert again != kept  # which ones is drawn


def test_policy_negatives_are_the_models_own_errors():
    chance = random.Random(0)
    row = [reply("a", "0", 0.9), reply("b", "1", 0.1)]
    (found,) = pair_own_errors([question()], [row], chance)
    assert (found.chosen, found.rejected, found.origin) == (row[1].text, row[0].text, "policy")
    (found,) = pair_own_errors([question()], [row[:1]], chance)
    assert found.chosen == question().gold
    assert pair_own_errors([question()], [row[1:]], chance) == []


def test_swapped_and_ungrounded_negatives_by_hand():
    chance = random.Random(0)
    (found,) = pair_swapped([question()], spec_of().protocol, chance)
    assert found.rejected == answer("it is good in r", "Negative")
    both = [question("r"), question("s"), question("t", label="0")]
    found = pair_ungrounded(both, chance)
    assert [(p.row, p.rejected) for p in found] == [("r", both[1].gold), ("s", both[0].gold)]


def test_questions_are_drawn_in_equal_shares():
    asked = [question(str(n)) for n in range(9)]
    other = [replace(q, task=TASKS["mrpc"]) for q in asked[:3]]
    found = choose_questions(asked + other, [SST2, TASKS["mrpc"]], 6, 0)
    assert [sum(q.task.name == name for q in found) for name in ("sst2", "mrpc")] == [3, 3]
    assert len(choose_questions(asked, [SST2], 99, 0)) == 9


def test_the_share_of_same_pair_labels_by_hand():
    rows = [
        [reply("a", "1", 0.9), reply("b", "1", 0.1), reply("c", "0", 0.5)],  # best and worst agree
        [reply("a", "1", 0.9), reply("b", "0", 0.1)],
        [reply("a", "1", 0.5), reply("b", "0", 0.5)],  # no best
        [reply("a", None, 0.0)],
    ]
    judged = [[r for r in row if r.label] for row in rows]
    found = statistics([question()] * 4, rows, judged)
    assert (found["rows"], found["replies"], found["ranked_pairs"], found["same_label"]) == (4, 8, 2, 0.5)
    assert (found["right"], found["unreadable"]) == (0.5, 0.125)


def test_the_negatives_that_config_names_and_no_others():
    asked = [question("r"), question("s")]
    judged = [[reply("a", "0", 0.9)], []]

    def origins(*wanted):
        return [p.origin for p in pair_labels(wanted, asked, asked, judged, spec_of().protocol, random.Random(0))]

    assert origins("supplied") == ["supplied"] * 2
    assert origins("policy", "swapped") == ["policy", "swapped", "swapped"]
    assert origins("ungrounded") == ["ungrounded"] * 2


# ------------------------------------------------------------------------------------------ the whole stage


@pytest.fixture
def make_pairs(tmp_path, monkeypatch):
    """Runs the stage on eight rows a split with rationales for both labels; each of four replies is given to every row it asks."""
    (tmp_path / "merged").mkdir()
    (tmp_path / "merged" / "model").symlink_to(REPOSITORY / "resources" / "micro" / "micro-llama")
    told = []
    for split in ("train", "validation"):
        rows = [Row(f"{split}{n}", {"sentence": f"{split} film {n}"}, "1") for n in range(8)]
        write_jsonl(tmp_path / "data" / "sst2" / f"{split}.jsonl", [row.stored() for row in rows])
        for row in rows:
            told += [
                {"split": split, "id": row.id, "gold": label == "1", "label": label, "rationale": f"it is {word}"}
                for label, word in (("1", "good"), ("0", "bad"))
            ]
    write_jsonl(tmp_path / "data" / "sst2" / "rationales.jsonl", told)
    # the judge likes the words of "it is good": all three, two, two, none; the first reply is given twice
    said = [
        reply(text, label, 0.0) for text, label in (("it is good", "1"), ("it is", "1"), ("it is it", "0"), ("no", "0"))
    ]
    monkeypatch.setattr(
        stage, "sample_replies", lambda spec, model, tokenizer, asked, seed: [said + said[:1] for _ in asked]
    )

    def make(**settings):
        facts = stage.train(
            spec_of(**{"prompts": 3, "validation_prompts": 2} | settings),
            tmp_path / "data",
            tmp_path / "out",
            {"backbone": tmp_path / "merged"},
        )
        assert read_json(tmp_path / "out" / "statistics.json") == {
            split: facts[split] for split in ("train", "validation")
        }
        names = ("label.train", "rationale.train", "label.validation", "rationale.validation")
        return facts, {
            name: [Pair(**line) for line in read_jsonl(tmp_path / "out" / f"{name}.jsonl")] for name in names
        }

    return make


@pytest.mark.parametrize(
    ("mix", "kinds"), [("any-label", {"rationale": 2, "label": 4}), ("same-label", {"rationale": 2})]
)
def test_both_files_hold_equally_many_pairs_none_twice_and_statistics_say_so(make_pairs, mix, kinds):
    facts, files = make_pairs(mix=mix)
    came = 3 * sum(kinds.values())  # three rows are asked, and eight have a supplied pair
    kept = min(came, 8)
    assert (len(files["label.train"]), len(files["rationale.train"])) == (kept, kept)
    for pairs in files.values():
        assert len({(p.prompt, frozenset((p.chosen, p.rejected))) for p in pairs}) == len(pairs)
    found = facts["train"]["pairs"]
    assert found["label"] == {
        "at_hand": 8, "repeated": 0, "kept": kept, "kinds": {"label": kept}, "origins": {"supplied": kept},
    }  # fmt: skip
    assert (found["rationale"]["at_hand"], found["rationale"]["kept"]) == (came, kept)
    assert found["rationale"]["repeated"] == 3 * (
        3 if mix == "any-label" else 1
    )  # those of the reply that is there twice
    assert Counter(p.kind for p in files["rationale.train"]) == Counter(found["rationale"]["kinds"])
    held = facts["validation"]["pairs"]
    assert (held["label"]["kept"], held["rationale"]["kept"]) == (8 + 2, 2 * sum(kinds.values()))  # with the own errors
    assert held["rationale"]["kinds"] == {kind: 2 * n for kind, n in kinds.items()}


def test_unequal_numbers_are_all_that_came_out(make_pairs):
    facts, files = make_pairs(equal_numbers=False)
    assert (len(files["label.train"]), len(files["rationale.train"])) == (8, 18)
    assert {name: counts["kept"] for name, counts in facts["train"]["pairs"].items()} == {"label": 8, "rationale": 18}


def test_no_pair_of_a_file_is_one_message(make_pairs, monkeypatch):
    monkeypatch.setattr(
        stage, "sample_replies", lambda *arguments: [[reply("it is", "1", 0.0)] * 2] * len(arguments[3])
    )
    with pytest.raises(
        ConfigError, match=r"no train pair for the (label|rationale) model came out of 8 rows and 3 x 4 replies"
    ):
        make_pairs()
