"""The wording of pretraining holds none of the evaluation's sentences, and all of its words."""

import re
from collections.abc import Iterable
from pathlib import Path

import yaml

from rl4nlu.microworld import templates as tp
from rl4nlu.microworld.vocabulary import WORD, world_words

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


def sentences(texts: Iterable[str]) -> set[str]:
    """The instruction sentences of some texts: cut at line and sentence ends, fields removed, lower case, three words or more."""
    found = set()
    for text in texts:
        for piece in re.split(r"[\n.?!:]+", re.sub(r"[\"']?\{[^{}]*\}[\"']?", " ", text)):
            words = re.findall(r"\w+", piece.lower())
            if len(words) >= 3:
                found.add(" ".join(words))
    return found


def test_a_shared_sentence_is_found() -> None:
    assert sentences(['Is it good? Look at "{a}" now.']) & sentences(["Do it. Is it good?"]) == {"is it good"}


def test_evaluation_wording_is_held_out() -> None:
    shown = sentences(tp.pretraining_texts())
    assert shown & sentences(evaluation_prompts()) == set()
    assert shown & sentences(text for probe in tp.PROBES.values() for text in probe) == set()


def test_every_word_of_the_evaluation_is_in_the_vocabulary() -> None:
    known = set(world_words())
    words = {w for p in evaluation_prompts() for w in WORD.findall(re.sub(r"\{\w+\}", "", p))}
    assert words - known == {"generate", "TL", "DR"}  # paper 3's own wording, which the models spell
