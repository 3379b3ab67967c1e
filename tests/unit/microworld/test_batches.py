"""Documents as batches: flags follow the controls, the token budget is kept."""

import random

from rl4nlu.microworld import corpus
from rl4nlu.microworld.batches import IS_ANSWER, IS_CLAIM, IS_WRONG, bucket, encode, strip_controls
from rl4nlu.microworld.curriculum import Curriculum
from rl4nlu.microworld.skills import answer, claim
from rl4nlu.microworld.tokenizer import build_tokenizer


def test_flags_follow_the_controls() -> None:
    text, flags = strip_controls(f'"{claim("a ~green cup")}"{answer("Yes", True)}')
    assert text == '"a green cup"<Judgement> Yes </Judgement>'
    assert all(flags[text.index("green") + i] == IS_CLAIM | IS_WRONG for i in range(5))
    assert flags[text.index("cup")] == IS_CLAIM
    assert flags[text.index("Yes")] == IS_ANSWER
    assert flags[0] == 0
    tokenizer = build_tokenizer()
    ids, marks = encode(tokenizer, [f'"{claim("a ~green cup")}"{answer("Yes", True)}'])[0]
    tokens = tokenizer.convert_ids_to_tokens(ids)
    assert [t for t, m in zip(tokens, marks, strict=True) if m & IS_WRONG] == ["Ġgreen"]
    assert [t.strip() for t, m in zip(tokens, marks, strict=True) if m & IS_ANSWER] == ["ĠYes", "</Judgement>", "</s>"]


def test_flags_do_not_depend_on_earlier_padding() -> None:
    tokenizer = build_tokenizer()
    before = encode(tokenizer, ["Anna", "Anna has a cup."])
    tokenizer(["Anna", "Anna has a cup."], padding=True)
    after = encode(tokenizer, ["Anna", "Anna has a cup."])
    assert all(
        (a[0].tolist(), a[1].tolist()) == (b[0].tolist(), b[1].tolist()) for a, b in zip(before, after, strict=True)
    )


def test_batches_keep_to_the_token_budget() -> None:
    tokenizer = build_tokenizer()
    stream = corpus.documents(3, Curriculum(stage=2))
    made = bucket(
        encode(tokenizer, [next(stream)[1] for _ in range(300)]), 2048, tokenizer.pad_token_id, random.Random(0)
    )
    assert all(b.ids.numel() <= 2048 for b in made)
    assert sum(len(b.ids) for b in made) == 300
