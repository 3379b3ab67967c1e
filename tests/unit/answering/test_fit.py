import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import byte_tokenizer

from rl4nlu.answering.fit import fit_prompts
from rl4nlu.base.errors import ConfigError
from rl4nlu.config import Protocol
from rl4nlu.models.load import encode_prompts
from rl4nlu.tasks.prompts import write_prompt
from rl4nlu.tasks.rows import Row
from rl4nlu.tasks.task import load_task

TOKENIZER = byte_tokenizer()
PROTOCOL = Protocol.model_validate({})
BOOLQ, STSB, CB = load_task("boolq"), load_task("stsb"), load_task("cb")


def boolq_row(words: int, name: str = "r", label: str = "true") -> Row:
    return Row(name, {"passage": " ".join(["word"] * words), "question": "is it so"}, label)


def length(row: Row, demonstrations: tuple[Row, ...] = ()) -> int:
    return len(encode_prompts(TOKENIZER, [write_prompt(BOOLQ, row.fields, demonstrations, PROTOCOL).text])[0])


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
