"""A stand-in for the Hugging Face Hub that speaks the real client's HTTP on this machine."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_a_token"


class Hub:
    """What the stand-in remembers: repositories with their files."""

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, Any]] = {}
        self.address = ""

    def answer(self, path: str, body: bytes) -> tuple[int, object]:
        """Return status and JSON for one authorized request."""
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            existed = name in self.repositories
            self.repositories.setdefault(name, {"private": asked["visibility"] == "private", "files": {}})
            return 409 if existed else 200, {"url": f"{self.address}/{name}"}
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        _, _, _, owner, name, *rest = path.split("/")
        repository = self.repositories[f"{owner}/{name}"]
        match rest[:1]:
            case ["preupload"]:
                named = [file["path"] for file in json.loads(body)["files"]]
                return 200, {"files": [{"path": p, "uploadMode": "regular", "shouldIgnore": False} for p in named]}
            case ["commit"]:
                _commit(repository["files"], body)
                return 200, {"commitOid": "e" * 40, "commitUrl": f"{self.address}/{owner}/{name}/commit/{'e' * 40}"}
            case ["tree"]:
                files = repository["files"].items()
                return 200, [{"type": "file", "path": p, "size": len(c), "oid": "f" * 40} for p, c in files]
        return 200, {
            "id": f"{owner}/{name}",
            "private": repository["private"],
            "sha": "e" * 40,
            "siblings": [{"rfilename": file} for file in repository["files"]],
        }


def _commit(files: dict[str, bytes], body: bytes) -> None:
    for line in body.splitlines():
        operation = json.loads(line)
        value = operation["value"]
        if operation["key"] == "file":
            files[value["path"]] = base64.b64decode(value["content"])
        elif operation["key"] == "deletedFile":
            del files[value["path"]]


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.respond()

        def do_POST(self) -> None:
            self.respond()

        def respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.headers.get("Authorization") == f"Bearer {TOKEN}":
                status, value = hub.answer(self.path.split("?")[0], body)
            else:
                status, value = 401, {"error": "Invalid credentials"}
            content = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: object) -> None:
            """Stay silent."""

    return Handler


@contextmanager
def serve_hub() -> Iterator[Hub]:
    """Yield a Hub that answers who sends `TOKEN`."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
