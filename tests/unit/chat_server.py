"""A server on this machine that speaks OpenAI's chat-completions protocol, for tests."""

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from rl4nlu.config import Endpoint

KEY = "sk-secret-0123456789"


def completion(text) -> bytes:
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode()


class Served:
    """A server's requests as they came, how many the rule had in hand at most, and the rule that answers them."""

    def __init__(self, rule) -> None:
        self.rule, self.requests, self.times, self.under_way, self.most = rule, [], [], 0, 0
        self.lock, self.url = threading.Lock(), ""


@contextmanager
def served(rule):
    """`rule(number, prompt)` gives (status, headers, body), or None: then nothing is ever answered."""
    state, ended = Served(rule), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with state.lock:
                number = len(state.requests)
                state.requests.append((self.path, dict(self.headers), body))
                state.times.append(time.monotonic())
                state.under_way += 1
                state.most = max(state.most, state.under_way)
            try:
                try:
                    answer = state.rule(number, body["messages"][0]["content"])
                finally:  # before its client hears of it, and asks again
                    with state.lock:
                        state.under_way -= 1
                if answer is None:
                    ended.wait(20)
                    return
                status, headers, content = answer
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if callable(content):
                    self.end_headers()
                    content(self.wfile, ended)
                    return
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
            except OSError:
                pass

        def log_message(self, *arguments) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        ended.set()
        server.shutdown()
        server.server_close()


def settings(url: str, **more) -> Endpoint:
    values = {
        "model": "m",
        "key_variable": "TEST_KEY",
        "timeout": 5,
        "attempts": 3,
        "longest_wait": 0.05,
        "concurrency": 3,
    }
    return Endpoint(base_url=url, **{**values, **more})
