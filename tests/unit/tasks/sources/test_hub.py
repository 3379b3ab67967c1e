"""Data sets of the hub: splits, class numbers, the commit, and faults that say what to do."""

from pathlib import Path

import pytest

from rl4nlu.base.errors import ConfigError
from rl4nlu.config import Data
from rl4nlu.tasks.parts.columns import Hub
from rl4nlu.tasks.sources import hub
from rl4nlu.tasks.sources.layouts import to_rows
from rl4nlu.tasks.task import load_tasks

TASKS = load_tasks()


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


def hub_rows(name: str, values: list[dict], **features):
    """Rows of a task of texts from a data set with these values and features."""
    import datasets

    found = datasets.Dataset.from_list(values, features=datasets.Features(features) if features else None)
    return to_rows(TASKS[name], hub.convert(TASKS[name], TASKS[name].sources.hub, found, "r"))[0]


def test_texts_of_the_hub_are_cut_joined_and_freed_of_what_the_query_writes() -> None:
    import datasets

    reviews = [{"text": "A fine film. I", "label": 0}, {"text": "So so .", "label": 1}]
    rows = hub_rows("imdb", reviews, text=datasets.Value("string"), label=datasets.ClassLabel(names=["neg", "pos"]))
    assert [(row.fields, row.answers) for row in rows] == [
        ({"text": "A fine", "sentiment": "0"}, ["film. I"]), ({"text": "So", "sentiment": "1"}, ["so ."])
    ]  # fmt: skip
    scenes = [{"concept_set_idx": 0, "concepts": ["ski", "hill"], "target": f"Scene {n}."} for n in (1, 2)]
    assert [(row.fields, row.answers) for row in hub_rows("commongen", scenes)] == [
        ({"concepts": "ski hill"}, ["Scene 1.", "Scene 2."])
    ]
    posts = [{"prompt": "SUBREDDIT: r/a\nPOST: TL;DR: is short.\nTL;DR:", "label": " Short."}]
    assert [(row.fields, row.answers) for row in hub_rows("tldr", posts)] == [
        ({"post": "SUBREDDIT: r/a\nPOST: TL;DR: is short."}, ["Short."])
    ]
