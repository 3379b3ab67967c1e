"""Whole files, digests, and errors that name the file."""

import pytest

from rl4nlu.base.files import digest_of, file_digest, read_json, read_jsonl, write_json, write_jsonl


def test_values_come_back_as_written(tmp_path):
    write_json(tmp_path / "new" / "a.json", {"é": [1, None]})
    write_jsonl(tmp_path / "a.jsonl", [{"x": 1}, {"x": 2}])
    assert read_json(tmp_path / "new" / "a.json") == {"é": [1, None]}
    assert read_jsonl(tmp_path / "a.jsonl") == [{"x": 1}, {"x": 2}]


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    write_json(tmp_path / "a.json", 1)
    with pytest.raises(ValueError, match="Out of range"):
        write_json(tmp_path / "a.json", float("nan"))

    def rows():
        yield 1
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_jsonl(tmp_path / "a.json", rows())
    assert read_json(tmp_path / "a.json") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_broken_file_is_named_with_its_line(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"x": 1}\n{"x": \n')
    with pytest.raises(ValueError, match=r"a\.jsonl: line 2"):
        read_jsonl(tmp_path / "a.jsonl")
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(ValueError, match=r"a\.json: not valid JSON"):
        read_json(tmp_path / "a.json")


def test_digests_ignore_the_order_of_keys_and_nothing_else(tmp_path):
    assert digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1}) != digest_of({"a": 1, "b": 3})
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "b").write_bytes(b"y")
    assert file_digest(tmp_path / "a") != file_digest(tmp_path / "b")
