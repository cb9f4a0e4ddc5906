"""A Hub on this machine that speaks what the real client sends: repositories, commits, and Xet's or LFS's storage.

Weights go where the real Hub has them sent: to Xet storage (https://huggingface.co/docs/xet, its upload protocol), or
where the client was told to do without, by LFS's batches.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_a_token"
COMMIT = "e" * 40
STORAGE_TOKEN = "xet_of_this_push"


@dataclass(frozen=True)
class Large:
    """A file whose content lies in the storage, as its commit states it."""

    sha256: str
    size: int


@dataclass
class Hub:
    """What the stand-in remembers.

    Attributes:
        repositories: whether each is private, and its files: bytes, or `Large` for weights.
        objects: what LFS received, by sha256. blocks, shards: what Xet received.
        messages: of the commits, in order.
        refused: paths that came with another token than `TOKEN`.
        full: the storage takes nothing more.
    """

    repositories: dict[str, dict[str, Any]] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    blocks: dict[str, bytes] = field(default_factory=dict)
    shards: list[bytes] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    full: bool = False
    address: str = ""

    def answer(self, path: str, body: bytes) -> tuple[int, object]:
        """Return status and JSON for one authorized request."""
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if path.endswith(".git/info/lfs/objects/batch"):
            return 200, self._batch(json.loads(body))
        _, _, _, owner, name, *rest = path.split("/")
        repository = self.repositories[f"{owner}/{name}"]
        match rest[:1]:
            case ["preupload"]:
                asked = [(file["path"], file["path"].endswith(".safetensors")) for file in json.loads(body)["files"]]
                modes = [{"path": p, "uploadMode": "lfs" if large else "regular"} for p, large in asked]
                return 200, {"files": [{**mode, "shouldIgnore": False} for mode in modes]}
            case ["commit"]:
                self._commit(repository["files"], body)
                return 200, {"commitOid": COMMIT, "commitUrl": f"{self.address}/{owner}/{name}/commit/{COMMIT}"}
            case ["tree"]:
                sizes = {p: c.size if isinstance(c, Large) else len(c) for p, c in repository["files"].items()}
                return 200, [{"type": "file", "path": p, "size": size, "oid": "f" * 40} for p, size in sizes.items()]
            case ["xet-write-token"]:
                expires = int(time.time()) + 3600
                return 200, {"casUrl": f"{self.address}/xet", "accessToken": STORAGE_TOKEN, "exp": expires}
        return 200, {
            "id": f"{owner}/{name}",
            "private": repository["private"],
            "sha": COMMIT,
            "siblings": [{"rfilename": file} for file in repository["files"]],
        }

    def store(self, path: str, body: bytes) -> tuple[int, object]:
        """Return status and JSON for one request to the storage, which has a token of its own, or a signed address."""
        if self.full:
            return 403, {"error": "the storage is full"}
        match path.split("/")[1:]:
            case ["lfs", digest]:
                self.objects[digest] = body
                return (200, {}) if hashlib.sha256(body).hexdigest() == digest else (400, {"error": "another content"})
            case ["xet", "v1", "xorbs", _, digest]:
                known = digest in self.blocks
                self.blocks[digest] = body
                return 200, {"was_inserted": not known}
            case ["xet", "v1", "shards"]:
                self.shards.append(body)
                return 200, {"result": 1}
        return 404, {"error": "no such chunk is known"}

    def _create(self, asked: dict[str, Any]) -> tuple[int, object]:
        name = f"{asked['organization']}/{asked['name']}"
        existed = name in self.repositories
        self.repositories.setdefault(name, {"private": asked["visibility"] == "private", "files": {}})
        return 409 if existed else 200, {"url": f"{self.address}/{name}"}

    def _batch(self, asked: dict[str, Any]) -> dict[str, Any]:
        objects = [
            {**one, "actions": {"upload": {"href": f"{self.address}/lfs/{one['oid']}"}}} for one in asked["objects"]
        ]
        return {"transfer": "basic", "objects": objects}

    def _commit(self, files: dict[str, Any], body: bytes) -> None:
        for line in body.splitlines():
            operation = json.loads(line)
            value = operation["value"]
            match operation["key"]:
                case "header":
                    self.messages.append(value["summary"])
                case "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    files[value["path"]] = Large(value["oid"], value["size"])
                case "deletedFile":
                    del files[value["path"]]


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def respond(self) -> None:
            body = self._body()
            path = self.path.split("?")[0]
            given = self.headers.get("Authorization")
            if path.startswith("/lfs/") or (path.startswith("/xet/") and given == f"Bearer {STORAGE_TOKEN}"):
                status, value = hub.store(path, body)
            elif given == f"Bearer {TOKEN}":
                status, value = hub.answer(path, body)
            else:
                hub.refused.append(path)
                status, value = 401, {"error": "Invalid credentials"}
            content = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def __getattr__(self, name: str) -> Callable[[], None]:
            if name.startswith("do_"):
                return self.respond
            raise AttributeError(name)

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def log_message(self, *arguments: object) -> None:
            """Stay silent."""

    return Handler


@contextmanager
def serve_hub() -> Iterator[Hub]:
    """Yield a Hub that answers at its ``address``."""
    made = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(made))
    server.daemon_threads = True
    made.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
