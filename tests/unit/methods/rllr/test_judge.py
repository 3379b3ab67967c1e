"""Grades from a server: what is a verdict, against a real server on this machine, and what a restart asks for again."""

import re
from collections import Counter
from dataclasses import replace

import pytest
from chat_server import KEY, completion, served, settings
from questions import SST2, TASKS, answer, question

from rl4nlu.base.errors import ConfigError
from rl4nlu.config import Model, Pairs, load_config
from rl4nlu.methods.replies import Reply
from rl4nlu.methods.rllr.judge import grades_of, judge, verdicts, write_grading_prompt
from rl4nlu.methods.rllr.pairs import pair_replies
from rl4nlu.runs.resolve import resolve
from rl4nlu.runs.spec import Address


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("TEST_KEY", KEY)


def by_length(number, prompt):
    """Grades every answer by how often it says `good`."""
    said = re.findall(r"^Answer (\d+): (.*)$", prompt, re.MULTILINE)
    return 200, {}, completion("\n".join(f"{n}: {1 + text.count('good')}" for n, text in said))


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        ("1: 7\n2: 3", [7.0, 3.0]),
        ("2. 3/10\n1) 7", [7.0, 3.0]),
        ("**1: 10**\n- 2: 1.\n", [10.0, 1.0]),
        ("Here you are:\n1: 7\n2: 3\nThe first is better.", [7.0, 3.0]),
        ("1: 7", None),
        ("1: 7\n1: 8", None),
        ("1: 7\n2: 3\n3: 4", None),
        ("1: 7\n2: 11", None),
        ("1: 0\n2: 3", None),
        ("1: 7\n2: well", None),
        ("", None),
    ],
)
def test_a_verdict_grades_every_reply_once(verdict, expected):
    assert grades_of(verdict, 2) == expected


def test_the_judge_sees_the_question_and_every_reply():
    text = write_grading_prompt("Is it good ?", ["because {x} <Judgement> Positive </Judgement>", "why not"])
    assert "The question: Is it good ?" in text
    assert "Answer 1: because {x} <Judgement> Positive </Judgement>\nAnswer 2: why not" in text
    assert text.startswith("Below are a question and 2 answers")


def test_grades_come_back_in_order_and_a_restart_asks_for_nothing(tmp_path):
    replies = [["good", "bad", "good good"], ["one"], [], ["bad", "good"]]
    counts = Counter()
    with served(by_length) as server:
        found = verdicts(settings(server.url), ["q"] * 4, replies, tmp_path, counts)
        assert found == [[2.0, 1.0, 3.0], [1.0], [], [1.0, 2.0]]
        assert (len(server.requests), counts) == (2, {"asked": 2, "from cache": 0, "malformed": 0})
        again = Counter()
        assert verdicts(settings(server.url), ["q"] * 4, replies, tmp_path, again) == found
        assert (len(server.requests), again) == (2, {"from cache": 2, "malformed": 0})
        verdicts(settings(server.url, temperature=0), ["q"] * 4, replies, tmp_path, again)  # another judge
        assert len(server.requests) == 4
        assert server.requests[0][2]["max_tokens"] == 24


def test_malformed_verdicts_are_counted_and_their_rows_left_out(tmp_path):
    counts = Counter()

    def sometimes(number, prompt):
        return (200, {}, completion("I like them all")) if "odd" in prompt else by_length(number, prompt)

    with served(sometimes) as server:
        found = verdicts(settings(server.url), ["q", "odd"], [["good", "bad"]] * 2, tmp_path, counts)
    assert found == [[2.0, 1.0], None]
    assert counts["malformed"] == 1


def test_what_was_judged_before_a_fault_is_kept(tmp_path):
    """A passing fault is asked again; a refusal ends the work with one message that names the judge's section."""
    counts = Counter()

    def busy_then_refusing(number, prompt):
        if number == 0:
            return 429, {"Retry-After": "0"}, b"slow down"
        return by_length(number, prompt) if number == 1 else (401, {}, b"no such key " + KEY.encode())

    with served(busy_then_refusing) as server, pytest.raises(ConfigError) as error:
        verdicts(settings(server.url, concurrency=1), ["p", "q"], [["good", "bad"]] * 2, tmp_path, counts)
    assert re.match(r"pairs\.judge_endpoint: http://127.* refuses requests .* status 401", str(error.value))
    assert KEY not in str(error.value)
    assert counts["asked"] == 1
    (file,) = tmp_path.iterdir()
    assert file.read_text().count("\n") == 1


def test_a_missing_key_and_a_missing_folder_are_one_message(tmp_path, monkeypatch):
    monkeypatch.delenv("TEST_KEY")
    with pytest.raises(ConfigError, match=r"pairs\.judge_endpoint: the environment variable TEST_KEY is not set"):
        verdicts(settings("http://127.0.0.1:9/v1"), ["q"], [["a", "b"]], tmp_path, Counter())
    with pytest.raises(ConfigError, match="no folder to keep verdicts in"):
        verdicts(settings("http://127.0.0.1:9/v1"), ["q"], [["a", "b"]], None, Counter())


def spec_of(**more):
    models = {"tiny": Model(kind="decoder", path="resources/micro/micro-llama")}
    return resolve(load_config({"pairs": more}), models, TASKS, Address("tiny", "pairs", "sst2", "main", 0))


def test_pairs_are_made_of_the_servers_grades(tmp_path):
    texts = ["it is bad", "it is good", "it is"]
    row = [Reply(answer(text, "Positive"), text, "1") for text in texts] + [Reply("it is", "it is", None)]
    asked = [question("r"), replace(question("s"), row=replace(question("s").row, fields={"sentence": "odd"}))]

    def sometimes(number, prompt):
        assert prompt.count("Answer ") == 3  # the unreadable reply is not shown
        return (200, {}, completion("none")) if '"odd"' in prompt else by_length(number, prompt)

    counts = Counter()
    with served(sometimes) as server:
        server_settings = settings(server.url).model_dump(mode="json")
        judged = judge(spec_of(judge="endpoint", judge_endpoint=server_settings), asked, [row, row], tmp_path, counts)
    assert [[reply.score for reply in one] for one in judged] == [[1.0, 2.0, 1.0], []]
    (pair,) = pair_replies(asked, judged, Pairs(pairing="extremes"))
    assert (pair.chosen, pair.rejected) == (answer("it is good", "Positive"), answer("it is bad", "Positive"))
    assert counts == {"asked": 2, "from cache": 0, "malformed": 1}
    assert SST2.name == pair.task


@pytest.mark.parametrize(
    "values", [{"judge": "endpoint"}, {"judge_endpoint": {"base_url": "http://localhost/v1", "model": "m"}}]
)
def test_a_judge_without_its_server_is_refused(values):
    with pytest.raises(ConfigError, match="judge endpoint needs judge_endpoint"):
        load_config({"pairs": values})
