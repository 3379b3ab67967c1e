"""The code digest: logic counts, comments do not, and only a stage's own modules do."""

import shutil

import pytest

from rl4nlu.base import code

CACHES = (code._parsed, code.modules_of, code.code_digest)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the package that a test may edit."""
    copy = tmp_path / "rl4nlu"
    shutil.copytree(code.PACKAGE, copy)
    monkeypatch.setattr(code, "PACKAGE", copy)
    for cached in CACHES:
        cached.cache_clear()
    yield copy
    for cached in CACHES:
        cached.cache_clear()


def digest_after(path, old, new, *stages):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    for cached in CACHES:
        cached.cache_clear()
    return [code.code_digest(stage) for stage in stages]


def test_a_reward_edit_touches_ppo_and_not_sft(package):
    before = [code.code_digest(stage) for stage in ("ppo", "sft")]
    after = digest_after(package / "rewards.py", "-3.0)", "-2.0)", "ppo", "sft")
    assert after[0] != before[0]
    assert after[1] == before[1]


def test_comments_docstrings_and_layout_do_not_count(package):
    before = code.code_digest("ppo")
    text = (package / "rewards.py").read_text()
    (package / "rewards.py").write_text(
        '"""Other words."""\n# a comment\n' + text[text.index('"""', 3) + 3 :] + "\n\n\n"
    )
    for cached in CACHES:
        cached.cache_clear()
    assert code.code_digest("ppo") == before


def test_every_stage_reaches_the_parser_and_ppo_reaches_the_rewards():
    assert {"parsing", "rewards", "ppo"} <= set(code.modules_of("ppo"))
    assert "rewards" not in code.modules_of("sft")
    assert "ppo" not in code.modules_of("evaluate")


def test_an_unknown_stage_is_named():
    with pytest.raises(FileNotFoundError, match="no module 'pppo'"):
        code.code_digest("pppo")
