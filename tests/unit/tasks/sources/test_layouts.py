"""The three sources: official file formats with their oddities, hub data sets, generated rows; one schema for all."""

import json
from pathlib import Path

import pytest

from rl4nlu.base.errors import ConfigError
from rl4nlu.config import Data
from rl4nlu.tasks.sources import hub, local, microworld
from rl4nlu.tasks.sources.layouts import Columns, Malformed, Raw, Reading, label_of, pick, to_rows
from rl4nlu.tasks.task import Hub, Local, load_tasks

TASKS = load_tasks()


def reading(task_name: str, values: list, **columns) -> Reading:
    return Reading([Raw(f"f:{i + 1}", v) for i, v in enumerate(values)], Columns(**columns))


def with_local(task_name: str, **changes):
    task = TASKS[task_name]
    source = task.sources.local.model_copy(update=changes)
    return task.model_copy(update={"sources": task.sources.model_copy(update={"local": source})}), source


def read_local(folder: Path, task_name: str, train: bytes | str, test: bytes | str | None = None):
    """Rows and dropped rows of a task whose official files hold these bytes."""
    task, source = TASKS[task_name], TASKS[task_name].sources.local
    for name, content in ((source.train, train), (source.test, test if test is not None else train)):
        if name is not None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    readings, _ = local.read(task, source, Data(source="local", data_root=str(folder)))
    return to_rows(task, readings.get("train", readings["test"]))


# Files -------------------------------------------------------------------------------------------------------------


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


# Layouts -----------------------------------------------------------------------------------------------------------

NEWS = "Ann met Bob in Rome. Bob left."
RECORD = {
    "passage": {
        "text": NEWS + "\n@highlight\nCid is here",
        "entities": [{"start": 0, "end": 2}, {"start": 8, "end": 10}, {"start": 15, "end": 18}, {"start": 21, "end": 23}],
    },
    "qas": [
        {"query": "@placeholder left with @placeholder.", "answers": [{"start": 8, "end": 10, "text": "Bob"}, {"start": 21, "end": 23, "text": "Bob"}]},
        {"query": "Ann saw @placeholder.", "answers": [{"start": 15, "end": 18, "text": "Rome"}]},
    ],
}  # fmt: skip


def test_record_unfolds_into_distinct_candidates_and_ends_at_the_first_highlight() -> None:
    rows, _ = to_rows(TASKS["record"], reading("record", [RECORD]))
    assert [(r.fields["candidate"], r.label) for r in rows[:3]] == [("Ann", "0"), ("Bob", "1"), ("Rome", "0")]
    assert [r.fields["query"] for r in rows] == [
        "Ann left with Ann.", "Bob left with Bob.", "Rome left with Rome.", "Ann saw Ann.", "Ann saw Bob.", "Ann saw Rome."
    ]  # fmt: skip
    assert {r.fields["passage"] for r in rows} == {NEWS}
    assert [r.group for r in rows] == ["f:1#0"] * 3 + ["f:1#1"] * 3
    assert rows[0].answers == ["Bob"]
    assert len({r.id for r in rows}) == 6


def test_multirc_unfolds_into_answers_grouped_by_question() -> None:
    nested = {
        "passage": {
            "text": "A story.",
            "questions": [
                {
                    "question": "Who?",
                    "idx": 0,
                    "answers": [{"text": "Ann", "label": 1, "idx": 0}, {"text": "", "label": 0, "idx": 1}],
                },
                {"question": "Where?", "idx": 1, "answers": [{"text": "Rome", "label": 0, "idx": 2}]},
            ],
        }
    }
    rows, dropped = to_rows(TASKS["multirc"], reading("multirc", [nested]))
    assert [(r.group, r.fields["question"], r.fields["answer"], r.label) for r in rows] == [
        ("f:1#0", "Who?", "Ann", "1"), ("f:1#0", "Who?", "", "0"), ("f:1#1", "Where?", "Rome", "0")
    ]  # fmt: skip
    assert dropped == []


def test_axg_pairs_are_neighbours_and_a_gap_is_noticed() -> None:
    values = [
        {"premise": f"p{i}", "hypothesis": f"h{i // 2}", "label": "entailment", "pair_id": 100 + 2 * i}
        for i in range(4)
    ]
    rows, _ = to_rows(TASKS["axg"], reading("axg", values))
    assert [r.group for r in rows] == ["pair 0", "pair 0", "pair 1", "pair 1"]
    with pytest.raises(ConfigError, match="f:1 and f:2 stand together but are no pair"):
        to_rows(TASKS["axg"], reading("axg", values[1:]))


def test_wsc_takes_its_spans_from_the_nested_target() -> None:
    columns = TASKS["wsc"].sources.local
    raw = {"text": "Ann met Bo and she ran.", "target": {"span1_text": "Ann", "span2_text": "she"}, "label": True}
    rows, _ = to_rows(TASKS["wsc"], Reading([Raw("f:1", raw)], columns))
    assert rows[0].fields == {"text": raw["text"], "span1_text": "Ann", "span2_text": "she"}
    assert rows[0].label == "true"


def test_columns_are_found_by_name_position_and_path() -> None:
    assert pick({"a.b": 1, "a": {"b": 2}}, "a.b") == 1
    assert pick({"a": {"b": 2}}, "a.b") == 2
    assert pick(["x", "y"], 1) == pick({"k": "x", "l": "y"}, 1) == "y"
    for values, key in (({"a": 1}, "b"), (["x"], 1), (["x"], "a"), ({"a": 1}, "a.b")):
        with pytest.raises(Malformed):
            pick(values, key)


def test_labels_of_all_forms_become_canonical() -> None:
    assert [label_of(TASKS["boolq"], Columns(), v) for v in (True, "false")] == ["true", "false"]
    assert [label_of(TASKS["cola"], Columns(), v) for v in (1, "0", " 1 ")] == ["1", "0", "1"]
    assert label_of(TASKS["stsb"], Columns(), "3.800") == 3.8
    for task, value in (
        ("cola", -1),
        ("cola", None),
        ("stsb", "5.1"),
        ("stsb", "nan"),
        ("stsb", "x"),
        ("boolq", "yes"),
    ):
        with pytest.raises(Malformed):
            label_of(TASKS[task], Columns(), value)


@pytest.mark.parametrize(
    ("score", "label"),
    [
        ("0", "0"),
        ("0.49", "0"),
        ("0.5", "1"),
        ("1.5", "2"),
        (2.4, "2"),
        ("2.500", "3"),
        ("4.499", "4"),
        (4.5, "5"),
        ("5.000", "5"),
    ],
)
def test_scores_become_classes_by_their_bins(score, label: str) -> None:
    task = TASKS["rllr-stsb"]
    assert label_of(task, task.sources.local, score) == label
    for wrong in ("-0.1", "high", "nan"):
        with pytest.raises(Malformed, match="is no number from 0"):
            label_of(task, task.sources.local, wrong)


# Microworld --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(TASKS))
def test_every_task_has_microworld_rows_with_derivations(name: str) -> None:
    task = TASKS[name]
    readings, origin = microworld.read(
        task, task.sources.microworld, Data(train_rows=12, validation_rows=3, test_rows=8)
    )
    assert set(readings) == ({"test"} if task.trained_with else {"train", "test"})
    assert origin["generator"] == (task.sources.microworld.task or name)
    for found in readings.values():
        rows, dropped = to_rows(task, found)
        assert dropped == []
        assert len(rows) >= 8
        assert all(row.derivation for row in rows)
        if task.sources.microworld.bins:
            assert {row.label for row in rows} <= set(task.labels)
        elif task.labels:
            assert {row.label for row in rows} == set(task.labels)


def test_unknown_generators_are_errors() -> None:
    source = TASKS["cola"].sources.microworld.model_copy(update={"task": "colla"})
    with pytest.raises(ConfigError, match=r"task cola: sources.microworld: .*colla"):
        microworld.read(TASKS["cola"], source, Data(train_rows=5, validation_rows=1))


# Hub ---------------------------------------------------------------------------------------------------------------


def save_split(folder: Path, split: str, rows: list[dict], features) -> None:
    import datasets

    folder.mkdir(parents=True, exist_ok=True)
    datasets.Dataset.from_list(rows, features=features).to_parquet(folder / f"{split}-00000-of-00001.parquet")


@pytest.fixture
def hub_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Folders that datasets.load_dataset really opens, with the features of the hub's data sets."""
    import datasets
    from datasets import ClassLabel, Features, Value

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    text = Value("string")
    mnli = Features(
        {
            "premise": text,
            "hypothesis": text,
            "label": ClassLabel(names=["entailment", "neutral", "contradiction"]),
            "idx": Value("int32"),
        }
    )
    for split in ("train", "validation_matched", "validation_mismatched"):
        rows = [{"premise": f"p{i}", "hypothesis": f"{split}", "label": i % 3, "idx": i} for i in range(6)]
        save_split(tmp_path / "glue" / "mnli", split, rows, mnli)
    cola = Features(
        {"sentence": text, "label": ClassLabel(names=["unacceptable", "acceptable"]), "idx": Value("int32")}
    )
    for split in ("train", "validation"):
        save_split(
            tmp_path / "glue" / "cola", split, [{"sentence": f"s{i}", "label": i % 2, "idx": i} for i in range(4)], cola
        )
    boolq = Features(
        {"question": text, "passage": text, "idx": Value("int32"), "label": ClassLabel(names=["False", "True"])}
    )
    save_split(
        tmp_path / "glue" / "boolq", "validation", [{"question": "q", "passage": "p", "idx": 0, "label": 1}], boolq
    )
    parts = [
        (name, split)
        for name in ("mnli", "cola")
        for split in (
            ["train", "validation"] if name == "cola" else ["train", "validation_matched", "validation_mismatched"]
        )
    ]
    lines = ["---", "configs:"]
    for name in ("mnli", "cola"):
        lines += [f"- config_name: {name}", "  data_files:"]
        lines += [f"  - split: {s}\n    path: {n}/{s}-*" for n, s in parts if n == name]
    (tmp_path / "glue" / "README.md").write_text("\n".join([*lines, "---", ""]))
    return tmp_path / "glue"


def hub_source(task_name: str, **changes) -> Hub:
    return TASKS[task_name].sources.hub.model_copy(update=changes)


def test_hub_splits_are_loaded_and_their_class_numbers_mapped(hub_copy: Path) -> None:
    task = TASKS["mnli"]
    readings, origin = hub.read(task, hub_source("mnli", repository=str(hub_copy)), Data())
    rows, dropped = to_rows(task, readings["train"])
    assert [r.label for r in rows][:3] == ["entailment", "neutral", "contradiction"]
    assert rows[0].fields == {"premise": "p0", "hypothesis": "train"}
    assert to_rows(task, readings["test"])[0][0].fields["hypothesis"] == "validation_matched"
    assert dropped == []
    assert origin["splits"] == {"train": "train", "test": "validation_matched"}
    follower, _ = hub.read(TASKS["mnli-mm"], hub_source("mnli-mm", repository=str(hub_copy)), Data())
    assert set(follower) == {"test"}


def test_hub_class_names_that_are_no_labels_are_left_as_numbers(hub_copy: Path) -> None:
    readings, _ = hub.read(TASKS["cola"], hub_source("cola", repository=str(hub_copy)), Data())
    assert [r.label for r in to_rows(TASKS["cola"], readings["test"])[0]] == ["0", "1", "0", "1"]


def test_a_hub_data_set_that_orders_its_classes_otherwise_is_refused(hub_copy: Path) -> None:
    wrong = hub_source(
        "mnli", repository=str(hub_copy), labels={"0": "entailment", "1": "contradiction", "2": "neutral"}
    )
    with pytest.raises(
        ConfigError, match=r"task mnli: sources.hub.labels: .*'1': 'contradiction'.* but .*'1': 'neutral'"
    ):
        hub.read(TASKS["mnli"], wrong, Data())


def test_hub_faults_say_what_to_do(hub_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"cannot load .*\(cola, dev, revision newest\).*data.source"):
        hub.read(TASKS["cola"], hub_source("cola", repository=str(hub_copy), test="dev"), Data())
    with pytest.raises(
        ConfigError, match=r"no column 'gold' - did you mean 'label'|no column 'gold' Found: sentence, label, idx"
    ):
        hub.read(TASKS["cola"], hub_source("cola", repository=str(hub_copy), label="gold"), Data())


def test_the_hub_without_a_network_gives_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets
    import huggingface_hub

    def offline(*args, **kwargs):
        raise ConnectionError("Offline mode is enabled.\nmore")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", offline)
    with pytest.raises(
        ConfigError, match=r"cannot load nyu-mll/glue \(cola, train, revision newest\): ConnectionError: Offline mode"
    ) as caught:
        hub.read(TASKS["cola"], hub_source("cola"), Data())
    assert len(str(caught.value).splitlines()) == 1


def test_the_commit_is_resolved_first_and_used_and_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets
    import huggingface_hub

    asked = []

    def load(repository, config, revision, split):
        asked.append((repository, config, revision, split))
        return datasets.Dataset.from_list([{"sentence": "s", "label": 1}])

    monkeypatch.setattr(datasets, "load_dataset", load)
    monkeypatch.setattr(
        huggingface_hub.HfApi, "dataset_info", lambda self, name, **kw: type("Info", (), {"sha": "c" * 40})()
    )
    _, origin = hub.read(TASKS["cola"], hub_source("cola"), Data())
    assert origin["commit"] == "c" * 40
    assert asked == [("nyu-mll/glue", "cola", "c" * 40, "train"), ("nyu-mll/glue", "cola", "c" * 40, "validation")]


def test_the_hubs_flat_multirc_and_record_rows_equal_the_nested_ones() -> None:
    flat = {
        "passage": RECORD["passage"]["text"], "query": RECORD["qas"][0]["query"], "entities": ["Ann", "Bob", "Rome"],
        "entity_spans": {"text": ["Ann"], "start": [0], "end": [3]}, "answers": ["Bob"], "idx": {"passage": 0, "query": 0},
    }  # fmt: skip
    import datasets

    rows = datasets.Dataset.from_list([flat])
    converted = hub.convert(TASKS["record"], hub_source("record"), rows, "r")
    made, _ = to_rows(TASKS["record"], converted)
    nested, _ = to_rows(TASKS["record"], reading("record", [RECORD]))
    assert [(r.fields, r.label, r.answers) for r in made] == [(r.fields, r.label, r.answers) for r in nested[:3]]
    answers = [
        {
            "paragraph": "P",
            "question": q,
            "answer": a,
            "label": n,
            "idx": {"paragraph": 0, "question": ord(q), "answer": n},
        }
        for q, a, n in [("x", "a", 0), ("x", "b", 1), ("y", "c", 1)]
    ]
    made, _ = to_rows(
        TASKS["multirc"], hub.convert(TASKS["multirc"], hub_source("multirc"), datasets.Dataset.from_list(answers), "m")
    )
    assert [(r.fields["answer"], r.label) for r in made] == [("a", "0"), ("b", "1"), ("c", "1")]
    assert made[0].group == made[1].group != made[2].group


# Official files ----------------------------------------------------------------------------------------------------

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
