"""The wording of pretraining holds none of the evaluation's sentences, and all of its words."""

import re
from pathlib import Path

import yaml

from rl4nlu.microworld import templates as tp
from rl4nlu.microworld.tokenizer import WORD, world_words

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
