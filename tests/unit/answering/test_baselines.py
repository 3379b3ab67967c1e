import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import byte_tokenizer

from rl4nlu.answering.baselines import best_shots, majority_label, random_label
from rl4nlu.answering.fit import fit_prompts
from rl4nlu.base.errors import ConfigError
from rl4nlu.config import Protocol
from rl4nlu.models.load import encode_prompts
from rl4nlu.tasks.prompts import write_prompt
from rl4nlu.tasks.rows import Row
from rl4nlu.tasks.task import Task, load_task

TOKENIZER = byte_tokenizer()
PROTOCOL = Protocol.model_validate({})
BOOLQ, STSB, CB = load_task("boolq"), load_task("stsb"), load_task("cb")


def boolq_row(words: int, name: str = "r", label: str = "true") -> Row:
    return Row(name, {"passage": " ".join(["word"] * words), "question": "is it so"}, label)


def length(row: Row, demonstrations: tuple[Row, ...] = ()) -> int:
    return len(encode_prompts(TOKENIZER, [write_prompt(BOOLQ, row.fields, demonstrations, PROTOCOL).text])[0])


def test_majority_takes_the_most_frequent_label_and_the_mean_of_numbers():
    def rows(*labels):
        return [Row(str(n), {}, label) for n, label in enumerate(labels)]

    first, second = list(CB.labels)[:2]
    assert majority_label(CB, rows(second, first, second)) == second
    assert majority_label(CB, rows(second, first)) == first  # a tie goes to the task's order
    assert majority_label(STSB, rows(1.0, 4.0, 4.0)) == 3.0
    with pytest.raises(ConfigError, match="cb: majority needs labelled training rows"):
        majority_label(CB, rows(None))


@pytest.mark.parametrize("task", [CB, STSB], ids=lambda task: task.name)
def test_random_labels_are_uniform_and_depend_on_seed_and_row_alone(task: Task):
    labels = [random_label(task, 0, f"row {n}") for n in range(3000)]
    assert labels == [random_label(task, 0, f"row {n}") for n in range(3000)]
    assert labels != [random_label(task, 1, f"row {n}") for n in range(3000)]
    if task.labels:
        assert all(800 < labels.count(label) < 1200 for label in task.labels)
    else:
        assert all(task.low <= float(x) <= task.high for x in labels)
        assert sum(float(x) for x in labels) / 3000 == pytest.approx((task.low + task.high) / 2, abs=0.1)


def test_the_fewest_of_equally_good_demonstrations_win():
    scores = {5: 0.7, 1: 0.5, 3: 0.7, 2: 0.1}
    best, all_scores = best_shots([5, 1, 3, 2, 3], scores.__getitem__)
    assert best == 3
    assert all_scores == scores


def test_prompts_that_fit_are_left_alone():
    row, demonstrations = boolq_row(5), (boolq_row(3), boolq_row(4))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (fitted,) = fit_prompts(TOKENIZER, BOOLQ, [row], PROTOCOL, 100_000, demonstrations)
    assert TOKENIZER.decode(fitted.tokens) == write_prompt(BOOLQ, row.fields, demonstrations, PROTOCOL).text
    assert (fitted.shots, fitted.shortened) == (2, False)


def test_demonstrations_are_dropped_whole_the_last_one_first_and_counted():
    row, demonstrations = boolq_row(5), (boolq_row(3), boolq_row(4), boolq_row(60))
    for kept in range(4):
        longest = length(row, demonstrations[:kept])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            (fitted,) = fit_prompts(TOKENIZER, BOOLQ, [row], PROTOCOL, longest, demonstrations)
        assert TOKENIZER.decode(fitted.tokens) == write_prompt(BOOLQ, row.fields, demonstrations[:kept], PROTOCOL).text
        assert (fitted.shots, fitted.shortened) == (kept, False)
        said = [str(w.message) for w in caught]
        assert said == ([f"boolq: 1 of 1 prompts lost demonstrations to fit {longest} tokens"] if kept < 3 else [])


@given(words=st.integers(1, 60), room=st.integers(0, 400))
def test_a_long_row_keeps_as_much_of_its_passage_as_fits(words, room):
    row = boolq_row(words)
    longest = length(boolq_row(0)) + room
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (fitted,) = fit_prompts(TOKENIZER, BOOLQ, [row], PROTOCOL, longest)
    assert len(fitted.tokens) <= longest
    kept = min(words, (room + 1) // len(" word"))
    assert TOKENIZER.decode(fitted.tokens) == write_prompt(BOOLQ, boolq_row(kept).fields, (), PROTOCOL).text
    assert fitted.shortened == (kept < words)


def test_a_row_that_never_fits_is_named():
    with pytest.raises(ConfigError, match="boolq: row long does not fit 20 tokens even without its 'passage'"):
        fit_prompts(TOKENIZER, BOOLQ, [boolq_row(50, "long")], PROTOCOL, 20)


def test_order_is_kept_and_other_wordings_are_possible():
    protocol = Protocol.model_validate({"sft_prompt": "separate"})
    rows = [boolq_row(n, str(n)) for n in (100, 2, 9)]
    longest = length(rows[2]) + 100
    with pytest.warns(UserWarning, match="boolq: 1 of 3 rows were shortened"):
        fitted = fit_prompts(TOKENIZER, BOOLQ, rows, protocol, longest, wording="sft")
    assert [f.shortened for f in fitted] == [True, False, False]
    assert TOKENIZER.decode(fitted[1].tokens) == write_prompt(BOOLQ, rows[1].fields, (), protocol, wording="sft").text
    assert fit_prompts(TOKENIZER, BOOLQ, [], PROTOCOL, 10) == []


def test_a_chat_model_is_given_the_prompt_in_turns() -> None:
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}[model]"
    chat, row = Protocol(prompt_format="chat"), boolq_row(3)
    (fitted,) = fit_prompts(tokenizer, BOOLQ, [row], chat, 100_000)
    prompt = write_prompt(BOOLQ, row.fields, (), chat)
    assert tokenizer.decode(fitted.tokens) == f"[user]{prompt.asked}[model]<Judgement>"
