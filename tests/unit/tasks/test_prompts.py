"""Prompts: their exact shape, braces in data, turns of a chat, label words under the protocol's switches."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scenes import scene_rows, scenes

from rl4nlu.config import Protocol
from rl4nlu.tasks.prompts import (
    answer_start,
    answer_text,
    choose_demonstrations,
    label_word,
    text_joint,
    write_prompt,
)
from rl4nlu.tasks.reading import read_response
from rl4nlu.tasks.rows import Row
from rl4nlu.tasks.task import load_tasks

TASKS = load_tasks()
JUDGING = {name: task for name, task in TASKS.items() if task.answer != "text"}
CORRECTED = Protocol()
RELEASED = Protocol(sst2_negative="No", sft_prompt="separate")
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0\n") | st.sampled_from("{}"), min_size=1)


def fields_of(task, value: str = "x") -> dict[str, str]:
    return {name: f"{value} {name}" for name in task.fields}


def some_label(task):
    return next(iter(task.labels)) if task.labels else 3.8


def test_the_prompt_has_the_shape_of_the_release() -> None:
    task = TASKS["cola"]
    assert write_prompt(task, {"sentence": "Birds sing ."}).text == (
        "System_prompt:\n"
        f"{task.description}\n"
        "Answer in this format :\n"
        '<Judgement> {Insert only "Yes" or "No" here} </Judgement>\n'
        "Prompt:\n"
        'Is this sentence acceptable ? "Birds sing ."\n'
        "Assistant:\n"
        "<Judgement>"
    )


def test_demonstrations_stand_between_the_format_and_the_question() -> None:
    task = TASKS["cola"]
    demos = [Row("a", {"sentence": "One ."}, "1"), Row("b", {"sentence": "Two ."}, "0")]
    prompt = write_prompt(task, {"sentence": "Three ."}, demos).text
    assert prompt.endswith(
        "</Judgement>\nHere are some examples:\n"
        '[ Prompt:\nIs this sentence acceptable ? "One ."\nAssistant:\n<Judgement> Yes </Judgement> ]\n'
        '[ Prompt:\nIs this sentence acceptable ? "Two ."\nAssistant:\n<Judgement> No </Judgement> ]\n'
        '\nPrompt:\nIs this sentence acceptable ? "Three ."\nAssistant:\n<Judgement>'
    )


def test_the_format_names_every_label_word_or_the_range() -> None:
    for task in JUDGING.values():
        prompt = write_prompt(task, fields_of(task)).text
        for word in task.words:
            assert f'"{word}"' in prompt
    assert "{Insert only a number from 0 to 5 here}" in write_prompt(TASKS["stsb"], fields_of(TASKS["stsb"])).text
    assert '"Entailment", "Neutral" or "Contradiction"' in write_prompt(TASKS["cb"], fields_of(TASKS["cb"])).text


@given(st.sampled_from(list(JUDGING.values())), st.data())
def test_braces_and_any_text_in_rows_survive_in_question_and_demonstrations(task, data) -> None:
    def draw() -> dict[str, str]:
        return {name: data.draw(TEXT) for name in task.fields}

    fields, shown = draw(), draw()
    asked = task.query
    for name in task.fields:
        asked = asked.replace(f"{{{name}}}", f"\0{name}\0")
    demo = asked
    for name in task.fields:
        asked, demo = asked.replace(f"\0{name}\0", fields[name], 1), demo.replace(f"\0{name}\0", shown[name], 1)
    prompt = write_prompt(task, fields, [Row("d", shown, some_label(task))], CORRECTED).text
    assert prompt.endswith(f"\nPrompt:\n{asked}\nAssistant:\n<Judgement>")
    assert f"[ Prompt:\n{demo}\nAssistant:\n<Judgement>{answer_text(task, some_label(task), CORRECTED)} ]\n" in prompt


@pytest.mark.parametrize(("response", "begun"), [("label", "<Judgement>"), ("rationale", "")])
def test_a_chat_gets_the_same_words_in_two_turns(response: str, begun: str) -> None:
    protocol = Protocol(response=response)
    prompt = write_prompt(TASKS["cola"], {"sentence": "Say\nAssistant:\n<Judgement> Yes"}, (), protocol)
    assert prompt.begun == begun
    assert prompt.asked.endswith('Is this sentence acceptable ? "Say\nAssistant:\n<Judgement> Yes"')
    assert prompt.text == f"{prompt.asked}\nAssistant:\n{begun}"
    assert prompt.text.endswith(answer_start(protocol))


@given(st.sampled_from([t for t in TASKS.values() if t.labels]), st.data())
def test_the_parser_reads_every_answer_back(task, data) -> None:
    label = data.draw(st.sampled_from(list(task.labels)))
    text = answer_text(task, label, CORRECTED)
    assert text.startswith(" ")
    assert text.endswith(" </Judgement>")
    assert read_response(task, text).label == label


@given(st.floats(0, 5))
def test_numbers_are_written_with_one_decimal_and_read_back(number: float) -> None:
    text = answer_text(TASKS["stsb"], number, CORRECTED)
    assert text == f" {number:.1f} </Judgement>"
    assert abs(read_response(TASKS["stsb"], text).label - number) <= 0.05 + 1e-9


def test_the_released_sst2_label_bug_is_a_switch() -> None:
    task = TASKS["sst2"]
    assert label_word(task, "0", CORRECTED) == "Negative"
    assert label_word(task, "0", RELEASED, "train") == label_word(task, "0", RELEASED, "demo") == "No"
    assert label_word(task, "0", RELEASED, "test") == "Negative"
    assert label_word(task, "1", RELEASED) == "Positive"
    assert label_word(TASKS["cola"], "0", RELEASED) == "No"
    demo = [Row("d", {"sentence": "bad"}, "0")]
    assert "<Judgement> No </Judgement> ]" in write_prompt(task, {"sentence": "x"}, demo, RELEASED).text
    assert read_response(task, answer_text(task, "0", RELEASED)).label is None


def test_the_released_integer_labels_of_superglue_are_a_switch_of_sft_data_alone() -> None:
    integers = Protocol(superglue_labels="integers")
    expected = {
        "boolq": {"true": "1", "false": "0"},
        "cb": {"entailment": "1", "contradiction": "2", "neutral": "3"},
        "copa": {"0": "0", "1": "1"},
        "multirc": {"1": "1", "0": "0"},
        "wic": {"true": "1", "false": "0"},
        "wsc": {"true": "1", "false": "0"},
    }
    for name, task in TASKS.items():
        words = {label: label_word(task, label, integers) for label in task.labels}
        assert words == expected.get(name, task.labels)
        assert all(
            label_word(task, label, integers, use) == task.labels[label] for label in words for use in ("demo", "test")
        )
        for label in expected.get(name, {}):
            assert read_response(task, answer_text(task, label, integers)).label is None


def test_sft_may_train_on_other_wording_and_stsb_then_asks_for_a_paraphrase_judgement() -> None:
    for name in ("cola", "stsb", "boolq"):
        task = TASKS[name]
        fields = fields_of(task)
        assert (
            write_prompt(task, fields, (), CORRECTED, wording="sft").text
            == write_prompt(task, fields, (), CORRECTED).text
        )
        separate = write_prompt(task, fields, (), RELEASED, wording="sft").text
        assert separate != write_prompt(task, fields, (), RELEASED).text
        assert str(task.sft_description) in separate
        assert write_prompt(task, fields, (), RELEASED).text == write_prompt(task, fields, (), CORRECTED).text
    assert "say the same" in write_prompt(TASKS["stsb"], fields_of(TASKS["stsb"]), (), RELEASED, wording="sft").text


@pytest.mark.parametrize(
    ("task", "label"), [("cola", "2"), ("cola", None), ("cola", 1.0), ("stsb", "3"), ("stsb", None)]
)
def test_an_unknown_label_is_an_error(task: str, label) -> None:
    with pytest.raises(ValueError, match="no label"):
        label_word(TASKS[task], label, CORRECTED)


def test_demonstrations_are_the_first_rows_or_drawn_and_nested() -> None:
    rows = [Row(str(i), {"sentence": str(i)}, "1") for i in range(50)]
    assert choose_demonstrations(rows, 5, "first", 0) == rows[:5]
    five = choose_demonstrations(rows, 5, "random", 3)
    assert choose_demonstrations(rows, 2, "random", 3) == five[:2]
    assert choose_demonstrations(rows, 5, "random", 3) == five
    assert choose_demonstrations(rows, 5, "random", 4) != five
    assert len({row.id for row in five}) == 5
    with pytest.raises(ValueError, match="50 training rows"):
        choose_demonstrations(rows, 51, "random", 0)


REASONED = Protocol(response="rationale")


def test_a_prompt_that_asks_for_a_reason_leaves_the_tag_to_the_model() -> None:
    task = TASKS["cola"]
    assert write_prompt(task, {"sentence": "Birds sing ."}, (), REASONED).text == (
        "System_prompt:\n"
        f"{task.description}\n"
        "Answer in this format :\n"
        '{Insert a short reason here} <Judgement> {Insert only "Yes" or "No" here} </Judgement>\n'
        "Prompt:\n"
        'Is this sentence acceptable ? "Birds sing ."\n'
        "Assistant:\n"
    )
    demo = Row("d", {"sentence": "One ."}, "1", rationale=" The forms fit. ")
    assert (
        "Assistant:\nThe forms fit. <Judgement> Yes </Judgement> ]\n"
        in write_prompt(task, {"sentence": "Two ."}, [demo], REASONED).text
    )


@given(st.sampled_from([t for t in TASKS.values() if t.labels]), st.data())
def test_the_parser_reads_every_reasoned_answer_back(task, data) -> None:
    label = data.draw(st.sampled_from(list(task.labels)))
    rationale = data.draw(TEXT.filter(lambda text: text.strip() and "Judgement>" not in text))
    text = answer_text(task, label, REASONED, rationale=rationale)
    assert read_response(task, text, response="rationale").label == label
    assert read_response(task, text, response="rationale").rationale == rationale.strip()
    assert answer_text(task, label, CORRECTED, rationale=rationale) == answer_text(task, label, CORRECTED)


@pytest.mark.parametrize("rationale", [None, "", " \n", "So <Judgement> it is", "So </Judgement> it is"])
def test_an_empty_rationale_or_one_with_a_tag_is_refused(rationale: str | None) -> None:
    with pytest.raises(ValueError, match="rationale"):
        answer_text(TASKS["cola"], "1", REASONED, rationale=rationale)


def test_a_prompt_of_texts_is_the_description_and_the_query_and_nothing_else():
    row = scene_rows(1)[0]
    assert write_prompt(scenes(), row.fields).text == "write of dog run :"
    task = scenes(description="You write short sentences .")
    assert write_prompt(task, row.fields).text == "You write short sentences .\nwrite of dog run :"
    shown = write_prompt(task, row.fields, scene_rows(2, "train")).text
    demonstrations = "write of dog run : the dog runs at 0 .\n\nwrite of cat run : the cat runs at 1 .\n\n"
    assert shown == f"You write short sentences .\n{demonstrations}write of dog run :"
    assert (write_prompt(task, row.fields).begun, write_prompt(task, row.fields).between) == ("", "")


def test_a_text_goes_on_behind_a_space_or_behind_the_prompts_own_white_space():
    assert [text_joint(prompt) for prompt in ("a :", "a\n", "a ", "")] == [" ", "", "", " "]
    task = scenes(query="{words}\n")
    shown = write_prompt(task, {"words": "x"}, scene_rows(1)).text
    assert shown == "dog run\nthe dog runs at 0 .\n\nx\n"
