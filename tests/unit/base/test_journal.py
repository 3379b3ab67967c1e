"""Answered rows: by part, whole or not at all, kept when the process is stopped."""

import os
import signal
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from interruptions import heeding  # noqa: F401

import rl4nlu.base.journal
from rl4nlu.base.errors import Stopped
from rl4nlu.base.journal import Journal


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three batches, each a second after what was before it."""
    monkeypatch.setattr(rl4nlu.base.journal, "time", SimpleNamespace(perf_counter=count().__next__))
    path = tmp_path / "answers.jsonl"
    kept = Journal(path, "mine")
    kept.known("a")
    kept.add("a", [4, 2], [[1, 2], []])
    kept.add("b", [0], [[[-0.1, float("-inf")], [1e-30]]])
    kept.add("a", [0], [[7]])
    return path


def test_rows_come_back_by_part(journal: Path) -> None:
    kept = Journal(journal, "mine")
    assert kept.known("a") == {4: [1, 2], 2: [], 0: [7]}
    assert kept.known("b") == {0: [[-0.1, float("-inf")], [1e-30]]}
    assert kept.known("c") == {}
    assert kept.seconds("a") == 2
    kept.remove()
    assert not journal.exists()


@pytest.mark.parametrize("cut", [1, 5, 30])
def test_a_torn_line_is_dropped_told_and_written_again(journal: Path, cut: int, capsys: Any) -> None:
    journal.write_bytes(journal.read_bytes()[:-cut])
    kept = Journal(journal, "mine")
    assert "damaged" in capsys.readouterr().out
    assert kept.known("a") == {4: [1, 2], 2: []}
    kept.add("a", [0], [[7]])
    assert Journal(journal, "mine").known("a") == {4: [1, 2], 2: [], 0: [7]}
    assert "is damaged" not in capsys.readouterr().out


def test_a_changed_line_and_a_foreign_journal_are_not_believed(journal: Path) -> None:
    text = journal.read_text()
    journal.write_text(text.replace("[1, 2]", "[1, 3]"))
    assert Journal(journal, "mine").known("a") == {}
    journal.write_text(text)
    assert Journal(journal, "theirs").known("a") == {}


@pytest.mark.usefixtures("heeding")
def test_on_sigterm_the_batch_is_kept(journal: Path) -> None:
    kept = Journal(journal, "mine")
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(Stopped, match=r"stopped by SIGTERM, rows answered so far are in .*answers\.jsonl"):
        kept.add("c", [1], ["x"])
    assert Journal(journal, "mine").known("c") == {1: "x"}
