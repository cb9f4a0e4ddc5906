"""The guard: whom it lets pass, in the form in which a server asks it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pipeline.serve import guard
from pipeline.serve.backends import guarded
from pipeline.serve.guard import Guard
from tests.serve.support import described

BEARER = (b"authorization", b"Bearer the-key")


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(guard.KEY_VARIABLE, "the-key")


def asked(path: str, *headers: tuple[bytes, bytes], kind: str = "http", method: str = "POST") -> list[dict[str, Any]]:
    """Return what a client is sent; what is behind the guard sends its own name."""
    sent: list[dict[str, Any]] = []

    async def behind(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "behind", "path": scope.get("path")})

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nobody reads here")

    scope = {"type": kind, "path": path, "method": method, "headers": list(headers)}
    asyncio.run(Guard(behind)(scope, receive, send))
    return sent


def passed(sent: list[dict[str, Any]]) -> bool:
    return [message["type"] for message in sent] == ["behind"]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/invocations", "/metrics", "/healthy", "//health", "/"])
def test_every_path_needs_the_key(path: str) -> None:
    assert passed(asked(path, BEARER))
    refused = asked(path)
    assert [message["type"] for message in refused] == ["http.response.start", "http.response.body"]
    assert refused[0]["status"] == 401
    length = dict(refused[0]["headers"])[b"content-length"]
    assert int(length) == len(refused[1]["body"])


@pytest.mark.parametrize(
    "value", [b"Bearer", b"Bearer ", b"Bearer the-key2", b"Bearer  the-key", b"Basic the-key", b"the-key", b"\xff \xfe"]
)
def test_a_wrong_key_is_none(value: bytes) -> None:
    assert asked("/v1/models", (b"authorization", value))[0]["status"] == 401


def test_names_of_headers_and_schemes_have_no_case() -> None:
    assert passed(asked("/v1/models", (b"host", b"here"), (b"Authorization", b"bearer the-key")))


def test_whether_it_lives_may_be_asked_by_anybody_and_so_may_a_browser() -> None:
    assert passed(asked("/health", method="GET"))
    assert passed(asked("/v1/chat/completions", method="OPTIONS"))


def test_a_websocket_is_closed_before_it_opens() -> None:
    assert asked("/v1/realtime", kind="websocket") == [{"type": "websocket.close", "code": 1008}]
    assert passed(asked("/v1/realtime", BEARER, kind="websocket"))
    assert passed(asked("/", kind="lifespan"))


def test_without_a_key_there_is_no_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(guard.KEY_VARIABLE, "")
    with pytest.raises(RuntimeError, match="VLLM_API_KEY is not set"):
        Guard(lambda *_: asyncio.sleep(0))


def test_an_engine_finds_the_guard_where_it_runs(tmp_path: Any) -> None:
    launch = guarded(described("some.server", ["--port", "{port}"]), tmp_path)
    assert launch.arguments == ("--port", "{port}", "--middleware", "hone_guard.Guard")
    source = (tmp_path / "hone_guard.py").read_text(encoding="utf-8")
    assert "class Guard" in source
    assert "pipeline." not in source and "schemas" not in source
