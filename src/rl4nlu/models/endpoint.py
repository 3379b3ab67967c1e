"""Answers of any server that speaks OpenAI's chat-completions protocol, with the standard library alone.

An answer is asked for again after a time-out, a lost connection, 408, 409, 425, 429, a 5xx or a malformed body, after the
seconds that Retry-After names, else 1, 2, 4 ... (never more than `longest_wait`). Any other status ends the work at once.
The key comes from the environment and goes into one header; it is in no message, record or digest.
"""

from __future__ import annotations

import http.client
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, as_completed
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from threading import Event
from typing import Any

from ..base.errors import ConfigError
from ..config import Endpoint

SECTION = "rationales.endpoint"
"""Of the config, where the server writes rationales."""

TRY_AGAIN = (408, 409, 425, 429)
"""Statuses below 500 that pass."""


class Passing(Exception):
    """A fault that may not come again; `wait` is what the server asks for, in seconds."""

    def __init__(self, what: str, wait: float | None = None) -> None:
        super().__init__(what)
        self.wait = wait


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Redirects are faults: a key must not follow them to another host."""

    def redirect_request(self, *arguments: Any) -> None:
        """None, which urllib turns into an HTTPError of the status."""


def key_of(settings: Endpoint, section: str = SECTION) -> str | None:
    """The key, from the environment variable that config names.

    Raises:
        ConfigError: the variable is empty, or holds what no header can.
    """
    if settings.key_variable is None:
        return None
    key = os.environ.get(settings.key_variable, "").strip()
    if not key:
        raise ConfigError(
            f"{section}: the environment variable {settings.key_variable} is not set; put the key there, or set "
            f"{section}.key_variable to null where the server wants none"
        )
    if not key.isascii() or not key.isprintable():
        raise ConfigError(f"{section}: the key in {settings.key_variable} has characters that no header can hold")
    return key


def wait_of(header: str | None) -> float | None:
    """Seconds that a Retry-After header asks for: a number or a date; None where it is absent or neither."""
    if not header:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        then = parsedate_to_datetime(header)
    except ValueError:
        return None
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    return max(0.0, (then - datetime.now(UTC)).total_seconds())


def content_of(body: bytes) -> str:
    """The text of a chat completion; an empty content is an empty answer.

    Raises:
        Passing: the body is none.
    """
    try:
        content = json.loads(body)["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError):
        raise Passing(f"a malformed body ({body[:80].decode(errors='replace')!r})") from None
    if content is not None and not isinstance(content, str):
        raise Passing(f"a malformed body (content is {type(content).__name__})")
    return content or ""


class Client:
    """Asks one server; `stop` ends all waiting; `section` of the config describes it."""

    def __init__(self, settings: Endpoint, longest: int, section: str = SECTION) -> None:
        self.settings, self.longest, self.section = settings, longest, section
        self.key, self.stop = key_of(settings, section), Event()
        self.opener = urllib.request.build_opener(NoRedirect)

    def hidden(self, text: str) -> str:
        """A text of the server's without the key, on one short line."""
        text = " ".join(text.split())[:200]
        return text.replace(self.key, "***") if self.key else text

    def post(self, prompt: str) -> bytes:
        """The body of one answer, read within `timeout` seconds in all.

        Raises:
            Passing: the server didn't answer in time, or said to try again.
            ConfigError: it refused.
        """
        body = {
            "model": self.settings.model,
            "messages": [{"role": "user", "content": prompt}],
            "temperature": self.settings.temperature,
            "max_tokens": self.longest,
        }
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {self.key}"} if self.key else {})}
        request = urllib.request.Request(
            f"{self.settings.base_url}/chat/completions", json.dumps(body).encode(), headers, method="POST"
        )
        ends = time.monotonic() + self.settings.timeout
        try:
            with self.opener.open(request, timeout=self.settings.timeout) as answer:
                parts = []
                while part := answer.read1(65536):  # a slow drip must not outlast the time that an answer has
                    parts.append(part)
                    if time.monotonic() > ends:
                        raise TimeoutError
                return b"".join(parts)
        except urllib.error.HTTPError as error:
            said = self.hidden(error.read(2000).decode(errors="replace"))
            if error.code in TRY_AGAIN or error.code >= 500:
                raise Passing(f"status {error.code}: {said}", wait_of(error.headers.get("Retry-After"))) from None
            raise ConfigError(
                f"{self.section}: {self.settings.base_url} refuses requests for model {self.settings.model!r} "
                f"with status {error.code}: {said}"
            ) from None
        except TimeoutError:
            raise Passing(f"no answer within {self.settings.timeout:g} seconds") from None
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            reason = getattr(error, "reason", None) or error
            late = isinstance(reason, TimeoutError)
            what = (
                f"no answer within {self.settings.timeout:g} seconds" if late else f"{type(reason).__name__}: {reason}"
            )
            raise Passing(self.hidden(what)) from None

    def ask(self, prompt: str) -> str:
        """One answer, after as many tries as it takes and config allows; a failure ends the work of all.

        Raises:
            ConfigError: the last try failed, too, or the server refused.
            CancelledError: another request has ended the work.
        """
        for number in range(self.settings.attempts):
            if self.stop.is_set():
                raise CancelledError
            try:
                return content_of(self.post(prompt))
            except Passing as fault:
                last = fault
            except ConfigError:
                self.stop.set()
                raise
            if number + 1 < self.settings.attempts:
                wait = last.wait if last.wait is not None else float(2**number)
                self.stop.wait(min(wait, self.settings.longest_wait))
        self.stop.set()
        raise ConfigError(
            f"{self.section}: {self.settings.base_url} gave no usable answer in {self.settings.attempts} tries; "
            f"the last: {last}"
        )


def ask_endpoint(
    settings: Endpoint, prompts: Sequence[str], longest: int, section: str = SECTION
) -> Iterator[tuple[int, str]]:
    """Answers of the server to the prompts as they come, at most `concurrency` requests under way at a time.

    An answer has at most `longest` tokens; errors name the `section` of the config.

    When one fails for good, those under way are still waited for and yielded, and then its error is raised.

    Raises:
        ConfigError: no key, a refusal, or no usable answer after all tries.
    """
    client, failed = Client(settings, longest, section), None
    with ThreadPoolExecutor(settings.concurrency) as pool:
        numbers: dict[Future[str], int] = {pool.submit(client.ask, prompt): n for n, prompt in enumerate(prompts)}
        try:
            for future in as_completed(numbers):
                try:
                    answer = future.result()
                except CancelledError:
                    continue
                except ConfigError as error:
                    failed = failed or error
                    continue
                yield numbers[future], answer
        finally:  # also where the reader goes away
            client.stop.set()
            for waiting in numbers:
                waiting.cancel()
    if failed:
        raise failed
