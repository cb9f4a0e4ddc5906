"""Pushing to a stand-in Hub that speaks the real client's HTTP on this machine."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pipeline.backends.hub_huggingface import push_folder
from pipeline.core.errors import ConfigError, SourceError

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


def handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
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


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the client speak: the stand-in is on this machine, and the other tests forbid the network by a variable."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


@pytest.fixture
def hub() -> Iterator[Hub]:
    made = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(made))
    made.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "base").mkdir()
    (tmp_path / "README.md").write_text("# card\n")
    (tmp_path / "base" / "config.json").write_text("{}")
    return tmp_path


def test_a_folder_arrives_whole_in_a_private_repository(hub: Hub, folder: Path) -> None:
    address = push_folder(folder, "org/name", token=TOKEN, message="triage@1", endpoint=hub.address)
    assert address == f"{hub.address}/org/name"
    assert hub.repositories["org/name"] == {
        "private": True,
        "files": {"README.md": b"# card\n", "base/config.json": b"{}"},
    }


def test_a_second_push_removes_what_is_no_longer_there(hub: Hub, folder: Path) -> None:
    push_folder(folder, "org/name", token=TOKEN, message="first", endpoint=hub.address)
    (folder / "base" / "config.json").unlink()
    (folder / "new.txt").write_text("new")
    push_folder(folder, "org/name", token=TOKEN, message="second", endpoint=hub.address)
    assert set(hub.repositories["org/name"]["files"]) == {"README.md", "new.txt"}


def test_a_public_repository_is_refused_before_anything_is_sent(hub: Hub, folder: Path) -> None:
    hub.repositories["org/name"] = {"private": False, "files": {}}
    with pytest.raises(ConfigError, match="public"):
        push_folder(folder, "org/name", token=TOKEN, message="x", endpoint=hub.address)
    assert hub.repositories["org/name"]["files"] == {}
    push_folder(folder, "org/name", token=TOKEN, private=False, message="x", endpoint=hub.address)
    assert "README.md" in hub.repositories["org/name"]["files"]


def test_a_refused_token_is_named_but_not_shown(hub: Hub, folder: Path) -> None:
    with pytest.raises(ConfigError, match="refused the token") as raised:
        push_folder(folder, "org/name", token="hf_wrong", message="x", endpoint=hub.address)
    assert "HF_TOKEN" in str(raised.value.fix)
    assert "hf_wrong" not in f"{raised.value} {raised.value.detail}"


def test_a_hub_out_of_reach_is_a_clear_error(folder: Path) -> None:
    with pytest.raises(SourceError, match="cannot be reached"):
        push_folder(folder, "org/name", token=TOKEN, message="x", endpoint="http://127.0.0.1:9")


def test_a_malformed_name_is_refused_before_any_request(hub: Hub, folder: Path) -> None:
    with pytest.raises(ConfigError):
        push_folder(folder, "org/-name-", token=TOKEN, message="x", endpoint=hub.address)


def test_offline_mode_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(SourceError, match="HF_HUB_OFFLINE"):
        push_folder(folder, "org/name", token=TOKEN, message="x", endpoint="http://127.0.0.1:9")
