"""Arguments from derivations: for every label, in the world's words, grounded where they should be."""

import random
import re
from dataclasses import replace

import pytest
from label_check import parse_facts

from rl4nlu.base.errors import ConfigError
from rl4nlu.config import Data
from rl4nlu.microworld import opinion_tasks as ot
from rl4nlu.microworld.arguments import ARGUE, similarity_class
from rl4nlu.microworld.fact_tasks import STSB_WEIGHTS
from rl4nlu.microworld.tokenizer import build_tokenizer
from rl4nlu.microworld.vocabulary import WORD, world_words
from rl4nlu.rationales.derived import write_derived
from rl4nlu.rationales.requests import kept, requests_of
from rl4nlu.tasks.prepare import read
from rl4nlu.tasks.task import load_tasks

TASKS = load_tasks()
RLLR = [name for name, task in TASKS.items() if task.suite == "rllr"]
OTHERS = ["rte", "boolq", "cola", "wic", "copa", "mrpc", "qqp", "mnli", "sst2"]
TOKENIZER = build_tokenizer()


def rows_of(name: str, n: int = 150, noise: float = 0.0):
    task = TASKS[name]
    source = task.sources.microworld.model_copy(update={"knobs": {"label_noise": noise}})
    task = task.model_copy(update={"sources": task.sources.model_copy(update={"microworld": source})})
    splits, _, _ = read(task, Data(train_rows=n, validation_rows=1, test_rows=1))
    return splits["train"]


def argued(name: str, rows, ungrounded: bool = True):
    """(request, rationale) for every label of every row."""
    task = TASKS[name]
    requests = requests_of(rows, "train", lambda row: list(task.labels), 9, 0, ungrounded)
    found = []
    for number, response in write_derived(task, 0)(requests):
        rationale, reason = kept(task, requests[number], response, 48)
        assert rationale is not None, (reason, response)
        found.append((requests[number], rationale))
    assert len(found) == len(requests)
    return found


@pytest.mark.parametrize("name", RLLR + OTHERS)
def test_every_label_of_every_row_is_argued_for_in_the_worlds_words(name: str) -> None:
    known = set(world_words())
    for request, rationale in argued(name, rows_of(name)):
        assert not set(WORD.findall(rationale)) - known, rationale
        assert "~" not in rationale
        assert re.match(r"[A-Z].*\.$", rationale), rationale
        words = TASKS[name].labels[request.label]
        assert len(TOKENIZER(f"{rationale} <Judgement> {words} </Judgement>")["input_ids"]) <= 64, rationale


@pytest.mark.parametrize("name", RLLR + OTHERS)
def test_arguments_repeat_for_a_seed_and_differ_between_labels(name: str) -> None:
    rows = rows_of(name, 40)
    one = [text for _, text in argued(name, rows)]
    assert one == [text for _, text in argued(name, rows)]
    task = TASKS[name]
    requests = requests_of(rows, "train", lambda row: list(task.labels), 9, 0, False)
    other = [text.split("<")[0].strip() for _, text in write_derived(task, 1)(requests)]
    assert other != [text for request, text in argued(name, rows, False)] or name == "copa"
    by_row: dict = {}
    for request, rationale in argued(name, rows, False):
        by_row.setdefault(request.row.id, set()).add(rationale)
    assert sum(len(texts) == len(task.labels) for texts in by_row.values()) > 0.95 * len(by_row)


def clauses(rationale: str) -> list[str]:
    """What a rationale quotes, clause by clause."""
    return re.split(
        r" and that |, but in the second that |, so the second |, only that |, which is ",
        rationale.split(" says that ", 1)[-1],
    )


@pytest.mark.parametrize(
    ("name", "field"),
    [("rllr-sst2", "sentence"), ("movie-reviews", "text"), ("ag-news", "text"), ("app-reviews", "review")],
)
def test_gold_arguments_quote_the_row_and_ungrounded_ones_never_do(name: str, field: str) -> None:
    for request, rationale in argued(name, rows_of(name)):
        said = request.row.fields[field].lower()
        quoted = [c.removeprefix("it is ") for c in clauses(rationale)[:-1]]
        if not request.grounded:
            assert not any(c.lower() in said for c in quoted), (rationale, said)
        elif request.gold:
            assert all(c.lower() in said for c in quoted), (rationale, said)


def test_gold_arguments_of_inferences_state_what_the_premise_states() -> None:
    for request, rationale in argued("rllr-mnli", rows_of("rllr-mnli", 300), ungrounded=False):
        if not request.gold:
            continue
        premise, claim = (parse_facts(request.row.fields[k]) for k in ("premise", "hypothesis"))
        if request.label == "entailment":
            (quoted,) = parse_facts(rationale.split(" that ", 1)[1].split(", so ")[0] + ".")
            assert quoted in premise
        elif request.label == "contradiction":
            first, second = re.fullmatch(r".*? that (.*), but in the second that (.*)", rationale).groups()
            assert parse_facts(first + ".")[0] in premise
            assert parse_facts(second) == claim
        else:
            unsaid, said = re.fullmatch(r".*? that (.*), only that (.*)", rationale).groups()
            assert parse_facts(unsaid + ".") == claim
            assert parse_facts(said)[0] in premise


def test_about_half_of_the_wrong_arguments_misquote() -> None:
    wrong = [(r, t) for r, t in argued("ag-news", rows_of("ag-news", 300), ungrounded=False) if not r.gold]
    invented = [t for r, t in wrong if clauses(t)[0].lower() not in r.row.fields["text"].lower()]
    assert 0.3 < len(invented) / len(wrong) < 0.7


def test_parts_that_are_said_to_differ_give_the_class_that_is_argued_for() -> None:
    right = 0
    for request, rationale in argued("rllr-stsb", rows_of("rllr-stsb")):
        differ = rationale.split(", and")[0] if rationale.startswith("Different") else ""
        changed = [part for part in STSB_WEIGHTS if part in differ]
        if not (request.grounded or request.gold):
            continue
        assert similarity_class(changed) == request.label
        if request.gold and request.grounded:
            assert changed == [p for p in STSB_WEIGHTS if p in request.row.derivation["changed"]]
            right += 1
    assert right > 100


def test_noisy_rows_are_argued_for_as_printed() -> None:
    rows = [row for row in rows_of("app-reviews", 400, noise=0.5) if row.derivation["noisy"]]
    assert len(rows) > 100
    for request, rationale in argued("app-reviews", rows, ungrounded=False):
        verdict = {1: "very bad", 2: "bad", 3: "as good as bad", 4: "good", 5: "very good"}[int(request.label)]
        assert rationale.endswith(f", which is {verdict}.")
        if int(request.label) == request.row.derivation["clean_label"]:
            assert not request.gold
            assert all(r["text"] in rationale for r in request.row.derivation["remarks"])


def test_rows_without_a_derivation_and_other_generators_are_refused() -> None:
    row = replace(rows_of("rllr-sst2", 20)[0], derivation=None)
    task = TASKS["rllr-sst2"]
    requests = requests_of([row], "train", lambda row: list(task.labels), 1, 0, False)
    with pytest.raises(ConfigError, match=r"task rllr-sst2: row .* was not generated.*template"):
        list(write_derived(task, 0)(requests))
    with pytest.raises(ConfigError, match=r"knows no arguments for generator 'wsc'; it does for mnli, rte"):
        write_derived(TASKS["wsc"], 0)
    assert set(ARGUE) >= {t.sources.microworld.task or n for n, t in TASKS.items() if t.suite == "rllr"}


def test_invented_events_have_their_topic() -> None:
    rng = random.Random(0)
    for topic in ot.TOPICS:
        assert len({ot.event(rng, topic) for _ in range(60)}) > 20
