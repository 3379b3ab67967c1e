"""Pretraining text: it is repeatable, every label's word is trained, and reasons stand before their labels."""

import random
import re

from rl4nlu.microworld import corpus
from rl4nlu.microworld import templates as tp
from rl4nlu.microworld.batches import CONTROL, IS_ANSWER, strip_controls
from rl4nlu.microworld.curriculum import Curriculum
from rl4nlu.microworld.generators import TASKS, marked_rows
from rl4nlu.microworld.skills import ANSWER, ANSWER_END


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
