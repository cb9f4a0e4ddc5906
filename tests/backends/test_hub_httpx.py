"""The Hub by plain HTTP, against a loopback server that answers as the Hub does."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline.backends import hub_httpx
from pipeline.core.errors import ModelError, SourceError
from pipeline.plan.architecture import from_config

COMMIT = "c" * 40
CONFIG = {
    "model_type": "gemma2",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "intermediate_size": 96,
    "vocab_size": 300,
}
ANSWERS: dict[str, tuple[int, dict[str, str], object]] = {
    "/api/models/org/model/revision/main": (200, {}, {"sha": COMMIT}),
    "/api/models/org/model/revision/refs%2Fpr%2F1": (200, {}, {"sha": "d" * 40}),
    "/api/models/org/model/revision/nope": (404, {"x-error-code": "RevisionNotFound"}, {}),
    "/api/models/org/gated/revision/main": (403, {"x-error-code": "GatedRepo"}, {}),
    "/api/models/org/private/revision/main": (401, {"x-error-code": "RepoNotFound"}, {}),
    "/api/models/org/odd/revision/main": (200, {}, ["no object"]),
    "/api/models/org/busy/revision/main": (503, {}, {}),
    "/api/datasets/org/rows/revision/main": (200, {}, {"sha": COMMIT}),
    f"/org/model/resolve/{COMMIT}/config.json": (200, {}, CONFIG),
    f"/org/gated/resolve/{COMMIT}/config.json": (401, {}, {}),
}


class Hub(BaseHTTPRequestHandler):
    seen: list[tuple[str, str | None]] = []

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers.get("Authorization")))
        status, headers, body = ANSWERS.get(self.path, (404, {"x-error-code": "RepoNotFound"}, {}))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str | None]]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}/")
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    Hub.seen = []
    yield Hub.seen
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_revision_is_the_commit_that_it_means(hub: list[tuple[str, str | None]]) -> None:
    assert hub_httpx.find_commit("org/model", "model", None, None, "here") == COMMIT
    assert hub_httpx.find_commit("org/model", "model", "refs/pr/1", "secret", "here") == "d" * 40
    assert hub_httpx.find_commit("org/rows", "dataset", None, None, "here") == COMMIT
    assert [header for _, header in hub] == [None, "Bearer secret", None]


@pytest.mark.parametrize(
    ("name", "revision", "says"),
    [
        ("org/model", "nope", r"here: the repository has no revision 'nope'"),
        ("org/gated", None, "access to this repository has to be granted .*HF_TOKEN"),
        ("org/private", None, r"no such model folder here, and no such repository on the Hub \(or it is private\)"),
        ("org/unknown", None, "no such repository"),
        ("org/odd", None, "named no commit"),
    ],
)
@pytest.mark.usefixtures("hub")
def test_what_the_hub_refuses_is_said(name: str, revision: str | None, says: str) -> None:
    with pytest.raises(ModelError, match=says):
        hub_httpx.find_commit(name, "model", revision, None, "here")
    with pytest.raises(SourceError, match="no such data set folder here"):
        hub_httpx.find_commit(name, "dataset", revision, None, "here")


@pytest.mark.usefixtures("hub")
def test_a_hub_that_cannot_answer_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert hub_httpx.find_commit("org/busy", "model", None, None, "here") is None
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    assert hub_httpx.find_commit("org/model", "model", None, None, "here") is None


def test_offline_nobody_is_asked(hub: list[tuple[str, str | None]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert hub_httpx.find_commit("org/model", "model", None, None, "here") is None
    with pytest.raises(ModelError, match="org/model: no model config can be loaded: the Hub cannot be reached"):
        hub_httpx.load_config("org/model", revision=COMMIT)
    assert hub == []


@pytest.mark.usefixtures("hub")
def test_a_config_is_as_its_file_states_it_with_tied_embeddings_where_its_class_ties_them(tmp_path: Path) -> None:
    config = hub_httpx.load_config("org/model", revision=COMMIT)
    assert config == {**CONFIG, "tie_word_embeddings": True}
    assert from_config(config, "here").tied
    (tmp_path / "config.json").write_text(json.dumps({**CONFIG, "model_type": "llama"}))
    assert hub_httpx.load_config(str(tmp_path)) == {**CONFIG, "model_type": "llama"}
    with pytest.raises(ModelError, match=r"the Hub answers 401 .*HF_TOKEN"):
        hub_httpx.load_config("org/gated", revision=COMMIT)
    (tmp_path / "config.json").write_text("no json")
    with pytest.raises(ModelError, match="has no hidden_size"):
        from_config(hub_httpx.load_config(str(tmp_path)), "here")
