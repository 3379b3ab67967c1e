import warnings

import pytest
from asking import CLOSE, TASKS, spec_of
from asking import TOKENIZER as TAGGED
from hypothesis import given
from hypothesis import strategies as st
from scenes import scenes, scenes_spec
from tiny_models import byte_tokenizer

from rl4nlu.answering.fit import check_room, encode_gold, encode_reference, fit_prompts
from rl4nlu.base.errors import ConfigError
from rl4nlu.config import Protocol, load_models
from rl4nlu.models.load import encode_answer, encode_prompts, load_tokenizer
from rl4nlu.tasks.prompts import OPEN_TAG, answer_text, write_prompt
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


def run_of(method, task, how="greedy", decoding=500, sampling=500, response="label"):
    """A run of a method on one task, with so many tokens for tested and for sampled answers."""
    settings = {
        "protocol": {"response": response},
        "evaluation": {"decoding": {"how": how, "max_new_tokens": decoding}},
        "rationales": {"max_tokens": 8},
        **{section: {"max_new_tokens": sampling} for section in ("ppo", "grpo", "raft", "rllr", "ppo_rm")},
    }
    return spec_of(method, [task], "none" if method in ("zero-shot", "few-shot") else task, **settings)


def longest_answer(task):
    """Tokens (bytes, and the tag as one) of the longest label and the closing tag."""
    labels = list(TASKS[task].labels) or [1.5]
    return max(len(encode_answer(TAGGED, answer_text(TASKS[task], x, PROTOCOL, "test"), OPEN_TAG)) for x in labels)


WRITTEN = [
    *[(method, "evaluation.decoding.max_new_tokens", "decoding") for method in ("zero-shot", "few-shot", "sft", "ppo")],
    *[(method, f"{method}.max_new_tokens", "sampling") for method in ("ppo", "grpo", "raft")],
]


@pytest.mark.parametrize(("method", "key", "which"), WRITTEN)
@pytest.mark.parametrize("task", ["copa", "cb", "stsb"])
def test_answers_have_room_for_the_longest_label_and_its_closing_tag_or_the_run_does_not_start(
    method, key, which, task
):
    needed = longest_answer(task)
    check_room(run_of(method, task, **{which: needed}), TAGGED)
    with pytest.raises(ConfigError) as caught:
        check_room(run_of(method, task, **{which: needed - 1}), TAGGED)
    said = str(caught.value)
    assert len(said.splitlines()) == 1
    for part in (f"tiny/{method}/", f"{key} is {needed - 1}", f"task {task}", f"{needed} tokens", f"{needed} or more"):
        assert part in said
    if task != "stsb":
        assert any(f"' {word} {CLOSE}'" in said for word in TASKS[task].words)


def test_a_wide_range_of_numbers_needs_room_for_its_longest_number():
    task = TASKS["stsb"].model_copy(update={"low": -20.0, "high": 100.0})
    run = run_of("zero-shot", "stsb", decoding=longest_answer("stsb") + 1)
    with pytest.raises(ConfigError, match=r"-20\.0|100\.0|-1\d\.\d"):
        check_room(run.model_copy(update={"eval_tasks": (task,)}), TAGGED)
    run = run_of("zero-shot", "stsb", decoding=longest_answer("stsb") + 2)
    check_room(run.model_copy(update={"eval_tasks": (task,)}), TAGGED)


def test_label_words_that_are_scored_need_no_room_and_numbers_do():
    check_room(run_of("zero-shot", "copa", "score", decoding=1), TAGGED)
    with pytest.raises(ConfigError, match="task stsb"):
        check_room(run_of("zero-shot", "stsb", "score", decoding=1), TAGGED)
    with pytest.raises(ConfigError, match="task copa"):  # validation answers are greedy
        check_room(run_of("sft", "copa", "score", decoding=1), TAGGED)


@pytest.mark.parametrize("method", ["rllr", "rllr-mixed", "ppo-rationale", "sft-rationale", "pairs"])
def test_behind_a_rationale_the_model_opens_the_tag_itself_which_takes_room_too(method):
    needed = longest_answer("sst2") + len(OPEN_TAG)
    for which in ("decoding", "sampling") if method not in ("sft-rationale", "pairs") else ("decoding",):
        check_room(run_of(method, "sst2", **{which: needed}), TAGGED)
        with pytest.raises(
            ConfigError, match=rf"is {needed - 1}, and the answer '<Judgement> .* or rationales\.max_tok"
        ):
            check_room(run_of(method, "sst2", **{which: needed - 1}), TAGGED)


def scene(words: int, name: str = "r") -> Row:
    return Row(name, {"words": " ".join(f"w{n}" for n in range(words))}, None, answers=["a b", "c"])


@pytest.mark.parametrize(("keep", "left"), [("start", "w0 w1 w2"), ("end", "w7 w8 w9")])
def test_a_prompt_of_texts_has_its_own_length_and_keeps_its_start_or_its_end(keep, left):
    task = scenes(most_prompt_tokens=len("write of w0 w1 w2 :"), keep=keep)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # that is what the task says, and nothing to warn of
        long, short = fit_prompts(TOKENIZER, task, [scene(10), scene(3)], PROTOCOL, 400)
    assert TOKENIZER.decode(long.tokens, skip_special_tokens=True) == f"write of {left} :"
    assert TOKENIZER.decode(short.tokens, skip_special_tokens=True) == "write of w0 w1 w2 :"
    assert (long.shortened, short.shortened) == (True, False)


def test_demonstrations_of_texts_are_cut_like_rows_and_do_not_count_in_a_prompts_length():
    task = scenes(most_prompt_tokens=len("write of w0 w1 w2 :"))
    (fitted,) = fit_prompts(TOKENIZER, task, [scene(10)], PROTOCOL, 400, [scene(5), scene(2)])
    shown = "write of w0 w1 w2 : a b\n\nwrite of w0 w1 : a b\n\nwrite of w0 w1 w2 :"
    assert TOKENIZER.decode(fitted.tokens, skip_special_tokens=True) == shown
    assert (fitted.shots, fitted.shortened) == (2, True)


def test_a_prompt_of_texts_must_fit_the_model_as_well():
    with pytest.warns(UserWarning, match="1 of 1 rows were shortened"):
        (fitted,) = fit_prompts(TOKENIZER, scenes(keep="end"), [scene(10)], PROTOCOL, 30)
    assert TOKENIZER.decode(fitted.tokens, skip_special_tokens=True) == "write of w4 w5 w6 w7 w8 w9 :"


MICRO = load_tokenizer(load_models()["micro-llama"])


@pytest.mark.parametrize("tokenizer", [TOKENIZER, MICRO], ids=["bytes", "words"])
@pytest.mark.parametrize("query", ["write of {words} :", "{words}", "write of {words}\n"])
def test_a_reference_has_the_tokens_that_it_has_within_the_whole(tokenizer, query):
    task = scenes(query=query, most_tokens=40)
    for text in ("the film is good .", 'a\'s "end" , again'):
        prompt = write_prompt(task, scene(3).fields)
        tokens, whole = encode_reference(tokenizer, task, prompt, text, PROTOCOL)
        joint = "" if query.endswith("\n") else " "
        together = encode_prompts(tokenizer, [prompt.text + joint + text])[0]
        assert encode_prompts(tokenizer, [prompt.text])[0] + tokens == together
        assert whole
        assert encode_gold(tokenizer, task, scene(3), text, PROTOCOL) == [*tokens, tokenizer.eos_token_id]


def test_a_reference_that_is_too_long_is_cut_and_does_not_end():
    task, text = scenes(most_tokens=5), "the horse"
    tokens, whole = encode_reference(TOKENIZER, task, write_prompt(task, scene(3).fields), text, PROTOCOL)
    assert (TOKENIZER.decode(tokens), whole) == (" the ", False)
    assert encode_gold(TOKENIZER, task, scene(3), text, PROTOCOL) == tokens
    assert encode_gold(TOKENIZER, scenes(most_tokens=4), scene(3), "the", PROTOCOL)[-1] == TOKENIZER.eos_token_id


def test_texts_need_an_end_token():
    tokenizer = byte_tokenizer()
    tokenizer.eos_token = None
    with pytest.raises(ConfigError, match="scenes: texts end with an end token"):
        encode_gold(tokenizer, scenes(), scene(1), "a", PROTOCOL)


def test_room_is_not_asked_of_texts():
    spec = scenes_spec("ppo", ppo={"max_new_tokens": 1}, evaluation={"decoding": {"max_new_tokens": 1}})
    check_room(spec, TOKENIZER)
