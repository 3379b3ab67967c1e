"""Rows of the tasks, and the appendix' notes on them."""

import re

from synthetic import inputs

from rl4nlu.report.tables.data import task_notes


def test_task_notes_name_every_task() -> None:
    notes = task_notes(inputs(False))
    assert len(re.findall(r"^\\item", notes, re.MULTILINE)) == len(inputs(False).tasks)
    assert r"\{sentence\}" in notes


def test_task_notes_say_how_long_texts_are_and_what_is_generated_otherwise() -> None:
    notes = task_notes(inputs(False))
    assert "answers: a text of 48 tokens" in notes
    assert "answers: a text of 5 to 20 tokens" in notes
    assert r"Microworld: facts = 4." in notes
    assert "Microworld: least\\_tokens = 0, most\\_tokens = 30." in notes
