"""The microworld's tokenizer: lossless, words whole, tags single, special tokens where models expect them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl4nlu.microworld.templates import TASK_WORDING
from rl4nlu.microworld.tokenizer import build_tokenizer, vocabulary_digest
from rl4nlu.microworld.vocabulary import world_words

TOKENIZER = build_tokenizer()


@given(st.text(max_size=60))
def test_any_text_round_trips(text: str) -> None:
    if "Judgement>" in text or any(s in text for s in TOKENIZER.all_special_tokens):
        return
    assert TOKENIZER.decode(TOKENIZER.encode(text, add_special_tokens=False)) == text


@pytest.mark.parametrize(
    "text", ["naïve “quotes”\n\ttabs  and   spaces \n", "日本語 🙂 é", "don't 'spring' 3.75 -1e5", "\x00\x7f\u200d"]
)
def test_odd_text_round_trips(text: str) -> None:
    assert TOKENIZER.decode(TOKENIZER.encode(text, add_special_tokens=False)) == text


def test_words_of_the_world_are_single_tokens() -> None:
    for word in world_words():
        assert len(TOKENIZER.encode(" " + word, add_special_tokens=False)) == 1, word
        assert len(TOKENIZER.encode(word, add_special_tokens=False)) == 1, word
    for wording in TASK_WORDING.values():
        for pair in wording.labels:
            for label in pair:
                for word in label.replace("_", " ").split():
                    assert len(TOKENIZER.tokenize(" " + word)) == 1


def test_judgement_tags_are_single_and_absorb_the_space() -> None:
    tokens = TOKENIZER.tokenize("<Judgement> Yes </Judgement>")
    assert [t.strip() for t in tokens] == ["<Judgement>", "ĠYes", "</Judgement>"]


def test_decoder_rows_begin_with_bos_and_encoder_rows_are_framed() -> None:
    assert TOKENIZER("Anna")["input_ids"][0] == TOKENIZER.bos_token_id
    encoder = build_tokenizer("encoder")
    pair = encoder("Anna", "the cup")
    assert encoder.convert_ids_to_tokens(pair["input_ids"]) == ["[CLS]", "Anna", "[SEP]", "the", "Ġcup", "[SEP]"]
    assert pair["token_type_ids"] == [0, 0, 0, 1, 1, 1]


def test_digest_changes_with_the_vocabulary() -> None:
    assert vocabulary_digest(build_tokenizer()) == vocabulary_digest(TOKENIZER)
    assert vocabulary_digest(build_tokenizer(words=["Anna"])) != vocabulary_digest(TOKENIZER)
    with pytest.raises(ValueError, match="tokenizer kind"):
        build_tokenizer("seq2seq")


def test_the_vocabulary_is_the_one_that_the_shipped_models_were_trained_with() -> None:
    """New tasks and texts make do with its words: another vocabulary means pretraining all micro models again."""
    assert vocabulary_digest(TOKENIZER) == "90d9a5f53f280e34"
