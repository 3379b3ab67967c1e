"""Pretraining text: evaluation wording is held out, every word is trained, flags stand where they should."""

import random
import re
from itertools import islice
from pathlib import Path

import pytest
import yaml

from rl4nlu.microworld import corpus
from rl4nlu.microworld import templates as tp
from rl4nlu.microworld.arguments import POINTS, similarity_class
from rl4nlu.microworld.batches import CONTROL, IS_ANSWER, IS_CLAIM, IS_WRONG, bucket, encode, strip_controls
from rl4nlu.microworld.curriculum import LATEST, STAGES, Curriculum
from rl4nlu.microworld.fact_tasks import STSB_WEIGHTS
from rl4nlu.microworld.generators import TASKS, marked_rows
from rl4nlu.microworld.opinion_tasks import TOPICS
from rl4nlu.microworld.skills import ANSWER, ANSWER_END, answer, claim
from rl4nlu.microworld.tokenizer import WORD, build_tokenizer, world_words

CONFIG = Path(__file__).parents[3] / "config" / "tasks"
FRAME = (
    'Answer in this format :\n<Judgement> {{Insert only "Yes" or "No" here}} </Judgement>',
    "Here are some examples:",
    "{{Insert a short reason here}} <Judgement> {{Insert only a number from 0 to 5 here}} </Judgement>",
)


def evaluation_prompts() -> list[str]:
    """The evaluation's own wording, from the task files."""
    prompts = list(FRAME)
    for path in sorted(CONFIG.glob("*/*.yaml")):
        task = yaml.safe_load(path.read_text())
        prompts += [str(task[key]) for key in ("description", "query", "sft_description", "sft_query") if key in task]
    return prompts


def test_heldout_check_finds_a_shared_sentence() -> None:
    assert tp.heldout_check(['Is it good? Look at "{a}" now.'], ["Do it. Is it good?"]) == {"is it good"}


def test_evaluation_wording_is_held_out() -> None:
    assert tp.heldout_check(tp.pretraining_texts(), evaluation_prompts()) == set()
    probes = [text for probe in tp.PROBES.values() for text in probe]
    assert tp.heldout_check(tp.pretraining_texts(), probes) == set()


def test_every_word_of_the_evaluation_is_in_the_vocabulary() -> None:
    known = set(world_words())
    words = {w for p in evaluation_prompts() for w in WORD.findall(re.sub(r"\{\w+\}", "", p))}
    assert not words - known


def test_documents_are_repeatable_and_hold_every_label_word() -> None:
    def first(seed: int, n: int) -> list[str]:
        stream = corpus.documents(seed, Curriculum(stage=3))
        return [next(stream)[1] for _ in range(n)]

    assert first(1, 50) == first(1, 50) != first(2, 50)
    text = "\n".join(CONTROL.sub("", d) for d in first(1, 3000))
    for word in (
        "Yes",
        "No",
        "Positive",
        "Negative",
        "Entailment",
        "Contradiction",
        "Neutral",
        "True",
        "False",
        "Same",
        "Different",
        "Option one",
        "Option two",
        "3.5",
        "0.0",
        "5.0",
    ):
        assert f"<Judgement> {word} </Judgement>" in text, word


REPLY = re.compile(r"([A-Z][^<>\n]*\.) <Judgement> ([^<>]+) </Judgement>$")


def test_documents_with_reasons_hold_a_reason_and_then_a_label_and_all_of_it_counts() -> None:
    streams = {task: marked_rows(task, "train", 5) for task in TASKS}
    chance, found = random.Random(5), set()
    for _ in range(300):
        document = corpus.instruction(chance, streams, tp.OTHER_LABELS, corpus.REASONED_WEIGHTS, reasons=True)
        replies = [piece.split(ANSWER_END)[0].strip() for piece in document.split(ANSWER)[1:]]
        assert replies
        for reply in replies:
            match = REPLY.match(reply)
            assert match, reply
            found.add(match.group(2))
        text, flags = strip_controls(document)
        first = text.index(replies[0])
        assert all(flags[first : first + len(replies[0])] & IS_ANSWER)
    assert {"Positive", "Yes", "No", "Neutral", "Sports", "1", "5", "0"} <= found


def parts_named(reason: str) -> list[str]:
    """The parts of a sentence that a reason calls different."""
    return re.findall("|".join(STSB_WEIGHTS), reason.split(", and ")[0])


@pytest.mark.parametrize("task", corpus.REASONED_WEIGHTS)
def test_a_reason_argues_for_the_label_of_its_row(task: str) -> None:
    chance = random.Random(7)
    for row in islice(marked_rows(corpus.GENERATORS.get(task, task), "train", 7), 60):
        case, reason = corpus.cases(task, row, chance), corpus.reason_of(task, row, chance)
        assert "~" not in reason
        # read from the reason alone: what it says must give the label of the case
        read = {
            "mnli": lambda r: 0 if "follows" in r else 2 if ", but in the second" in r else 1,
            "mrpc": lambda r: int("and in the second" in r),
            "qqp": lambda r: int("The first and the second ask" in r),
            "stsb-classes": lambda r: int(similarity_class(parts_named(r) if r.startswith("Different") else [])),
            "ag-news": lambda r: next(n for n, topic in enumerate(TOPICS) if f"which is {topic} news" in r),
            "app-reviews": lambda r: [-2, -1, 0, 1, 2].index(
                next(n for n, said in POINTS.items() if r.endswith(f"which is {said}."))
            ),
        }.get(task, lambda r: int(r.endswith("which is good.")))
        assert read(reason) == case.klass, (reason, row)


def test_every_skill_is_rehearsed_to_the_end() -> None:
    weights = Curriculum(stage=3, accuracy=dict.fromkeys([k for s in STAGES for k in s], 1.0), reasons=True).weights()
    assert all(weights[kind] > 0.002 for skills in STAGES for kind in skills)
    assert weights["instruction"] + weights["reasons"] > 0.5
    assert "reasons" not in Curriculum(stage=3).weights()


def test_a_stage_closes_when_learned_or_late() -> None:
    learned, late = Curriculum(), Curriculum()
    assert learned.weights() == {"copy_list": 1.0}
    learned.accuracy["copy_list"] = 0.99
    learned.advance(0.01)
    assert learned.stage == 1
    assert learned.opened == [0.0, 0.01]
    late.advance(LATEST[0] - 0.01)
    assert late.stage == 0
    late.advance(LATEST[0] + 0.01)
    assert late.stage == 1
    weak = Curriculum(stage=1, accuracy={"same_words": 0.9, "membership": 0.4})
    assert weak.weights()["membership"] > weak.weights()["same_words"]


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
