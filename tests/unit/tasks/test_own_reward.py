"""A user's own reward: the shipped example by hand, and one message for every fault."""

from pathlib import Path

import pytest

from rl4nlu.base.errors import ConfigError
from rl4nlu.tasks.own_reward import check_function, load_function
from rl4nlu.tasks.reading import Reading, read_response
from rl4nlu.tasks.rows import Row
from rl4nlu.tasks.task import load_task

EXAMPLE = "config.example_reward:length_penalised"
KEY = "ppo.reward"
PASS = "def f(rows, texts, readings):\n    return {}\n"
ROWS = [Row("a", {}, "1"), Row("b", {}, "0")]
TEXTS = ["one", "two"]
READINGS = [Reading("", "1", None)] * 2


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Writes a module `mine` that is found by PYTHONPATH."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return (tmp_path / "mine.py").write_text


def test_the_example_by_hand() -> None:
    task = load_task("sst2")
    texts = [" Positive </Judgement>", " Negative </Judgement>", " I think that", ""]
    readings = [read_response(task, text) for text in texts]
    rows = [Row(str(n), {}, "1") for n in range(4)]
    assert load_function(EXAMPLE, KEY)(rows, texts, readings) == pytest.approx([0.9, -0.1, -1.15, -1.0])


def test_the_digest_is_that_of_the_file(written) -> None:
    written(PASS.format("[1, 1]"))
    first = check_function("mine:f", KEY)
    assert check_function("mine:f", KEY) == first
    written(PASS.format("[1, 2]"))
    assert check_function("mine:f", KEY) != first


def test_a_module_may_hold_what_needs_its_name(written) -> None:
    head = "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass A:\n    x: float\n"
    written(head + PASS.format("[A(2).x for _ in rows]"))
    assert load_function("mine:f", KEY)(ROWS, TEXTS, READINGS) == [2, 2]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("yours:f", "", r"^ppo\.reward: yours:f: no file yours\.py in .*the checkout and PYTHONPATH"),
        ("mine.rewards:f", "", r"no file mine/rewards\.py in"),
        ("mine:length", "def lenght(rows, texts, readings): ...", r"no function 'length' - did you mean 'lenght'\? Found: lenght"),
        ("mine:f", "", r"mine\.py has no function 'f' Found: none"),
        ("mine:f", "def f(prompts, texts): ...", r"^ppo\.reward: mine:f takes \(prompts, texts\); allowed: \(rows, texts, readings\)"),
        ("mine:f", "def f(rows, texts, readings, **more): ...", r"takes \(rows, texts, readings, \*\*more\); allowed"),
        ("mine:f", "def f(rows, texts readings): ...", r"mine\.py is no Python: line 1"),
    ],
)  # fmt: skip
def test_a_function_that_cannot_be_called_is_one_message(written, name: str, text: str, message: str) -> None:
    written(text)
    for use in (check_function, load_function):
        with pytest.raises(ConfigError, match=message):
            use(name, KEY)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ("[1.0]", r"^ppo\.reward: mine:f gave 1 numbers for 2 answers; allowed: one an answer"),
        ("[1.0, float('nan')]", r"mine:f gave nan for 'two' \(row b\); allowed: finite numbers"),
        ("[float('inf'), 0]", r"mine:f gave inf for 'one' \(row a\); allowed: finite numbers"),
        ("None", r"mine:f gave None; allowed: a list of one finite number an answer"),
        ("['high', 'low']", r"mine:f gave \['high', 'low'\]; allowed: a list"),
    ],
)
def test_what_is_no_reward_is_one_message(written, found: str, message: str) -> None:
    written(PASS.format(found))
    rule = load_function("mine:f", KEY)
    with pytest.raises(ConfigError, match=message):
        rule(ROWS, TEXTS, READINGS)


def test_an_error_of_the_users_own_is_left_to_be_read(written) -> None:
    written(PASS.format("[1 + 'a']"))
    with pytest.raises(TypeError, match="unsupported operand"):
        load_function("mine:f", KEY)(ROWS, TEXTS, READINGS)
