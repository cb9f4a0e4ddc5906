from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from pipeline.core.errors import ConfigError, HoneError, IntegrityError, RegistryError
from pipeline.service.deliveries import PENDING, FileDeliveries, MemoryDeliveries
from pipeline.service.webhook import webhook_app
from schemas.webhook import RetrainRequest
from tests.service.support import BODY, OTHER_SECRET, SECRET, Starts, deliver, post, send, signed


@pytest.fixture
def starts() -> Starts:
    return Starts()


@pytest.fixture
def app(starts: Starts) -> FastAPI:
    return webhook_app(SECRET, starts, MemoryDeliveries(), max_bytes=2000)


def error(answer: httpx.Response) -> tuple[int, str, str | None]:
    """Return the status, the code and the place of a refusal, which has the form of all refusals."""
    told = answer.json()["error"]
    assert set(answer.json()) == {"error"}
    assert set(told) == {"code", "message", "where", "fix"}
    assert told["message"]
    return answer.status_code, told["code"], told["where"]


def test_a_signed_delivery_starts_a_run(app: FastAPI, starts: Starts) -> None:
    answer = deliver(app)
    assert answer.status_code == 202
    assert answer.json() == {"run": "support-triage-0000000001", "status": "started"}
    assert starts.asked == [RetrainRequest.model_validate(BODY)]
    assert starts.asked[0].combine == "append"


def test_one_right_signature_among_several_is_enough(app: FastAPI) -> None:
    body = json.dumps(BODY)
    headers = signed(body, name="msg_1")
    others = [signed(body, name="msg_1", secret=OTHER_SECRET)["webhook-signature"], "v1a,AAAA", "v1", "v1,!", "v1,a,b"]
    headers["webhook-signature"] = " ".join([*others, headers["webhook-signature"]])
    assert post(app, body, headers).status_code == 202


@pytest.mark.parametrize("header", ["webhook-id", "webhook-timestamp", "webhook-signature"])
@pytest.mark.parametrize("empty", [True, False])
def test_an_unsigned_delivery_starts_nothing(app: FastAPI, starts: Starts, header: str, empty: bool) -> None:
    body = json.dumps(BODY)
    headers = signed(body)
    headers[header] = ""
    if not empty:
        del headers[header]
    assert error(post(app, body, headers)) == (401, "unsigned", header)
    assert starts.asked == []


@pytest.mark.parametrize(
    "signature",
    [
        "v1",
        "v1,",
        "v1,!!!!",
        "v1,a,b",
        "v1a," + "A" * 43 + "=",
        "v1," + "A" * 43 + "=",
        "v1,\xe9",
    ],
)
def test_a_signature_that_is_none_starts_nothing(app: FastAPI, starts: Starts, signature: str) -> None:
    body = json.dumps(BODY)
    headers = {**signed(body), "webhook-signature": signature.encode("latin-1")}
    assert error(post(app, body, headers)) == (401, "unsigned", "webhook-signature")  # type: ignore[arg-type]
    assert starts.asked == []


@pytest.mark.parametrize(
    "change",
    [
        {"body": json.dumps({**BODY, "combine": "replace"})},
        {"webhook-id": "msg_2"},
        {"webhook-timestamp": "later"},
        {"secret": OTHER_SECRET},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_is_signed_cannot_be_changed(app: FastAPI, starts: Starts, change: dict[str, str]) -> None:
    body = json.dumps(BODY)
    headers = signed(body, name="msg_1", secret=change.pop("secret", SECRET))
    if "webhook-timestamp" in change:
        change = {"webhook-timestamp": str(int(headers["webhook-timestamp"]) + 1)}
    sent = change.pop("body", body)
    assert error(post(app, sent, headers | change)) == (401, "unsigned", "webhook-signature")
    assert starts.asked == []


@pytest.mark.parametrize("age", [-330, 330, 86400])
def test_a_delivery_of_another_time_starts_nothing(app: FastAPI, starts: Starts, age: int) -> None:
    assert error(deliver(app, age=age)) == (400, "stale", "webhook-timestamp")
    assert starts.asked == []


@pytest.mark.parametrize("age", [-270, 270])
def test_a_clock_may_be_a_few_minutes_off(app: FastAPI, age: int) -> None:
    assert deliver(app, age=age).status_code == 202


@pytest.mark.parametrize("timestamp", ["1.5", "nan", "-1", "1e9", "now", " ", "9" * 40])
def test_a_timestamp_is_whole_seconds(app: FastAPI, timestamp: str) -> None:
    headers = {**signed("{}"), "webhook-timestamp": timestamp}
    assert error(post(app, "{}", headers)) == (400, "malformed", "webhook-timestamp")


@pytest.mark.parametrize("name", ["msg.1", "a b", "x" * 257, "\xe9"])
def test_an_id_without_full_stops_is_wanted(app: FastAPI, name: str) -> None:
    body = json.dumps(BODY)
    headers = {**signed(body, name=name), "webhook-id": name.encode("latin-1")}
    assert error(post(app, body, headers)) == (400, "malformed", "webhook-id")  # type: ignore[arg-type]


@pytest.mark.parametrize("body", ["", "{", "nan", '{"type": "retrain", "type": "retrain"}', '{"a": "\\ud800"}'])
def test_a_signed_body_that_is_no_json_is_malformed(app: FastAPI, body: str) -> None:
    assert error(post(app, body, signed(body))) == (400, "malformed", "the body")


def test_a_body_that_is_no_text_is_malformed(app: FastAPI) -> None:
    assert error(post(app, b"\xff\xfe", signed("x"))) == (400, "malformed", "the body")


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"type": "train"}, "type"),
        ({"version": "../support-triage"}, "version"),
        ({"version": "support-triage@newest"}, "version"),
        ({"rows": None}, "the body"),
        ({"data": {"path": "uploads/a.jsonl"}}, "the body"),
        ({"rows": []}, "rows"),
        ({"rows": [{"a": 1}, {}]}, "rows.1"),
        ({"rows": [{"a": 1}, "b"]}, "rows.1"),
        ({"rows": None, "data": {"path": "/etc/passwd"}}, "data.path"),
        ({"rows": None, "data": {"path": "uploads/../mlflow.db"}}, "data.path"),
        ({"rows": None, "data": {"path": "uploads//a"}}, "data.path"),
        ({"rows": None, "data": {"path": "uploads/a\\..\\b"}}, "data.path"),
        ({"rows": None, "data": {"path": "uploads/a\n"}}, "data.path"),
        ({"rows": None, "data": {"path": "../a"}}, "data.path"),
        ({"rows": None, "data": {"path": "a/../b"}}, "data.path"),
        ({"rows": None, "data": {"path": "https://host/a"}}, "data.path"),
        ({"rows": None, "data": {"pat": "uploads/a"}}, "data.path"),
        ({"combine": "both"}, "combine"),
        ({"overrides": {"gate.alpha": 0.4}}, "overrides"),
        ({"overrides": {"base_model.trust_remote_code": True}}, "overrides"),
        ({"overrides": {"data.test_path": "/etc/passwd"}}, "overrides"),
        ({"overrides": {"train.": 1}}, "overrides"),
        ({"constraints": {"max_cost": "5"}}, "constraints.max_cost"),
        ({"constraints": {"max_cost": 0}}, "constraints.max_cost"),
        ({"overides": {}}, "overides"),
    ],
)
def test_what_cannot_be_asked_is_named(app: FastAPI, starts: Starts, changes: dict[str, Any], where: str) -> None:
    assert error(deliver(app, changes)) == (422, "invalid", where)
    assert starts.asked == []


def test_an_invalid_delivery_takes_no_id(app: FastAPI) -> None:
    assert deliver(app, {"combine": "both"}, name="msg_1").status_code == 422
    assert deliver(app, name="msg_1").status_code == 202


def test_a_delivery_that_was_taken_is_not_taken_again(app: FastAPI, starts: Starts) -> None:
    assert deliver(app, name="msg_1").status_code == 202
    assert error(deliver(app, name="msg_1", age=30)) == (409, "repeated", "webhook-id")
    assert deliver(app, name="msg_2").status_code == 202
    assert len(starts.asked) == 2


def test_a_delivery_that_started_a_run_is_known_for_good(starts: Starts) -> None:
    deliveries = MemoryDeliveries()
    assert deliver(webhook_app(SECRET, starts, deliveries), name="msg_1").status_code == 202
    assert not deliveries.claim("msg_1", time.time() + 2 * PENDING)


def test_a_replay_at_another_instance_is_refused(starts: Starts, tmp_path: Path) -> None:
    body = json.dumps(BODY)
    headers = signed(body)
    answers = [
        post(webhook_app(SECRET, starts, FileDeliveries(tmp_path / "deliveries")), body, headers) for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [202, 409]
    assert len(starts.asked) == 1


@pytest.mark.parametrize("shared", ["memory", "file"])
def test_of_two_deliveries_at_once_one_is_taken(shared: str, tmp_path: Path) -> None:
    """The first start waits until the second delivery was answered: they overlap, whatever the machine does."""
    answered = threading.Event()

    def start(_request: RetrainRequest) -> str:
        assert answered.wait(30)
        return "run"

    deliveries = MemoryDeliveries() if shared == "memory" else FileDeliveries(tmp_path)
    app = webhook_app(SECRET, start, deliveries)
    body = json.dumps(BODY)
    headers = signed(body)

    async def one() -> int:
        status = (await send(app, body, headers)).status_code
        answered.set()
        return status

    async def both() -> list[int]:
        return await asyncio.gather(one(), one())

    assert sorted(asyncio.run(both())) == [202, 409]


def test_a_body_that_states_its_size_is_refused_unread(app: FastAPI) -> None:
    read: list[int] = []

    async def chunks() -> AsyncIterator[bytes]:
        read.append(1)
        yield b"x"

    for length in ("2001", "9" * 30):
        headers = {**signed(""), "content-length": length}
        assert error(post(app, chunks(), headers)) == (413, "too_large", "the body")


def test_a_body_without_a_size_is_read_up_to_the_cap(starts: Starts) -> None:
    """The application asks for no more than the chunk that passes the cap: 3 of 1000 bytes where 2000 are allowed."""
    app = webhook_app(SECRET, starts, MemoryDeliveries(), max_bytes=2000)
    received, sent = [0], list[dict[str, Any]]()
    headers = [(name.encode(), value.encode()) for name, value in signed("").items()]
    scope = {"type": "http", "method": "POST", "path": "/v1/webhooks/retrain", "headers": headers, "query_string": b""}

    async def receive() -> dict[str, Any]:
        received[0] += 1
        return {"type": "http.request", "body": b"x" * 1000, "more_body": True}

    async def answer(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, answer))
    assert sent[0]["status"] == 413
    assert received == [3]


def test_a_body_at_the_cap_is_taken(starts: Starts) -> None:
    body = json.dumps(BODY)
    app = webhook_app(SECRET, starts, MemoryDeliveries(), max_bytes=len(body))
    assert post(app, body, signed(body)).status_code == 202
    assert post(app, body + " ", signed(body + " ")).status_code == 413


def test_a_sender_that_goes_away_starts_nothing(app: FastAPI, starts: Starts) -> None:
    messages = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    headers = [(name.encode(), value.encode()) for name, value in signed("{").items()]
    scope = {"type": "http", "method": "POST", "path": "/v1/webhooks/retrain", "headers": headers, "query_string": b""}

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def answer(_message: Any) -> None:
        """Nobody listens."""

    asyncio.run(app(scope, receive, answer))
    assert starts.asked == []


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (IntegrityError("the run is gone", where="runs/a", fix="put it back"), (503, "unavailable", "runs/a")),
        (RuntimeError("hunter2"), (503, "unavailable", None)),
        (RegistryError("there is no such version", where="a@7"), (422, "invalid", "a@7")),
        (ConfigError("1 error", where="overrides"), (422, "invalid", "overrides")),
    ],
)
def test_a_start_that_fails_gives_the_id_back(
    app: FastAPI, starts: Starts, failure: Exception, expected: tuple[int, str, str | None]
) -> None:
    starts.error = failure
    refused = deliver(app, name="msg_1")
    assert error(refused) == expected
    assert refused.headers.get("retry-after") == ("60" if expected[0] == 503 else None)
    starts.error = None
    assert deliver(app, name="msg_1").status_code == 202
    assert deliver(app, name="msg_1").status_code == 409


def test_ids_that_cannot_be_read_start_nothing(starts: Starts, tmp_path: Path) -> None:
    (tmp_path / "deliveries.json").write_text("[1")
    app = webhook_app(SECRET, starts, FileDeliveries(tmp_path))
    assert error(deliver(app)) == (503, "unavailable", str(tmp_path / "deliveries.json"))
    assert starts.asked == []


@pytest.mark.parametrize("failing", ["settle", "release"])
def test_an_answer_stays_what_it_is_where_ids_cannot_be_written(starts: Starts, failing: str) -> None:
    class Failing(MemoryDeliveries):
        pass

    def fail(*_: object) -> None:
        raise OSError("the disk is full")

    deliveries = Failing()
    setattr(deliveries, failing, fail)
    starts.error = RuntimeError() if failing == "release" else None
    assert deliver(webhook_app(SECRET, starts, deliveries)).status_code == (503 if failing == "release" else 202)


@pytest.mark.parametrize("failure", [None, HoneError("no"), RuntimeError("hunter2")])
def test_nothing_secret_is_logged_or_told(
    app: FastAPI, starts: Starts, failure: Exception | None, caplog: pytest.LogCaptureFixture
) -> None:
    starts.error = failure
    with caplog.at_level(logging.DEBUG):
        answers = [deliver(app), deliver(app, secret=OTHER_SECRET), deliver(app, {"rows": [{"token": "hunter2"}, 3]})]
    told = caplog.text + "".join(answer.text for answer in answers)
    for secret in (SECRET, SECRET.removeprefix("whsec_"), OTHER_SECRET, "hunter2", "the lamp hums"):
        assert secret not in told
    assert "delivery" in caplog.text
    assert "whsec" not in repr(webhook_app(SECRET, starts, MemoryDeliveries()).routes)


def test_health_is_told_and_other_paths_are_not_there(app: FastAPI) -> None:
    async def ask(method: str, path: str) -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://hone") as client:
            return await client.request(method, path)

    assert asyncio.run(ask("GET", "/healthz")).json() == {"status": "ok"}
    assert error(asyncio.run(ask("GET", "/v1/webhooks/retrain"))) == (405, "method", None)
    for path in ("/", "/docs", "/openapi.json", "/v1/webhooks/retrain/"):
        assert error(asyncio.run(ask("POST", path))) == (404, "not_found", None)
