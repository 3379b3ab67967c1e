"""The one parser: official edge cases in a table, and properties that hold for any text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scenes import scenes

from rl4nlu.tasks.reading import Reading, read_response
from rl4nlu.tasks.task import load_tasks

TASKS = load_tasks()
CLOSED = " </Judgement>"

# Official edge cases: task, text after the opened tag, strict (reward and score), lenient (the release's test parser).
EDGE_CASES = [
    ("stsb", "3/5" + CLOSED, 3.0, 3.0),
    ("stsb", "4." + CLOSED, 4.0, 4.0),
    ("stsb", "-1" + CLOSED, -1.0, 0.0),
    ("stsb", "7.5" + CLOSED, 7.5, 5.0),
    ("stsb", "1e3" + CLOSED, None, None),
    ("stsb", "1.5e0" + CLOSED, 1.5, 1.5),
    ("stsb", "4points" + CLOSED, None, None),
    ("stsb", "Five" + CLOSED, None, None),
    ("stsb", "5 (very similar, 0.9)" + CLOSED, 0.9, 0.9),
    ("stsb", "about 4 or 5" + CLOSED, 4.0, 4.0),
    ("stsb", "1.0e999" + CLOSED, None, None),
    ("stsb", "3.8", None, 3.8),
    ("stsb", "", None, None),
    ("stsb", CLOSED, None, None),
    ("cola", " Yes" + CLOSED, "1", "1"),
    ("cola", " No" + CLOSED, "0", "0"),
    ("cola", "Yes and No" + CLOSED, None, "1"),
    ("cola", "I do not know" + CLOSED, None, "0"),
    ("cola", "Now" + CLOSED, None, "0"),
    ("cola", "yes" + CLOSED, None, "1"),
    ("cola", "Yes.\nNo? " + CLOSED, None, "1"),
    ("cola", "" + CLOSED, None, None),
    ("cola", "", None, None),
    ("cola", "Yes", None, "1"),
    ("cola", "Yes </judgement>", None, "1"),
    ("cola", "Yes </Judgement> No </Judgement>", "1", "1"),
    ("sst2", "Positive" + CLOSED, "1", "1"),
    ("sst2", "Positive or Negative" + CLOSED, None, "1"),
    ("sst2", "negative" + CLOSED, None, None),
    ("sst2", "No" + CLOSED, None, None),
    ("mnli", "Entailment" + CLOSED, "entailment", "entailment"),
    ("mnli", "neutral" + CLOSED, "neutral", "neutral"),
    ("mnli", "Contradiction, not Neutral" + CLOSED, None, "neutral"),
    ("mnli", "Entailment entailment" + CLOSED, "entailment", "entailment"),
    ("copa", "Option one" + CLOSED, "0", "0"),
    ("copa", "Option One" + CLOSED, None, "0"),
    ("copa", "the second: Option two" + CLOSED, "1", "1"),
    ("copa", "Option one, Option two" + CLOSED, None, "0"),
    ("wic", "Same" + CLOSED, "true", "true"),
    ("wic", "different" + CLOSED, None, "false"),
    ("multirc", "True" + CLOSED, "1", "1"),
    ("multirc", "True False" + CLOSED, None, "1"),
    ("record", "Yes" + CLOSED, "1", "1"),
    ("boolq", "Yes!" + CLOSED, "true", "true"),
    ("rte", "No-" + CLOSED, "not_entailment", "not_entailment"),
]


@pytest.mark.parametrize(("task", "text", "strict", "lenient"), EDGE_CASES)
def test_edge_cases(task: str, text: str, strict: str | float | None, lenient: str | float | None) -> None:
    assert read_response(TASKS[task], text).label == strict
    assert read_response(TASKS[task], text, strict=False).label == lenient


word_tasks = st.sampled_from([t for t in TASKS.values() if t.labels])
any_task = st.sampled_from([t for t in TASKS.values() if t.answer != "text"])


@given(any_task, st.text())
def test_no_closing_tag_is_no_answer(task, text: str) -> None:
    assert read_response(task, text.replace("</Judgement>", "")).label is None


@given(any_task, st.text(), st.booleans())
def test_any_text_gives_a_label_a_finite_number_or_none(task, text: str, strict: bool) -> None:
    found = read_response(task, text + "</Judgement>", strict).label
    if task.labels:
        assert found is None or found in task.labels
    else:
        assert found is None or abs(found) < float("inf")
        assert strict or found is None or task.low <= found <= task.high


@given(any_task, st.text(), st.text(), st.booleans())
def test_nothing_after_the_first_closing_tag_matters(task, text: str, tail: str, strict: bool) -> None:
    assert (
        read_response(task, text + "</Judgement>" + tail, strict).label
        == read_response(task, text + "</Judgement>", strict).label
    )


@given(word_tasks, st.data(), st.sampled_from(["", " ", "\n", "the answer : ", '"']))
def test_every_label_word_reads_as_its_label(task, data, around: str) -> None:
    label = data.draw(st.sampled_from(list(task.labels)))
    text = f"{around}{task.labels[label]} {around} </Judgement>"
    assert read_response(task, text).label == label
    assert read_response(task, text, strict=False).label == label


@given(word_tasks, st.permutations(range(3)))
def test_two_labels_are_no_answer_in_any_order(task, order: list[int]) -> None:
    words = [task.words[i] for i in order if i < len(task.words)][:2]
    assert read_response(task, " ".join(words) + " </Judgement>").label is None


@given(word_tasks, st.sampled_from("aZ_9é"), st.booleans())
def test_a_word_inside_another_word_is_not_read(task, letter: str, before: bool) -> None:
    word = task.words[-1]
    assert read_response(task, (letter + word if before else word + letter) + "</Judgement>").label is None


@given(st.floats(-50, 50).map(lambda x: round(x, 3)))
def test_numbers_are_read_as_they_are_written(number: float) -> None:
    assert read_response(TASKS["stsb"], f" {number} </Judgement>").label == pytest.approx(number)
    assert read_response(TASKS["stsb"], f" {number} </Judgement>", strict=False).label == pytest.approx(
        min(max(number, 0), 5)
    )


@given(st.integers(-50, 50))
def test_whole_numbers_are_read_with_their_sign(number: int) -> None:
    assert read_response(TASKS["stsb"], f" {number} </Judgement>").label == number


# Responses with a rationale: the model opens the tag itself --------------------------------------------------------

# text of the whole response, strict, lenient
RATIONALES = [
    ("They say the same. <Judgement> Yes </Judgement>", "1", "1"),
    ("They say the same. <Judgement> No </Judgement>", "0", "0"),
    ("They say the same. Yes </Judgement>", None, None),  # no opening tag
    ("Yes, they say the same.", None, None),
    ("Yes. <Judgement> </Judgement>", None, None),  # the label word stands in the rationale only
    ("Yes. <Judgement> perhaps </Judgement>", None, None),
    ("Yes. <Judgement> No </Judgement>", "0", "0"),  # the rationale says otherwise: the judgement counts
    ("<Judgement> Yes </Judgement>", "1", "1"),  # an empty rationale
    (" \n <Judgement> Yes </Judgement>", "1", "1"),
    ("Why ? <Judgement> Yes", None, "1"),  # no closing tag
    ("Why ? <Judgement>", None, None),
    ("Why ? <Judgement> Yes <Judgement> No </Judgement>", None, "1"),  # two opened tags: both words are in the judgement
    ("Why ? <Judgement> <Judgement> Yes </Judgement>", "1", "1"),
    ("No <Judgement> Yes </Judgement> <Judgement> No </Judgement>", "1", "1"),
    ("Yes </Judgement> <Judgement> No </Judgement>", None, None),  # closed before it was opened
    ("They know. <judgement> Yes </judgement>", None, None),
    ("", None, None),
]  # fmt: skip


@pytest.mark.parametrize(("text", "strict", "lenient"), RATIONALES)
def test_edge_cases_with_a_rationale(text: str, strict: str | None, lenient: str | None) -> None:
    assert read_response(TASKS["mrpc"], text, response="rationale").label == strict
    assert read_response(TASKS["mrpc"], text, strict=False, response="rationale").label == lenient


@given(any_task, st.text(), st.booleans())
def test_without_an_opening_tag_nothing_is_an_answer(task, text: str, strict: bool) -> None:
    text = text.replace("<Judgement>", "") + "</Judgement>"
    assert read_response(task, text, strict, "rationale").label is None


@given(any_task, st.text(), st.text(), st.booleans())
def test_the_rationale_never_decides(task, rationale: str, judgement: str, strict: bool) -> None:
    rationale = rationale.replace("<Judgement>", "").replace("</Judgement>", "") + " ".join(task.words)
    whole = f"{rationale} <Judgement>{judgement}</Judgement>"
    assert (
        read_response(task, whole, strict, "rationale").label
        == read_response(task, judgement + "</Judgement>", strict).label
    )


@given(any_task, st.text(), st.text(), st.booleans())
def test_nothing_after_the_first_closing_tag_matters_with_a_rationale(task, text: str, tail: str, strict: bool) -> None:
    closed = text + "</Judgement>"
    assert (
        read_response(task, closed + tail, strict, "rationale").label
        == read_response(task, closed, strict, "rationale").label
    )


@given(st.text(), st.text())
def test_a_response_splits_into_its_parts(rationale: str, judgement: str) -> None:
    rationale, judgement = (t.replace("<Judgement>", "").replace("</Judgement>", "") for t in (rationale, judgement))
    whole = f"{rationale}<Judgement>{judgement}</Judgement>"
    task = TASKS["mrpc"]
    assert read_response(task, whole, response="rationale").rationale == rationale.strip()
    assert read_response(task, rationale + "</Judgement>", response="rationale").rationale == rationale.strip()
    assert read_response(task, judgement + "</Judgement>").rationale == ""


# What is wrong ------------------------------------------------------------------------------------------------------

# task, text after the opened tag, fault
FAULTS = [
    ("sst2", " Positive", "no closing tag"),
    ("sst2", "", "no closing tag"),
    ("sst2", "  </Judgement>", "empty"),
    ("sst2", " Positive or Negative </Judgement>", "several labels"),
    ("sst2", " fine </Judgement> Positive", "no label"),
    ("sst2", " positive </Judgement>", "altered label"),
    ("cola", " I know </Judgement>", "altered label"),
    ("stsb", " high </Judgement>", "no number"),
    ("cb", " entailment, neutral </Judgement>", "several labels"),
    ("sst2", " Positive </Judgement>", None),
    ("stsb", " 0 </Judgement>", None),
]


@pytest.mark.parametrize(("task", "text", "fault"), FAULTS)
def test_what_is_wrong_with_a_response(task: str, text: str, fault: str | None) -> None:
    assert read_response(TASKS[task], text).fault == fault
    reasoned = read_response(TASKS[task], f"Yes. <Judgement>{text}", response="rationale")
    assert (reasoned.rationale, reasoned.fault) == ("Yes.", fault)


def test_a_response_with_a_rationale_may_open_no_tag() -> None:
    text = "It is good. Positive </Judgement>"
    assert read_response(TASKS["sst2"], text, response="rationale").fault == "no opening tag"


@given(any_task, st.text(), st.booleans(), st.booleans(), st.sampled_from(["label", "rationale"]))
def test_a_fault_stands_for_every_label_that_is_not_read(task, text: str, closed: bool, strict: bool, response) -> None:
    reading = read_response(task, text + ("</Judgement>" if closed else ""), strict, response)
    assert (reading.fault is None) == (reading.label is not None)


@pytest.mark.parametrize("strict", [True, False])
def test_all_of_a_text_is_the_answer(strict):
    task = scenes()
    assert read_response(task, " a dog </Judgement> runs .\n", strict) == Reading("", "a dog </Judgement> runs .", None)
    assert read_response(task, " \n ", strict) == Reading("", None, "empty")
