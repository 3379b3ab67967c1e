"""Task files: the shipped ones are whole, a fault in one gives one clear message, a suite expands."""

import copy
from pathlib import Path

import pytest
import yaml

from rl4nlu.base.errors import ConfigError
from rl4nlu.config import Config
from rl4nlu.tasks.task import METRIC_NAMES, Task, expand, load_task, load_tasks, read_task

GLUE = ["mnli", "mnli-mm", "qqp", "qnli", "sst2", "cola", "stsb", "mrpc", "rte", "wnli", "ax"]
SUPERGLUE = ["boolq", "cb", "copa", "multirc", "record", "superglue-rte", "wic", "wsc", "axb", "axg"]
RLLR = ["movie-reviews", "ag-news", "app-reviews", "rllr-mrpc", "rllr-qqp", "rllr-mnli", "rllr-sst2", "rllr-stsb"]

GENERATION = ["imdb", "commongen", "tldr"]
OFFICIAL_METRICS = {
    "cola": ["matthews"], "sst2": ["accuracy"], "mrpc": ["f1"], "stsb": ["spearman"], "qqp": ["f1"], "mnli": ["accuracy"],
    "mnli-mm": ["accuracy"], "qnli": ["accuracy"], "rte": ["accuracy"], "wnli": ["accuracy"], "ax": ["matthews"],
    "boolq": ["accuracy"], "cb": ["macro-f1", "accuracy"], "copa": ["accuracy"], "multirc": ["multirc-f1a", "multirc-em"],
    "record": ["record-f1", "record-em"], "superglue-rte": ["accuracy"], "wic": ["accuracy"], "wsc": ["accuracy"],
    "axb": ["matthews"], "axg": ["gender-parity", "accuracy"], **{name: ["accuracy"] for name in RLLR},
    "imdb": ["judge", "perplexity", "output-perplexity", "polarity"],
    "commongen": ["cider", "coverage", "bleu-4", "rouge-1", "rouge-2", "rouge-l", "meteor", "bertscore", "spice", "facts"],
    "tldr": ["judge", "rouge-1", "rouge-2", "rouge-l", "perplexity", "output-perplexity", "facts"],
}  # fmt: skip

OWN = {
    "title": "Own",
    "description": "You are an assistant that judges a text .",
    "query": 'Is it good ? "{text}"',
    "fields": ["text"],
    "labels": {"1": "Yes", "0": "No"},
    "metrics": ["accuracy"],
    "pair": {"text_a": "{text}"},
    "sources": {"local": {"format": "csv", "train": "train.csv", "test": "test.csv"}},
}


OWN_TEXT = {
    "title": "Own text",
    "description": "",
    "query": "{text}",
    "fields": ["text", "concepts"],
    "answer": "text",
    "most_tokens": 8,
    "concepts": "concepts",
    "judge": {"title": "Mood", "text_a": "{prompt} {answer}", "text_b": "{text}"},
    "reward": "judge",
    "metrics": ["judge", "perplexity", "coverage"],
    "sources": {"local": {"format": "jsonl", "train": "train.jsonl", "test": "test.jsonl"}},
}


def write(folder: Path, values: dict, name: str = "own", suite: str = "mine") -> Path:
    path = folder / suite / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return path


def test_every_official_task_is_there_in_the_order_of_the_papers_tables() -> None:
    tasks = load_tasks()
    assert [n for n in tasks if tasks[n].suite == "glue"] == GLUE
    assert [n for n in tasks if tasks[n].suite == "superglue"] == SUPERGLUE
    assert [n for n in tasks if tasks[n].suite == "rllr"] == RLLR
    assert [n for n in tasks if tasks[n].suite == "generation"] == GENERATION
    assert {name: task.columns for name, task in tasks.items()} == OFFICIAL_METRICS
    assert {n for n, t in tasks.items() if not t.in_average} == {"wnli", "ax", "axb", "axg", *GENERATION}
    assert {n: t.trained_with for n, t in tasks.items() if t.trained_with} == {
        "mnli-mm": "mnli", "ax": "mnli", "superglue-rte": "rte", "axb": "rte", "axg": "rte"
    }  # fmt: skip


def test_label_words_are_those_of_paper_1() -> None:
    words = {name: set(task.words) for name, task in load_tasks().items()}
    assert words["sst2"] == {"Positive", "Negative"}
    assert words["multirc"] == {"True", "False"}
    assert words["copa"] == {"Option one", "Option two"}
    assert words["wic"] == {"Same", "Different"}
    assert words["mnli"] == words["cb"] == words["ax"] == {"Entailment", "Contradiction", "Neutral"}
    assert words["stsb"] == set()
    assert all(
        words[n] == {"Yes", "No"}
        for n in ("cola", "mrpc", "qqp", "qnli", "rte", "wnli", "boolq", "record", "wsc", "axb")
    )


def test_wording_is_short_and_every_source_is_named() -> None:
    for name, task in load_tasks().items():
        assert len(task.description.split()) <= 25, name
        given = {s for s in ("hub", "local", "microworld") if getattr(task.sources, s)}
        known = {"ax": {"local", "microworld"}, "app-reviews": {"hub", "microworld"}, "tldr": {"hub", "microworld"}}
        assert given == known.get(name, {"hub", "local", "microworld"}), name
        assert set(task.metrics) <= set(METRIC_NAMES)


@pytest.mark.parametrize(
    "kind", [{}, {"answer": "number", "head": "regression", "labels": {}, "high": 5.0, "metrics": ["spearman"]}]
)
def test_a_function_of_ones_own_rewards_labels_and_numbers_alike(tmp_path: Path, kind: dict) -> None:
    assert read_task(write(tmp_path, OWN | kind | {"reward": "mine.rewards:f"})).reward == "mine.rewards:f"


FAULTS = [
    ({"qeury": "x"}, ["qeury", "unknown key", "did you mean 'query'"]),
    ({"query": 'Is it good ? "{txet}"'}, ["query", "{txet}", "did you mean 'text'", "Allowed: text"]),
    ({"query": "Is it good ?"}, ["query", "names no field", "text"]),
    ({"query": "Is it {text good ?"}, ["expected '}'", "{field}"]),
    ({"query": "Is it {text:>9} ?"}, ["between braces"]),
    ({"pair": {"text_a": "{tekst}"}}, ["pair.text_a", "{tekst}", "did you mean 'text'"]),
    ({"labels": {"1": "Yes", "0": "yes"}}, ["labels", "'Yes'", "told apart"]),
    ({"labels": {"1": "Option", "0": "Option one"}}, ["labels", "told apart"]),
    ({"labels": {"1": True, "0": False}}, ["labels", "quotes"]),
    ({"labels": {"1": "Yes"}}, ["labels", "at least two"]),
    ({"labels": {"1": "Yes ", "0": "No"}}, ["labels.1", "spaces"]),
    ({"metrics": ["acuracy"]}, ["metrics", "'acuracy'", "did you mean 'accuracy'", "Allowed"]),
    ({"metrics": ["spearman"]}, ["metrics", "'spearman'", "does not fit answer labels"]),
    ({"metrics": ["multirc-em"]}, ["does not fit", "layout plain"]),
    ({"reported": ["f1"]}, ["reported", "'f1'", "Allowed: accuracy"]),
    ({"answer": "number"}, ["reward", "answer number", "distance", "found label-match"]),
    ({"answer": "number", "reward": "distance"}, ["head", "answer number", "regression", "found classification"]),
    ({"reward": "label_match"}, ["reward", "label_match", "did you mean 'label-match'", "module:function"]),
    ({"reward": "distance"}, ["answer labels", "label-match or a function of your own", "found distance"]),
    ({"answer": "lables"}, ["answer", "lables", "did you mean 'labels'"]),
    ({"parser": "number"}, ["parser", "is called answer now", "labels (once words), number, text"]),
    ({"head": "multiple-choice"}, ["choices", "2 labels"]),
    ({"layout": "record"}, ["fields", "passage, query, candidate"]),
    ({"carve_by": "passage"}, ["carve_by", "'passage'", "Allowed: text"]),
    ({"sft_query": "{text}"}, ["sft_description", "both or neither"]),
    ({"trained_with": "rte"}, ["sources.local.train"]),
    ({"source": "hub"}, ["source: hub", "local"]),
    ({"sources": {"microworld": {"bins": {"1": 0, "2": 1}}}}, ["sources.microworld.bins", "'2'", "Allowed: 1, 0"]),
    ({"sources": {"microworld": {"bins": {"1": 2, "0": 1}}}}, ["bins", "ascending"]),
    ({"sources": {}}, ["sources", "none is given"]),
    ({"sources": {"local": {"format": "xlsx", "test": "a", "train": "b"}}}, ["sources.local.format", "xlsx", "csv"]),
    ({"sources": {"local": {"format": "csv", "test": "a", "train": "b", "fields": {"tekst": "c"}}}}, ["sources.local.fields", "did you mean 'text'"]),
    ({"sources": {"local": {"format": "csv", "test": "a", "train": "b", "labels": {"good": "2"}}}}, ["sources.local.labels.good", "'2'", "Allowed: 1, 0"]),
    ({"name": "own"}, ["name", "path"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "expected"), FAULTS, ids=[str(next(iter(change.items())))[:50] for change, _ in FAULTS]
)
def test_a_fault_gives_one_message_with_file_key_and_what_is_allowed(
    tmp_path: Path, change: dict, expected: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        read_task(write(tmp_path, {**copy.deepcopy(OWN), **change}))
    message = str(caught.value)
    assert "mine/own.yaml" in message
    assert len(message.splitlines()) == 1
    for part in expected:
        assert part in message


TEXT_FAULTS = [
    ({"labels": {"1": "Yes", "0": "No"}}, ["labels", "answer text has no such key"]),
    ({"pair": {"text_a": "{text}"}}, ["pair", "answer text has no such key"]),
    ({"metrics": ["accuracy"]}, ["metrics", "'accuracy'", "does not fit answer text", "Allowed: judge, perplexity"]),
    ({"reward": "label-match"}, ["reward", "answer text", "judge, coverage-cider, overlap", "found label-match"]),
    ({"metrics": ["spice", "judge"]}, ["metrics", "not all rows have spice", "name another"]),
    ({"most_tokens": 0}, ["most_tokens", "longest answer", "at least 1", "found 0"]),
    ({"least_tokens": 9}, ["most_tokens", "at least 9", "found 8"]),
    ({"judge": None}, ["judge", "is missing", "judge needs it"]),
    ({"concepts": None}, ["concepts", "is missing", "coverage needs it"]),
    ({"concepts": "txet"}, ["concepts", "unknown field 'txet'", "did you mean 'text'"]),
    ({"judge": {"title": "Mood", "text_a": "{promt}"}}, ["judge.text_a", "{promt}", "did you mean 'prompt'"]),
    ({"fields": ["text", "concepts", "prompt"]}, ["fields", "prompt", "judge's template"]),
    ({"layout": "pairs"}, ["layout", "answer text goes with plain or continuation, found pairs"]),
    ({"supervised_on": {"kind": "1"}}, ["supervised_on", "unknown field 'kind'", "Allowed: text, concepts"]),
    ({"sources": {"microworld": {"rewrite": {"txet": {"a": "b"}}}}}, ["sources.microworld.rewrite", "did you mean 'text'"]),
    ({"sources": {"microworld": {"rewrite": {"text": {"(a": "b"}}}}}, ["sources.microworld.rewrite", "text: '(a' is no regular expression"]),
    ({"sources": {"microworld": {"least_tokens": 9}}}, ["sources.microworld.most_tokens", "at least 9 tokens, found 8"]),
    ({"in_average": True}, ["in_average", "no common scale"]),
    ({"keep": "middle"}, ["keep", "middle", "'start' or 'end'"]),
    ({"sources": {"microworld": {"labels": {"good": "1"}}}}, ["sources.microworld.labels.good", "'1'"]),
]  # fmt: skip


@pytest.mark.parametrize(("change", "expected"), TEXT_FAULTS, ids=[str(change)[:50] for change, _ in TEXT_FAULTS])
def test_a_fault_of_a_task_of_texts_gives_one_message(tmp_path: Path, change: dict, expected: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        read_task(write(tmp_path, {**copy.deepcopy(OWN_TEXT), **change}))
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    for part in ("mine/own.yaml", *expected):
        assert part in message


@pytest.mark.parametrize(
    "key", [{"keep": "end"}, {"most_tokens": 3}, {"concepts": "text"}, {"supervised_on": {"text": "1"}}]
)
def test_labels_and_numbers_have_no_keys_of_texts(tmp_path: Path, key: dict) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(key))}: answer labels has no such key"):
        read_task(write(tmp_path, OWN | key))
    with pytest.raises(ConfigError, match=r"sources\.microworld\.most_tokens: answer labels has no such key"):
        read_task(write(tmp_path, OWN | {"sources": {"microworld": {"most_tokens": 3}}}))
    with pytest.raises(ConfigError, match="layout: continuation goes with answer text, found labels"):
        read_task(write(tmp_path, OWN | {"layout": "continuation"}))
    with pytest.raises(ConfigError, match="pair: is missing"):
        read_task(write(tmp_path, {name: value for name, value in OWN.items() if name != "pair"}))


def test_a_task_of_texts_is_read_and_survives_its_record(tmp_path: Path) -> None:
    task = read_task(write(tmp_path, OWN_TEXT))
    assert (task.answer, task.words, task.pair, task.columns) == ("text", [], None, OWN_TEXT["metrics"])
    assert Task.model_validate(task.model_dump(mode="json")) == task


def test_a_good_file_is_read_and_takes_its_name_from_the_path(tmp_path: Path) -> None:
    task = read_task(write(tmp_path, OWN))
    assert (task.name, task.suite, task.columns, task.words) == ("own", "mine", ["accuracy"], ["Yes", "No"])


def test_bare_yaml_keys_are_forgiven(tmp_path: Path) -> None:
    assert read_task(write(tmp_path, {**OWN, "labels": {1: "Yes", 0: "No"}})).labels == {"1": "Yes", "0": "No"}
    assert read_task(write(tmp_path, {**OWN, "labels": {True: "Yes", False: "No"}})).labels == {
        "true": "Yes",
        "false": "No",
    }


def test_names_are_unique_and_leaders_exist(tmp_path: Path) -> None:
    write(tmp_path, OWN)
    write(tmp_path, OWN, suite="other")
    with pytest.raises(ConfigError, match="one name"):
        load_tasks(tmp_path)
    (tmp_path / "other" / "own.yaml").unlink()
    follower = {**OWN, "trained_with": "onw", "sources": {"local": {"format": "csv", "test": "test.csv"}}}
    write(tmp_path, follower, name="follower")
    with pytest.raises(ConfigError, match=r"trained_with: unknown task 'onw' - did you mean 'own'"):
        load_tasks(tmp_path)
    write(tmp_path, {**follower, "trained_with": "own", "labels": {"1": "Yes", "0": "Never"}}, name="follower")
    with pytest.raises(ConfigError, match="labels: differ"):
        load_tasks(tmp_path)


def test_a_task_may_not_be_called_as_a_suite(tmp_path: Path) -> None:
    write(tmp_path, OWN, name="mine")
    with pytest.raises(ConfigError, match="suite"):
        load_tasks(tmp_path)


def test_suites_expand_and_unknown_names_are_answered_with_the_nearest() -> None:
    tasks = load_tasks()
    assert expand(["glue"], tasks) == GLUE
    assert expand(["cola", "glue"], tasks) == ["cola", *[n for n in GLUE if n != "cola"]]
    with pytest.raises(ConfigError, match="did you mean 'superglue'"):
        expand(["supergleu"], tasks)
    with pytest.raises(ConfigError, match="did you mean 'stsb'"):
        load_task("sts-b")


def test_tasks_do_not_import_heavy_packages() -> None:
    import subprocess
    import sys

    code = "import rl4nlu.tasks.prepare, rl4nlu.tasks.prompts, rl4nlu.tasks.reading, sys; print([m for m in ('torch', 'transformers', 'datasets') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_default_config_knows_the_sources() -> None:
    assert Config().data.source == "microworld"
