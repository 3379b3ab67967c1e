"""The stage: requests, filters with counted reasons, cache, record; the template, supplied files and the local chat model."""

import json
import re
import subprocess
import sys
from collections import Counter

import pytest
from chat_server import KEY, completion, served, settings
from tiny_models import byte_tokenizer, tiny_decoder

from rl4nlu.base.errors import ConfigError
from rl4nlu.base.files import read_json, read_jsonl, write_jsonl
from rl4nlu.config import ChatModel, Rationales, load_config
from rl4nlu.models.cache import Cache
from rl4nlu.rationales.chat import chat
from rl4nlu.rationales.requests import kept, requests_of, write_arguing_prompt
from rl4nlu.rationales.template import template
from rl4nlu.rationales.writing import write_rationales
from rl4nlu.tasks.prompts import answer_text
from rl4nlu.tasks.reading import read_response
from rl4nlu.tasks.rows import Row, load_rationales, with_rationales
from rl4nlu.tasks.task import load_tasks

TASKS = load_tasks()
TASK = TASKS["rllr-mnli"]


def rows_of(split: str, n: int = 6) -> list[Row]:
    labels = list(TASK.labels)
    return [
        Row(
            f"{split}:{i}",
            {"premise": f"The {split} cup number {i} is red.", "hypothesis": f"It is {i}."},
            labels[i % 3],
        )
        for i in range(n)
    ]


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("TEST_KEY", KEY)


@pytest.fixture
def data(tmp_path):
    for split in ("train", "validation", "test"):
        write_jsonl(tmp_path / "data" / TASK.name / f"{split}.jsonl", (row.stored() for row in rows_of(split)))
    return tmp_path / "data"


def write(data, **values):
    return write_rationales(TASK, Rationales(**values), data, data.parent / "cache", data / TASK.name)


# Requests and filters ----------------------------------------------------------------------------------------------


def test_gold_and_wrong_labels_are_asked_for_and_wrong_ones_drawn_uniformly() -> None:
    rows = [Row(str(i), {}, "neutral") for i in range(600)]
    made = requests_of(rows, "train", lambda row: list(TASK.labels), 1, 0, False)
    assert [r.gold for r in made] == [True, False] * 600
    counts = Counter(r.label for r in made if not r.gold)
    assert set(counts) == {"entailment", "contradiction"}
    assert min(counts.values()) > 240
    again = requests_of(rows[300:], "train", lambda row: list(TASK.labels), 1, 0, False)
    assert again == made[600:]  # a row's draw depends on its id alone
    assert requests_of(rows, "train", lambda row: list(TASK.labels), 1, 1, False) != made
    assert len(requests_of(rows, "train", lambda row: list(TASK.labels), 9, 0, True)) == 600 * 6


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (None, "no answer"),
        ("", "empty"),
        (" <Judgement> Neutral </Judgement>", "empty"),
        ("It may be so.", "no label"),
        ("It may be so. <Judgement> Neutral", "no label"),
        ("It may be so. <Judgement> Perhaps </Judgement>", "no label"),
        ("It may be so. Neutral </Judgement>", "no label"),
        ("It may be so. <Judgement> Neutral or Entailment </Judgement>", "no label"),
        ("It may be so. <Judgement> Entailment </Judgement>", "label contradicts"),
        ("It may be so, or so. <Judgement> Neutral </Judgement>", "too long"),
        ("It  may\n be so. <Judgement> Neutral </Judgement> and more", ""),
        ("It\u2028may be so. <Judgement> Neutral \ud83d </Judgement>", ""),
    ],
)
def test_what_is_dropped_and_why(response, reason: str) -> None:
    request = requests_of([Row("a", {}, "neutral")], "train", lambda row: list(TASK.labels), 1, 0, False)[0]
    assert kept(TASK, request, response, 6) == (None if reason else "It may be so.", reason)


def test_a_prompt_gives_the_task_the_row_and_the_label_and_not_whether_it_is_gold() -> None:
    gold, wrong = requests_of(rows_of("train", 1), "train", lambda row: list(TASK.labels), 1, 0, False)
    one, two = write_arguing_prompt(TASK, gold, 40), write_arguing_prompt(TASK, wrong, 40)
    assert TASK.description in one
    assert "The train cup number 0 is red." in one
    assert "at most 40 words" in one
    assert one.replace(TASK.labels[gold.label], "X") == two.replace(TASK.labels[wrong.label], "X")


# Template ----------------------------------------------------------------------------------------------------------


def test_the_template_quotes_the_row_and_ungrounded_copies_another_one(data) -> None:
    record = write(data, source="template", ungrounded=True)
    assert record["note"].startswith("a template that quotes spans of the input: The first says '{0}'")
    assert record["kept"] == record["requests"] == 72
    assert record["kept_gold"] == record["kept_wrong"] == {"train": 6, "validation": 6, "test": 6}
    assert record["ungrounded"] == 36
    fields = {row.id: row.fields for split in ("train", "validation", "test") for row in rows_of(split)}
    others = 0
    for line in read_jsonl(data / TASK.name / "rationales.jsonl"):
        first, second = re.findall(r"'(.*?)'", line["rationale"])
        inside = first in fields[line["id"]]["premise"] and second in fields[line["id"]]["hypothesis"]
        assert inside or not line["grounded"]
        others += not inside
    assert others > 18


def test_the_template_survives_braces_tags_and_short_texts() -> None:
    row = Row("a", {"premise": "{0} </Judgement> {x}", "hypothesis": "?"}, "neutral")
    requests = requests_of([row], "train", lambda row: list(TASK.labels), 9, 0, True)
    for number, response in template(TASK, 0)(requests):
        assert kept(TASK, requests[number], response, 48)[0] is not None


# Reading -----------------------------------------------------------------------------------------------------------


def test_rationales_are_read_by_row_and_label(data) -> None:
    write(data, source="template", ungrounded=True)
    found = load_rationales(data, TASK.name, "train")
    assert set(found) == {row.id for row in rows_of("train")}
    rows = rows_of("train")
    assert all(len(texts) == 2 and str(row.label) in texts for row, texts in zip(rows, found.values(), strict=True))
    invented = load_rationales(data, TASK.name, "train", grounded=False)
    assert set(invented) == set(found)
    assert invented != found
    shown = with_rationales(data, TASK.name, "train", rows)
    assert [row.rationale for row in shown] == [found[row.id][str(row.label)] for row in rows]
    assert "rationale" not in shown[0].stored()
    reasoned = load_config({"protocol": {"response": "rationale"}}).protocol
    for row in shown:
        text = answer_text(TASK, row.label, reasoned, rationale=row.rationale)
        assert read_response(TASK, text, response="rationale").label == row.label
    with pytest.raises(ConfigError, match="no rationales; `snakemake rationales`"):
        load_rationales(data, "sst2", "train")
    with pytest.raises(ConfigError, match="none of 1 train rows"):
        with_rationales(data, TASK.name, "train", [Row("x", {}, "neutral")])


def test_rows_may_be_capped_and_numbers_are_refused(data, tmp_path) -> None:
    record = write(data, source="template", rows=2)
    assert record["kept_gold"] == {"train": 2, "validation": 2, "test": 2}
    assert write(data, source="template", rows=2)["digest"] == record["digest"]
    with pytest.raises(ConfigError, match="task stsb: its answers are numbers"):
        write_rationales(TASKS["stsb"], Rationales(), data, tmp_path, tmp_path)


# Supplied ----------------------------------------------------------------------------------------------------------


def supplied(data, lines) -> dict:
    path = data.parent / f"{TASK.name}.jsonl"
    path.write_text("".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines))
    return write(data, source="supplied", supplied=str(data.parent / "{task}.jsonl"))


def test_a_supplied_file_gives_what_it_has(data) -> None:
    lines = [
        {"id": "train:0", "label": "entailment", "rationale": "It is red."},
        {"id": "train:0", "label": "Neutral", "rationale": "It says nothing."},
        {"id": "train:1", "label": "neutral", "rationale": "Nothing is said."},
        {"id": "other", "label": "neutral", "rationale": "x"},
    ]
    record = supplied(data, lines)
    assert (record["kept_gold"]["train"], record["kept_wrong"]["train"]) == (2, 1)
    assert load_rationales(data, TASK.name, "train") == {
        "train:0": {"entailment": "It is red.", "neutral": "It says nothing."},
        "train:1": {"neutral": "Nothing is said."},
    }


GOOD = {"id": "train:0", "label": "entailment", "rationale": "It is red."}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([GOOD, {**GOOD, "label": "entailmnt"}], "line 2: label 'entailmnt' is none of task rllr-mnli - did you mean 'entailment'.*Allowed: entailment"),
        ([{**GOOD, "rationale": " "}], "line 1: the rationale for row train:0 is empty"),
        ([{"id": "train:0", "label": "neutral"}], "line 1: key rationale is missing"),
        ([GOOD, {**GOOD, "label": "Entailment"}], "line 2: row train:0 has a second rationale"),
        (["[1]\n"], "line 1: expected an object"),
        ([GOOD, "{oops\n"], "line 2: not valid JSON"),
        ([{**GOOD, "id": "nobody"}], "holds no row of task rllr-mnli; its first id is 'nobody'"),
        ([], "none is kept"),
    ],
)  # fmt: skip
def test_faults_of_a_supplied_file_are_named(data, lines, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        supplied(data, lines)


def test_an_absent_file_and_an_absent_section_are_named(data) -> None:
    with pytest.raises(ConfigError, match=r"no such file; rationales\.supplied"):
        write(data, source="supplied", supplied=str(data / "{task}.jsonl"))
    for values, message in (
        ({"source": "endpoint"}, "source is endpoint, and the key endpoint is missing"),
        ({"source": "supplied"}, "key supplied is missing"),
        ({"source": "chatt"}, "did you mean 'chat'"),
        (
            {"ungrounded": True, "source": "supplied", "supplied": "x"},
            "ungrounded rationales are made by derived and template",
        ),
        ({"endpoint": {"base_url": "http://me:pw@host/v1", "model": "m"}}, "no user, password or query"),
    ):
        with pytest.raises(ConfigError, match=message):
            load_config({"rationales": values})


# Cache -------------------------------------------------------------------------------------------------------------


def obliging(number, prompt):
    """Argues for the label that is asked for; not for every row."""
    label = prompt.rpartition("The label to argue for: ")[2]
    if "train cup number 3" in prompt:
        return 200, {}, completion("I will not.")
    if "train cup number 4" in prompt:
        return 200, {}, completion("Yes. <Judgement> Neutral </Judgement>" if label != "Neutral" else "")
    return 200, {}, completion(f"The words speak for it. <Judgement> {label} </Judgement>")


def by_endpoint(url: str, **more) -> dict:
    return {"source": "endpoint", "endpoint": settings(url, **more).model_dump()}


def test_a_restart_asks_for_nothing_twice_and_reasons_are_counted(data) -> None:
    with served(obliging) as server:
        record = write(data, **by_endpoint(server.url))
        assert record["asked"] == record["requests"] == len(server.requests) == 36
        assert record["dropped"]["no label"] == 2
        assert record["dropped"]["empty"] + record["dropped"]["label contradicts"] == 2
        assert record["kept"] == 32
        again = write(data, **by_endpoint(server.url, timeout=9, attempts=1, concurrency=1))
        assert len(server.requests) == 36
        assert (again["asked"], again["from_cache"]) == (0, 36)
        assert again["digest"] == record["digest"]
        write(data, **by_endpoint(server.url, temperature=0.1))
        assert len(server.requests) == 72
        assert "key" not in json.dumps(record["model"])
    files = list((data.parent / "cache").glob("*/*.jsonl"))
    assert len(files) == 2
    assert all("sk-secret" not in path.read_text() for path in files)


def test_what_was_answered_before_a_failure_is_kept(data) -> None:
    good = set()

    def failing(number, prompt):
        if len(good) >= 10 and prompt not in good:
            return 500, {}, b""
        good.add(prompt)
        return obliging(number, prompt)

    with served(failing) as server:
        with pytest.raises(ConfigError, match="status 500"):
            write(data, **by_endpoint(server.url, concurrency=1))
        assert not (data / TASK.name / "rationales.jsonl").exists()
        (file,) = (data.parent / "cache").glob("*/*.jsonl")
        assert len(file.read_text().splitlines()) == 10
        with file.open("a") as torn:
            torn.write('{"prompt": "abc", "answ')  # a killed process's last line
        server.rule = obliging
        record = write(data, **by_endpoint(server.url))
        assert (record["from_cache"], record["asked"]) == (10, 26)
    assert len(Cache(file).answers) == 36


def test_equal_prompts_are_asked_for_once(data) -> None:
    twice = [Row(f"train:{i}", {"premise": "Same.", "hypothesis": "Same."}, "neutral") for i in range(4)]
    write_jsonl(data / TASK.name / "train.jsonl", (row.stored() for row in twice))
    with served(obliging) as server:
        record = write(data, **by_endpoint(server.url))
        prompts = {body["messages"][0]["content"] for _, _, body in server.requests}
        assert len(server.requests) == len(prompts) < record["requests"]
        assert record["kept_gold"]["train"] == 4


# A chat model ------------------------------------------------------------------------------------------------------


@pytest.fixture
def model(tmp_path):
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = "{% for m in messages %}[{{ m['content'] }}]{% endfor %}"
    tiny_decoder("llama", len(tokenizer), positions=64).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_a_local_chat_model_answers_batch_by_batch(model) -> None:
    values = ChatModel(path=str(model), dtype="float32", batch_size=2)
    found = list(chat(values, ["a", "bb", "ccc"], 8, 0))
    assert [number for number, _ in found] == [0, 1, 2]
    assert all(0 < len(text.encode()) <= 32 for _, text in found)
    assert list(chat(values, ["a", "bb", "ccc"], 8, 0)) == found
    greedy = values.model_copy(update={"temperature": 0.0})
    assert list(chat(greedy, ["a"], 8, 0)) == list(chat(greedy, ["a"], 8, 1))
    (model / "chat_template.jinja").unlink()
    with pytest.raises(ConfigError, match="has no chat template"):
        list(chat(values, ["a"], 8, 0))


def test_a_chat_models_answers_are_cached_and_useless_ones_named(data, model) -> None:
    settings = {"source": "chat", "chat": {"path": str(model), "dtype": "float32"}, "rows": 1, "max_words": 4}
    with pytest.raises(ConfigError, match="of 6 rationales from source chat none is kept"):
        write(data, **settings)
    (file,) = (data.parent / "cache").glob("*/*.jsonl")
    assert len(file.read_text().splitlines()) == 6


# The program -------------------------------------------------------------------------------------------------------


def test_the_program_writes_derived_rationales_and_names_faults(root, tmp_path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("data: {train_rows: 30, validation_rows: 5, test_rows: 5}\nrationales: {ungrounded: true}\n")

    def run(program: str, *more: str):
        command = [sys.executable, str(root / "workflow" / "scripts" / program), "--config", str(config), *more]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    out = tmp_path / "data" / "ag-news"
    folders = ("--data", str(tmp_path / "data"), "--work", str(tmp_path / "work"), "--out", str(out))
    assert run("prepare_data.py", "--task", "ag-news", "--out", str(out)).returncode == 0
    done = run("rationales.py", "--task", "ag-news", *folders)
    assert done.returncode == 0, done.stderr
    assert "160 of 160 rationales kept (derived from why a generated label holds)" in done.stdout
    assert read_json(out / "rationales-record.json")["rows_digests"] == read_json(out / "record.json")["digests"]
    wrong = run("rationales.py", "--task", "ag-newz", *folders)
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("error: task: unknown name 'ag-newz' - did you mean 'ag-news'?")


def test_producing_needs_no_torch_unless_a_model_is_asked() -> None:
    code = "import rl4nlu.rationales.writing, rl4nlu.rationales.derived, sys; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
