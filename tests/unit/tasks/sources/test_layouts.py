"""One schema for the rows of every source: nested records unfolded, columns found, labels made canonical."""

import pytest

from rl4nlu.base.errors import ConfigError
from rl4nlu.tasks.parts.columns import Columns
from rl4nlu.tasks.sources import hub
from rl4nlu.tasks.sources.layouts import Malformed, Raw, SourceSplit, label_of, pick, to_rows
from rl4nlu.tasks.task import Task, load_tasks

TASKS = load_tasks()


def reading(task_name: str, values: list, **columns) -> SourceSplit:
    return SourceSplit([Raw(f"f:{i + 1}", v) for i, v in enumerate(values)], Columns(**columns))


NEWS = "Ann met Bob in Rome. Bob left."
RECORD = {
    "passage": {
        "text": NEWS + "\n@highlight\nCid is here",
        "entities": [{"start": 0, "end": 2}, {"start": 8, "end": 10}, {"start": 15, "end": 18}, {"start": 21, "end": 23}],
    },
    "qas": [
        {"query": "@placeholder left with @placeholder.", "answers": [{"start": 8, "end": 10, "text": "Bob"}, {"start": 21, "end": 23, "text": "Bob"}]},
        {"query": "Ann saw @placeholder.", "answers": [{"start": 15, "end": 18, "text": "Rome"}]},
    ],
}  # fmt: skip


def test_record_unfolds_into_distinct_candidates_and_ends_at_the_first_highlight() -> None:
    rows, _ = to_rows(TASKS["record"], reading("record", [RECORD]))
    assert [(r.fields["candidate"], r.label) for r in rows[:3]] == [("Ann", "0"), ("Bob", "1"), ("Rome", "0")]
    assert [r.fields["query"] for r in rows] == [
        "Ann left with Ann.", "Bob left with Bob.", "Rome left with Rome.", "Ann saw Ann.", "Ann saw Bob.", "Ann saw Rome."
    ]  # fmt: skip
    assert {r.fields["passage"] for r in rows} == {NEWS}
    assert [r.group for r in rows] == ["f:1#0"] * 3 + ["f:1#1"] * 3
    assert rows[0].answers == ["Bob"]
    assert len({r.id for r in rows}) == 6


def test_multirc_unfolds_into_answers_grouped_by_question() -> None:
    nested = {
        "passage": {
            "text": "A story.",
            "questions": [
                {
                    "question": "Who?",
                    "idx": 0,
                    "answers": [{"text": "Ann", "label": 1, "idx": 0}, {"text": "", "label": 0, "idx": 1}],
                },
                {"question": "Where?", "idx": 1, "answers": [{"text": "Rome", "label": 0, "idx": 2}]},
            ],
        }
    }
    rows, dropped = to_rows(TASKS["multirc"], reading("multirc", [nested]))
    assert [(r.group, r.fields["question"], r.fields["answer"], r.label) for r in rows] == [
        ("f:1#0", "Who?", "Ann", "1"), ("f:1#0", "Who?", "", "0"), ("f:1#1", "Where?", "Rome", "0")
    ]  # fmt: skip
    assert dropped == []


def test_axg_pairs_are_neighbours_and_a_gap_is_noticed() -> None:
    values = [
        {"premise": f"p{i}", "hypothesis": f"h{i // 2}", "label": "entailment", "pair_id": 100 + 2 * i}
        for i in range(4)
    ]
    rows, _ = to_rows(TASKS["axg"], reading("axg", values))
    assert [r.group for r in rows] == ["pair 0", "pair 0", "pair 1", "pair 1"]
    with pytest.raises(ConfigError, match="f:1 and f:2 stand together but are no pair"):
        to_rows(TASKS["axg"], reading("axg", values[1:]))


def test_wsc_takes_its_spans_from_the_nested_target() -> None:
    columns = TASKS["wsc"].sources.local
    raw = {"text": "Ann met Bo and she ran.", "target": {"span1_text": "Ann", "span2_text": "she"}, "label": True}
    rows, _ = to_rows(TASKS["wsc"], SourceSplit([Raw("f:1", raw)], columns))
    assert rows[0].fields == {"text": raw["text"], "span1_text": "Ann", "span2_text": "she"}
    assert rows[0].label == "true"


def test_columns_are_found_by_name_position_and_path() -> None:
    assert pick({"a.b": 1, "a": {"b": 2}}, "a.b") == 1
    assert pick({"a": {"b": 2}}, "a.b") == 2
    assert pick(["x", "y"], 1) == pick({"k": "x", "l": "y"}, 1) == "y"
    for values, key in (({"a": 1}, "b"), (["x"], 1), (["x"], "a"), ({"a": 1}, "a.b")):
        with pytest.raises(Malformed):
            pick(values, key)


def test_labels_of_all_forms_become_canonical() -> None:
    assert [label_of(TASKS["boolq"], Columns(), v) for v in (True, "false")] == ["true", "false"]
    assert [label_of(TASKS["cola"], Columns(), v) for v in (1, "0", " 1 ")] == ["1", "0", "1"]
    assert label_of(TASKS["stsb"], Columns(), "3.800") == 3.8
    for task, value in (
        ("cola", -1),
        ("cola", None),
        ("stsb", "5.1"),
        ("stsb", "nan"),
        ("stsb", "x"),
        ("boolq", "yes"),
    ):
        with pytest.raises(Malformed):
            label_of(TASKS[task], Columns(), value)


@pytest.mark.parametrize(
    ("score", "label"),
    [
        ("0", "0"),
        ("0.49", "0"),
        ("0.5", "1"),
        ("1.5", "2"),
        (2.4, "2"),
        ("2.500", "3"),
        ("4.499", "4"),
        (4.5, "5"),
        ("5.000", "5"),
    ],
)
def test_scores_become_classes_by_their_bins(score, label: str) -> None:
    task = TASKS["rllr-stsb"]
    assert label_of(task, task.sources.local, score) == label
    for wrong in ("-0.1", "high", "nan"):
        with pytest.raises(Malformed, match="is no number from 0"):
            label_of(task, task.sources.local, wrong)


def test_the_hubs_flat_multirc_and_record_rows_equal_the_nested_ones() -> None:
    flat = {
        "passage": RECORD["passage"]["text"], "query": RECORD["qas"][0]["query"], "entities": ["Ann", "Bob", "Rome"],
        "entity_spans": {"text": ["Ann"], "start": [0], "end": [3]}, "answers": ["Bob"], "idx": {"passage": 0, "query": 0},
    }  # fmt: skip
    import datasets

    rows = datasets.Dataset.from_list([flat])
    converted = hub.convert(TASKS["record"], TASKS["record"].sources.hub, rows, "r")
    made, _ = to_rows(TASKS["record"], converted)
    nested, _ = to_rows(TASKS["record"], reading("record", [RECORD]))
    assert [(r.fields, r.label, r.answers) for r in made] == [(r.fields, r.label, r.answers) for r in nested[:3]]
    answers = [
        {
            "paragraph": "P",
            "question": q,
            "answer": a,
            "label": n,
            "idx": {"paragraph": 0, "question": ord(q), "answer": n},
        }
        for q, a, n in [("x", "a", 0), ("x", "b", 1), ("y", "c", 1)]
    ]
    made, _ = to_rows(
        TASKS["multirc"],
        hub.convert(TASKS["multirc"], TASKS["multirc"].sources.hub, datasets.Dataset.from_list(answers), "m"),
    )
    assert [(r.fields["answer"], r.label) for r in made] == [("a", "0"), ("b", "1"), ("c", "1")]
    assert made[0].group == made[1].group != made[2].group


TEXT = Task(
    title="Text", description="", query="{text}", fields=["text"], answer="text", most_tokens=8, reward="overlap",
    metrics=["rouge-l"], sources={"microworld": {}},
)  # fmt: skip


def test_texts_have_references_in_place_of_a_label() -> None:
    values = [{"text": "a", "label": " b "}, {"text": "c", "label": ["d", "e", "d"]}]
    rows, dropped = to_rows(TEXT, reading("text", values))
    assert [(row.label, row.answers) for row in rows] == [(None, ["b"]), (None, ["d", "e"])]
    assert dropped == []


@pytest.mark.parametrize("label", ["", " ", None, [], ["a", ""]])
def test_a_text_with_an_empty_reference_is_dropped_and_counted(label) -> None:
    values = [{"text": "a", "label": "b"}, {"text": "c", "label": label}]
    rows, dropped = to_rows(TEXT, reading("text", values, most_dropped=0.5))
    assert [row.answers for row in rows] == [["b"]]
    assert [(line["where"], "reference" in line["reason"]) for line in dropped] == [("f:2", True)]


def test_rows_that_ask_the_same_are_one_with_the_references_of_all() -> None:
    values = [{"text": text, "label": said} for text, said in (("a", "x"), ("b", "y"), ("a", "z"), ("a", "x"))]
    rows, _ = to_rows(TEXT, reading("text", values))
    assert [(row.id, row.fields["text"], row.answers) for row in rows] == [
        ("f:1", "a", ["x", "z"]), ("f:2", "b", ["y"])
    ]  # fmt: skip
    labelled = TASKS["cola"].model_copy(update={"fields": ["text"]})
    assert len(to_rows(labelled, reading("cola", [{"text": "a", "label": 1}] * 2))[0]) == 2


def test_fields_are_rewritten_and_lists_of_words_become_texts() -> None:
    rewrite = {"text": {r"_[A-Z]\b": "", "#": " "}}
    values = [{"text": "field_N#look_V#stand_V", "label": "x"}, {"text": ["ski", "mountain"], "label": "y"}]
    rows, dropped = to_rows(TEXT, reading("text", [*values, {"text": "#", "label": "z"}], rewrite=rewrite, most_dropped=0.5))  # fmt: skip
    assert [row.fields["text"] for row in rows] == ["field look stand", "ski mountain"]
    assert [line["reason"] for line in dropped] == ["text is empty"]


def test_a_continued_text_is_cut_at_half_of_its_words() -> None:
    task = TEXT.model_copy(update={"layout": "continuation", "fields": ["text", "kind"]})
    values = [{"whole": " one  two\nthree four five ", "kind": 1}, {"whole": "one", "kind": 0}]
    found = reading("text", values, label="whole", most_dropped=0.5)
    rows, dropped = to_rows(task, found)
    assert [(row.fields, row.label, row.answers) for row in rows] == [
        ({"text": "one two", "kind": "1"}, None, ["three four five"])
    ]
    assert [line["reason"] for line in dropped] == ["text is one word and cannot be cut in two"]
