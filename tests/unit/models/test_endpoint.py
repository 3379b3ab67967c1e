"""The endpoint's client against a real server on this machine that speaks the protocol, and all that can go wrong with one."""

import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from chat_server import KEY, completion, served, settings

from rl4nlu.base.errors import ConfigError
from rl4nlu.models.endpoint import ask_endpoint, wait_of


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("TEST_KEY", KEY)


def echo(number, prompt):
    return 200, {}, completion(f"said {prompt}")


def test_it_speaks_the_protocol_and_answers_belong_to_their_prompts() -> None:
    with served(echo) as server:
        found = dict(ask_endpoint(settings(server.url + "/", temperature=0.3), [f"p{i}" for i in range(20)], 77))
        assert found == {i: f"said p{i}" for i in range(20)}
        path, headers, body = server.requests[0]
        assert path == "/v1/chat/completions"
        assert headers["Authorization"] == f"Bearer {KEY}"
        assert body == {"model": "m", "messages": body["messages"], "temperature": 0.3, "max_tokens": 77}
        assert body["messages"][0]["role"] == "user"


def test_no_key_is_sent_where_none_is_wanted() -> None:
    with served(echo) as server:
        dict(ask_endpoint(settings(server.url, key_variable=None), ["p"], 9))
        assert "Authorization" not in server.requests[0][1]


@pytest.mark.parametrize("concurrency", [1, 4])
def test_no_more_requests_are_under_way_than_allowed(concurrency: int) -> None:
    together = threading.Barrier(concurrency)

    def slow(number, prompt):
        together.wait(60)  # as many as are allowed do come
        time.sleep(0.03)  # and one too many would come now
        return echo(number, prompt)

    with served(slow) as server:
        assert len(dict(ask_endpoint(settings(server.url, concurrency=concurrency), ["p"] * 12, 9))) == 12
        assert server.most == concurrency


@pytest.mark.parametrize(
    "fault",
    [
        (429, {"Retry-After": "0"}, b"slow down"),
        (500, {}, b"oh"),
        (503, {}, b""),
        (408, {}, b""),
        (200, {}, b"{not json"),
        (200, {}, b"[]"),
        (200, {}, b'{"choices": []}'),
        (200, {}, b'{"choices": [{"message": {}}]}'),
        (200, {}, completion([{"type": "text"}])),
        (200, {"Content-Length": "500"}, b"cut off"),
    ],
)
def test_what_may_pass_is_asked_for_again(fault) -> None:
    with served(lambda number, prompt: fault if number < 2 else echo(number, prompt)) as server:
        assert dict(ask_endpoint(settings(server.url), ["p"], 9)) == {0: "said p"}
        assert len(server.requests) == 3


def test_retry_after_is_waited_for_and_bounded() -> None:
    def limited(number, prompt):
        return (429, {"Retry-After": "0.3" if number == 0 else "3600"}, b"") if number < 2 else echo(number, prompt)

    with served(limited) as server:
        dict(ask_endpoint(settings(server.url, longest_wait=0.5), ["p"], 9))
        first, second = (b - a for a, b in zip(server.times, server.times[1:], strict=False))
        assert 0.28 <= first < 0.48
        assert 0.48 <= second < 2
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert 25 < (wait_of(soon) or 0) <= 30
    assert [wait_of(h) for h in ("2", "-1", "soon", "", None)] == [2.0, 0.0, None, None, None]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 302])
def test_a_refusal_ends_the_work_at_once_and_hides_the_key(status: int) -> None:
    with served(lambda number, prompt: (status, {"Location": "/v1/x"}, f"bad key {KEY}".encode())) as server:
        with pytest.raises(
            ConfigError, match=rf"refuses requests for model 'm' with status {status}: bad key \*\*\*"
        ) as error:
            dict(ask_endpoint(settings(server.url, concurrency=1), ["p"] * 50, 9))
        assert KEY not in str(error.value)
        assert len(server.requests) == 1


def test_an_endpoint_that_never_answers_gives_one_message_and_keeps_what_was_answered() -> None:
    def silent(number, prompt):
        return echo(number, prompt) if prompt.startswith("good") else None

    kept = {}
    with served(silent) as server:
        started = time.monotonic()
        answers = ask_endpoint(settings(server.url, timeout=0.3, attempts=2), ["good 1", "good 2", "bad"], 9)
        with pytest.raises(ConfigError, match=r"no usable answer in 2 tries; the last: no answer within 0.3 seconds"):
            kept.update(answers)
        assert time.monotonic() - started < 5
    assert kept == {0: "said good 1", 1: "said good 2"}


def test_a_drip_does_not_outlast_the_time_of_an_answer() -> None:
    def drip(file, ended):
        for _ in range(200):
            file.write(b" ")
            file.flush()
            if ended.wait(0.05):
                return

    with served(lambda number, prompt: (200, {}, drip)) as server:
        started = time.monotonic()
        with pytest.raises(ConfigError, match=r"no answer within 0\.4 seconds"):
            dict(ask_endpoint(settings(server.url, timeout=0.4, attempts=1), ["p"], 9))
        assert time.monotonic() - started < 3


def test_a_server_that_is_not_there_is_named() -> None:
    with served(echo) as server:
        url = server.url
    with pytest.raises(ConfigError, match=rf"{url} gave no usable answer in 2 tries.*refused"):
        dict(ask_endpoint(settings(url, attempts=2), ["p"], 9))


def test_after_a_failure_nothing_else_is_begun() -> None:
    with served(lambda number, prompt: (401, {}, b"no") if number == 3 else echo(number, prompt)) as server:
        found = {}
        with pytest.raises(ConfigError):
            found.update(ask_endpoint(settings(server.url, concurrency=1), ["p"] * 100, 9))
        assert set(found) == {0, 1, 2}
        assert len(server.requests) == 4


@pytest.mark.parametrize("key", ["", "  ", "sk-\nX", "schlüssel"])
def test_a_missing_or_impossible_key_is_named_by_its_variable_only(monkeypatch, key: str) -> None:
    monkeypatch.setenv("TEST_KEY", key)
    with pytest.raises(ConfigError, match="TEST_KEY") as error:
        dict(ask_endpoint(settings("http://127.0.0.1:1/v1"), ["p"], 9))
    assert not key.strip() or key not in str(error.value)


@pytest.mark.parametrize(
    "url", ["localhost:8000", "ftp://x/v1", "http:///v1", "http://me:pw@x/v1", "http://x/v1?key=1"]
)
def test_impossible_addresses_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="must"):
        settings(url)
