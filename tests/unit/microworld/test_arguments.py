"""Reasons give the label that they argue for, by themselves."""

import random
import re
from itertools import islice

import pytest

from rl4nlu.microworld import corpus
from rl4nlu.microworld.arguments import POINTS, similarity_class
from rl4nlu.microworld.fact_tasks import STSB_WEIGHTS
from rl4nlu.microworld.generators import marked_rows
from rl4nlu.microworld.opinion_tasks import TOPICS


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
