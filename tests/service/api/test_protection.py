"""What every answer has, what no answer has, and how large a body may be."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from pipeline.service.api.protection import HEADERS, MAX_JSON_BYTES
from tests.support.service import Service

JOBS = "/v1/fine_tuning/jobs"


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/healthz", 200),
        ("GET", "/readyz", 200),
        ("GET", "/v1/files", 401),
        ("GET", "/nothing", 404),
        ("PUT", "/v1/files", 405),
        ("GET", "/openapi.json", 200),
    ],
)
def test_every_answer_has_the_headers(service: Service, method: str, path: str, expected: int) -> None:
    answer = service.client().request(method, path)
    assert answer.status_code == expected
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
    assert answer.headers["x-request-id"].startswith("req_")
    assert "server" not in answer.headers
    if expected == 405:
        assert answer.headers["allow"] == "GET, POST"
    if expected >= 400:
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_a_defect_shows_nothing_of_itself(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("row of jane.doe@example.org")

    key = service.key()
    monkeypatch.setattr(type(service.records.files), "page", broken)
    with caplog.at_level(logging.ERROR):
        answer = service.client(key).get("/v1/files")
    assert answer.status_code == 500
    assert answer.json()["error"]["type"] == "server_error"
    assert "jane" not in answer.text and "Traceback" not in answer.text
    assert "RuntimeError" in caplog.text and "jane" not in caplog.text


def test_a_body_has_a_limit(client: TestClient) -> None:
    stated = client.post(JOBS, content=b"x" * (MAX_JSON_BYTES + 1))

    def unstated() -> Iterator[bytes]:
        for _ in range(5):
            yield b"x" * (1 << 20)

    for answer in (stated, client.post(JOBS, content=unstated())):
        assert answer.status_code == 413
        assert answer.json()["error"]["code"] == "too_large"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"model": 1}', b"null", b"[" * 50_000])
def test_a_body_that_is_no_request_is_a_400(client: TestClient, body: bytes) -> None:
    answer = client.post(JOBS, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_openapi_says_what_is_answered(service: Service) -> None:
    described = service.client().get("/openapi.json").json()
    operations = [(path, operation) for path, methods in described["paths"].items() for operation in methods.values()]
    assert len(operations) == 21
    assert len({operation["operationId"] for _, operation in operations}) == len(operations)
    known = {operation["operationId"] for _, operation in operations}
    linked = [link["operationId"] for _, operation in operations for link in _links(operation)]
    assert len(linked) == 9 and known.issuperset(linked)
    for path, operation in operations:
        assert operation["summary"] and operation["tags"]
        assert "422" not in operation["responses"]
        if path.startswith("/v1/"):
            assert operation["security"] == [{"HTTPBearer": []}]
            for status in {"400", "401", "403", "404"} & set(operation["responses"]) | {"401", "403"}:
                schema = operation["responses"][status]["content"]["application/json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/ErrorAnswer"}


def _links(operation: dict[str, Any]) -> list[dict[str, Any]]:
    return list(operation["responses"]["200"].get("links", {}).values())
