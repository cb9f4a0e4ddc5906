"""What is told of jobs and rollouts, and that nothing else is."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, get_args

import openai
import pytest
from starlette.testclient import TestClient

from pipeline.core.errors import DataError
from pipeline.service.app import service_app
from pipeline.service.gateway.store import Batch, GatewayStore
from pipeline.service.outgoing.courier import Courier
from pipeline.service.outgoing.rollout_events import outgoing_event
from pipeline.service.store.records import Records
from schemas.job import JobResult
from schemas.rollout import EventKind, RolloutEvent
from tests.service.support import SECRET
from tests.support.service import Script, Service, database_of, order

URL = "https://receiver.example/hook"


def event(kind: EventKind, after: float) -> RolloutEvent:
    return RolloutEvent(
        id="event-1",
        rollout="rollout-1",
        time=1700000000.5,
        kind=kind,
        reason="what jane said",
        champion="triage@3",
        candidate="triage@4",
        before=5.0,
        after=after,
        numbers={"readings": [1, 2]},
    )


@pytest.mark.parametrize(
    ("kind", "after", "told"),
    [
        ("start", 5.0, "rollout.started"),
        ("promote", 25.0, "rollout.step"),
        ("promote", 100.0, "rollout.promoted"),
        ("rollback", 0.0, "rollout.rolled_back"),
        ("cancel", 0.0, "rollout.cancelled"),
        ("hold", 5.0, None),
        ("registry", 100.0, None),
    ],
)
def test_a_decision_is_told_by_ids_and_shares_alone(kind: EventKind, after: float, told: str | None) -> None:
    found = outgoing_event(event(kind, after))
    assert (found and found.type) == told
    if found is not None:
        assert found.data == {"id": "rollout-1", "champion": "triage@3", "candidate": "triage@4", "percent": after}
        assert found.created_at == 1700000000


def test_every_kind_of_decision_is_thought_of() -> None:
    cases = test_a_decision_is_told_by_ids_and_shares_alone.pytestmark[0].args[1]  # type: ignore[attr-defined]
    assert {kind for kind, _, _ in cases} == set(get_args(EventKind))


def test_decisions_are_told_as_they_are_written(tmp_path: Path) -> None:
    (tmp_path / "service").mkdir()
    records = Records.open(database_of(tmp_path), [URL])
    store = GatewayStore(records.engine, records.outbox)
    store.save(Batch(events=[event("start", 5.0), event("hold", 5.0), event("rollback", 0.0)]))
    assert [delivery.type for delivery in records.outbox.page()[0]] == ["rollout.rolled_back", "rollout.started"]
    records.close()


class Receiver(ThreadingHTTPServer):
    """Answers on loopback with ``status``; keeps what came."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = 503
        self.came: list[tuple[bytes, dict[str, str]]] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hook"


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.came.append((body, dict(self.headers)))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.shutdown()
    made.server_close()


def until(check: Any) -> None:
    deadline = time.monotonic() + 20
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def ending(order: Any, *_: object) -> JobResult:
    if order.spec.name == "bad":
        raise DataError("row 3 of jane is bad")
    return JobResult(version="triage@1", verdict="promoted", trained_tokens=1)


def test_ended_jobs_are_told_over_a_restart(tmp_path: Path, receiver: Receiver) -> None:
    """Three jobs end while the receiver is away; after a restart it gets each once, and OpenAI's client reads them."""
    service = Service(tmp_path, Script(ending), told=[receiver.url])
    client = service.client(service.key())
    jobs = [order(client, suffix=suffix).json()["id"] for suffix in ("triage", "bad", "late")]
    client.post(f"/v1/fine_tuning/jobs/{jobs[2]}/cancel")
    courier = Courier(service.records.outbox, [SECRET], "a test", draw=lambda: 0.0)
    with TestClient(service_app(replace(service.parts, courier=courier))):
        until(lambda: len(receiver.came) >= 3)
    service.close()
    receiver.status, failed = 200, receiver.came.copy()
    records = Records.open(database_of(tmp_path), [receiver.url])
    courier = Courier(records.outbox, [SECRET], "a test", clock=lambda: time.time() + 60)
    courier.start()
    until(lambda: records.outbox.count() == {"delivered": 3})
    courier.stop()
    records.close()
    told = set()
    with openai.OpenAI(api_key="none", webhook_secret=SECRET) as reader:
        for body, headers in receiver.came[len(failed) :]:
            found: Any = reader.webhooks.unwrap(body, headers)
            told.add((found.type.rpartition(".")[2], found.data.id))
            assert json.loads(body)["data"] == {"id": found.data.id} and b"jane" not in body
    assert told == {("succeeded", jobs[0]), ("failed", jobs[1]), ("cancelled", jobs[2])}
    assert {headers["webhook-id"] for _, headers in failed} == {headers["webhook-id"] for _, headers in receiver.came}
