"""Files in a folder: the official formats with their oddities, and what is dropped, refused or named."""

import json
from pathlib import Path

import pytest

from rl4nlu.base.errors import ConfigError
from rl4nlu.config import Data
from rl4nlu.tasks.parts.columns import Local
from rl4nlu.tasks.sources import local
from rl4nlu.tasks.sources.layouts import to_rows
from rl4nlu.tasks.task import load_tasks
from rl4nlu.tasks.units import text_kept_apart

TASKS = load_tasks()


def read_local(folder: Path, task_name: str, train: bytes | str, test: bytes | str | None = None):
    """Rows and dropped rows of a task whose official files hold these bytes."""
    task, source = TASKS[task_name], TASKS[task_name].sources.local
    for name, content in ((source.train, train), (source.test, test if test is not None else train)):
        if name is not None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    readings, _ = local.read(task, source, Data(source="local", data_root=str(folder)))
    return to_rows(task, readings.get("train", readings["test"]))


def test_cola_has_no_header_and_keeps_quotes(tmp_path: Path) -> None:
    rows, dropped = read_local(tmp_path, "cola", 'gj04\t1\t\t"Hello," he said\nw_80\t0\t*\tIt "was\n')
    assert [(r.id, r.fields, r.label) for r in rows] == [
        ("glue/CoLA/train.tsv:1", {"sentence": '"Hello," he said'}, "1"),
        ("glue/CoLA/train.tsv:2", {"sentence": 'It "was'}, "0"),
    ]
    assert dropped == []


def test_byte_order_mark_carriage_returns_and_a_missing_last_newline(tmp_path: Path) -> None:
    text = "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n1\t1\t2\tA \u2028 b\rc .\tB .\r\n0\t1\t2\tC .\tD ."
    rows, dropped = read_local(tmp_path, "mrpc", text)
    assert [r.fields["sentence1"] for r in rows] == ["A \u2028 b\rc .", "C ."]
    assert [r.label for r in rows] == ["1", "0"]
    assert dropped == []


@pytest.mark.parametrize("width", [12, 16])
def test_mnli_is_read_by_its_headers_names_in_both_widths(tmp_path: Path, width: int) -> None:
    header = ["c"] * (width - 3) + ["sentence1", "sentence2", "gold_label"]
    header = [f"{name}{i}" if name == "c" else name for i, name in enumerate(header)]
    lines = ["\t".join(header), "\t".join(["x"] * (width - 3) + ["P .", "H .", "neutral"])]
    rows, _ = read_local(tmp_path, "mnli", "\n".join(lines))
    assert rows[0].fields == {"premise": "P .", "hypothesis": "H ."}
    assert rows[0].label == "neutral"


def test_a_malformed_row_is_dropped_and_reported_with_file_and_line(tmp_path: Path) -> None:
    good = ["sentence\tlabel"] + [f"row {i}\t1" for i in range(100)]
    bad = {10: "too\tmany\t1", 20: "no tab", 30: "label\t7", 40: "\t1"}
    lines = [bad.get(number, line) for number, line in enumerate(good, 1)]
    content = "\n".join(lines).encode() + b"\n\xff\xfe\t1\n"
    rows, dropped = read_local(tmp_path, "sst2", content)
    assert len(rows) == 96
    reasons = {d["where"].split(":")[1]: d["reason"] for d in dropped}
    assert set(reasons) == {"10", "20", "30", "40", "102"}
    assert reasons["10"] == "3 columns where 2 are expected"
    assert "'7' is none of 1, 0" in reasons["30"]
    assert "empty" in reasons["40"]
    assert "UTF-8" in reasons["102"]
    assert all(d["where"].startswith("glue/SST-2/train.tsv:") for d in dropped)


def test_too_many_malformed_rows_are_an_error_with_the_first_reasons(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"(?s)task sst2: 2 of 3 rows.*train.tsv:3: label 'x' is none of 1, 0"):
        read_local(tmp_path, "sst2", "sentence\tlabel\na\t1\nb\tx\nc\ty\n")


def test_a_missing_column_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"column 'label' is not in the header - did you mean 'labels'\? Found: sentence, labels"
    ):
        read_local(tmp_path, "sst2", "sentence\tlabels\na\t1\n")
    with pytest.raises(ConfigError, match=r"no column 'question' - did you mean 'questions'"):
        read_local(tmp_path, "boolq", json.dumps({"questions": "q", "passage": "p", "label": True}))


def test_broken_json_lines_are_dropped_with_their_place(tmp_path: Path) -> None:
    lines = [json.dumps({"question": f"q{i}", "passage": "p", "label": i % 2 == 0}) for i in range(60)]
    lines[6] = '{"question": "q'
    lines[8] = "[1, 2]"
    rows, dropped = read_local(tmp_path, "boolq", "\n".join(lines))
    assert [r.label for r in rows][:2] == ["true", "false"]
    assert [d["where"].rpartition(":")[2] for d in dropped] == ["7", "9"]
    assert "no JSON" in dropped[0]["reason"]
    assert "list" in dropped[1]["reason"]


def test_csv_has_quotes_and_lines_inside_of_quotes(tmp_path: Path) -> None:
    source = Local(format="csv", train="a.csv", test="a.csv", fields={"sentence": "text"}, label="good")
    (tmp_path / "a.csv").write_text('text,good\n"a, ""b""\nc",1\n\nd,0\n')
    found = local.read_file(tmp_path / "a.csv", source, "a.csv")
    assert [(r.where, r.values) for r in found.rows] == [
        ("a.csv:2", {"text": 'a, "b"\nc', "good": "1"}), ("a.csv:5", {"text": "d", "good": "0"})
    ]  # fmt: skip
    (tmp_path / "a.csv").write_text('text,good\nx,1\n"open,0\n')
    with pytest.raises(ConfigError, match=r"a.csv: row that begins on line 3: unexpected end"):
        local.read_file(tmp_path / "a.csv", source, "a.csv")


def test_empty_files_and_doubled_columns_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="empty"):
        read_local(tmp_path, "sst2", "")
    with pytest.raises(ConfigError, match="'label' stands twice"):
        read_local(tmp_path, "sst2", "sentence\tlabel\tlabel\na\t1\t1\n")


COUNTS = {  # rows of train and dev in the folder of official files; MultiRC and ReCoRD in passages
    "cola": (8551, 1043), "sst2": (12000, 872), "mrpc": (3499, 408), "stsb": (5749, 1500), "qqp": (6000, 1000),
    "mnli": (3000, 1000), "mnli-mm": (None, 1000), "qnli": (5000, 2000), "rte": (2490, 277), "wnli": (635, 71),
    "boolq": (2564, 770), "cb": (250, 56), "copa": (400, 100), "multirc": (456, 83), "record": (64, 5),
    "superglue-rte": (None, 277), "wic": (5428, 638), "wsc": (554, 104), "axb": (None, 1104), "axg": (None, 356),
}  # fmt: skip


@pytest.mark.real_data
@pytest.mark.parametrize("name", sorted(COUNTS))
def test_official_files_are_read_whole(official_data: Path, name: str) -> None:
    task = TASKS[name]
    readings, _ = local.read(task, task.sources.local, Data(source="local", data_root=str(official_data)))
    for split, expected in zip(("train", "test"), COUNTS[name], strict=True):
        assert (split in readings) == (expected is not None)
        if expected is None:
            continue
        rows, dropped = to_rows(task, readings[split])
        assert dropped == []
        assert len(readings[split].rows) == expected
        if task.layout in ("plain", "pairs"):
            assert len(rows) == expected
        assert len({row.id for row in rows}) == len(rows)
        if task.labels:
            assert {row.label for row in rows} == set(task.labels)


@pytest.mark.real_data
def test_official_multirc_has_its_known_number_of_answers(official_data: Path) -> None:
    task = TASKS["multirc"]
    readings, _ = local.read(task, task.sources.local, Data(source="local", data_root=str(official_data)))
    assert [len(to_rows(task, readings[s])[0]) for s in ("train", "test")] == [27243, 4848]


@pytest.mark.real_data
def test_official_texts_have_their_known_numbers_of_prompts_and_references(official_data: Path) -> None:
    data = Data(source="local", data_root=str(official_data))
    found = {}
    for name in ("imdb", "commongen"):
        readings, _ = local.read(TASKS[name], TASKS[name].sources.local, data)
        found[name] = [to_rows(TASKS[name], readings[split])[0] for split in ("train", "test")]
        train, test = ({text_kept_apart(TASKS[name], row) for row in rows} for rows in found[name])
        assert not train & test
    assert [len(rows) for name in found for rows in found[name]] == [2405, 472, 1864, 399]
    dev = found["commongen"][1]
    assert dev[0].fields["concepts"] == "field look stand"
    assert {len(row.answers or []) for row in dev} == {2, 3, 4, 7}
    assert {row.fields["sentiment"] for row in found["imdb"][0]} == {"0", "1"}


def read_side_by_side(folder: Path, words: bytes, said: bytes):
    for name, content in (("a.src", words), ("a.tgt", said), ("b.jsonl", b'{"words": "x", "said": ["y", "z"]}\n')):
        (folder / name).write_bytes(content)
    source = Local(format="jsonl", train={"words": "a.src", "said": "a.tgt"}, test="b.jsonl")
    return local.read(TASKS["cola"], source, Data(source="local", data_root=str(folder)))


def test_files_of_one_column_each_are_read_side_by_side(tmp_path: Path) -> None:
    readings, origin = read_side_by_side(tmp_path, b"ski hill\nsea\ntown\n", b"I ski.\n\n\xff\n")
    assert [(row.where, row.values) for row in readings["train"].rows] == [
        ("a.src:1", {"words": "ski hill", "said": "I ski."}), ("a.src:2", {"words": "sea"}), ("a.src:3", {"words": "town"})
    ]  # fmt: skip
    assert [line["where"] for line in readings["train"].dropped] == ["a.tgt:3"]
    assert readings["test"].rows[0].values == {"words": "x", "said": ["y", "z"]}
    assert origin["files"] == {"train": ["a.src", "a.tgt"], "test": "b.jsonl"}


def test_files_side_by_side_of_unequal_length_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"as many lines as each other: a\.src has 2, a\.tgt has 1"):
        read_side_by_side(tmp_path, b"ski\nsea\n", b"I ski.")
