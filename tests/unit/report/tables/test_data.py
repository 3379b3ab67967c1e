"""Rows of the tasks, and the appendix' notes on them."""

import re

from synthetic import inputs

from rl4nlu.report.tables.data import task_notes


def test_task_notes_name_every_task() -> None:
    notes = task_notes(inputs(False))
    assert len(re.findall(r"^\\item", notes, re.MULTILINE)) == len(inputs(False).tasks)
    assert r"\{sentence\}" in notes
