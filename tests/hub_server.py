"""A hub of a test's own on loopback: it answers what huggingface_hub asks for, from a folder, with the hub's own errors."""

import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlparse

COMMIT = "c0ffee" + "0" * 34


@dataclass
class Hub:
    """Repositories by name (folders); `gated` ones want `token`, and `other` has no access to them; `asked` holds (path, token) of every request."""

    repositories: dict[str, Path]
    gated: set[str] = field(default_factory=set)
    token: str | None = None
    other: str | None = None
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def __enter__(self) -> "Hub":
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                path = urlparse(self.path).path
                token = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
                hub.asked.append((path, token))
                status, headers, body = hub.reply(path, token)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), "X-Repo-Commit": COMMIT, **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            do_GET = do_HEAD = answer

            def log_message(self, *arguments) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *fault: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def reply(self, path: str, token: str | None) -> tuple[int, dict[str, str], bytes]:
        parts = re.sub("^(api/models|api/datasets|datasets)/", "", path.strip("/")).split("/")
        name, what, rest = "/".join(parts[:2]), parts[2] if len(parts) > 2 else "", "/".join(parts[4:])
        if token not in (None, self.token, self.other):
            return 401, {"X-Error-Message": "Invalid user token."}, b"{}"
        if name not in self.repositories:
            return 401 if token is None else 404, {"X-Error-Code": "RepoNotFound"}, b"{}"
        if what == "resolve" and name in self.gated and token != self.token:
            return 403 if token else 401, {"X-Error-Code": "GatedRepo"}, b"{}"
        if len(parts) > 3 and parts[3] not in ("main", COMMIT):
            return 404, {"X-Error-Code": "RevisionNotFound"}, b"{}"
        files = {file.name: file.read_bytes() for file in sorted(self.repositories[name].iterdir())}
        listed = [self.entry(file, content) for file, content in files.items()]
        if what in ("", "revision"):
            siblings = [{"rfilename": file} for file in files]
            return 200, {}, json.dumps({"id": name, "sha": COMMIT, "siblings": siblings, "tags": []}).encode()
        if what == "tree":
            return 200, {}, json.dumps(listed).encode()
        if rest not in files:
            return 404, {"X-Error-Code": "EntryNotFound"}, b""
        return 200, {"ETag": f'"{self.identity(rest, files[rest])}"'}, files[rest]

    @staticmethod
    def identity(file: str, content: bytes) -> str:
        """As the hub names contents: large files by SHA-256, others as git does."""
        if file.endswith((".safetensors", ".bin")):
            return hashlib.sha256(content).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    def entry(self, file: str, content: bytes) -> dict:
        entry = {"type": "file", "path": file, "size": len(content), "oid": self.identity("", content)}
        if file.endswith((".safetensors", ".bin")):
            entry["lfs"] = {"oid": self.identity(file, content), "size": len(content), "pointerSize": 134}
        return entry
