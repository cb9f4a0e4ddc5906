"""Alarms are signed as the receiver verifies them, and sent again where that helps under the same id."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import httpx
import pytest
from standardwebhooks import Webhook

from pipeline.control.alarm import ATTEMPTS, Sender, drift_event, retrain_order
from pipeline.core.errors import ConfigError, SourceError
from pipeline.core.signed_delivery import Delivery, signed_headers
from pipeline.monitor.choose import Chosen
from pipeline.monitor.compare import drift_report
from pipeline.service.signature import Verifier, read_signature
from schemas.monitor import DriftReport, MonitorConfig
from schemas.webhook import RetrainRequest
from tests.monitor.rows import rows
from tests.service.support import OTHER_SECRET, SECRET

DELIVERY = Delivery("alarm_1", '{"type": "drift.alarm"}')


class Receiver:
    """Answers with statuses in turn; what passed hone's own verifier is kept."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.taken: list[tuple[str, str]] = []
        self.waited: list[float] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        signed = read_signature(request.headers, datetime.now(UTC).timestamp())
        self.taken.append((signed.id, Verifier(SECRET).verify(request.content, signed)))
        status = self.statuses.pop(0)
        if status == 0:
            raise httpx.ConnectError("refused")
        return httpx.Response(status, json={"run": "triage-1"} if status == 202 else {"error": {"code": "x"}})

    def sender(self, secret: str = SECRET) -> Sender:
        return Sender("http://127.0.0.1:1/hook", secret, httpx.MockTransport(self), self.waited.append)


@pytest.fixture(scope="module")
def report() -> DriftReport:
    config = MonitorConfig(window=60, reference_rows=150)
    return drift_report("triage@1", "first", Chosen(rows(150, seed=1), rows(60, "travel", seed=2), ()), config)


def test_a_delivery_is_signed_as_the_receiver_verifies() -> None:
    receiver = Receiver(202)
    assert receiver.sender().send(DELIVERY) == {"http_status": 202, "run": "triage-1"}
    assert receiver.taken == [(DELIVERY.id, DELIVERY.body)]
    headers = signed_headers(DELIVERY, (OTHER_SECRET, SECRET))
    assert Webhook(SECRET).verify(DELIVERY.body, headers) == {"type": "drift.alarm"}
    with pytest.raises(Exception, match="No matching signature"):
        Webhook(OTHER_SECRET).verify(DELIVERY.body, signed_headers(DELIVERY, (SECRET,)))


def test_what_may_pass_is_sent_again_under_the_same_id() -> None:
    receiver = Receiver(0, 503, 202)
    assert receiver.sender().send(DELIVERY)["http_status"] == 202
    assert [name for name, _ in receiver.taken] == [DELIVERY.id] * 3
    assert receiver.waited == [1.0, 4.0]


def test_what_was_taken_before_is_no_error() -> None:
    assert Receiver(409).sender().send(DELIVERY)["http_status"] == 409


@pytest.mark.parametrize(
    ("statuses", "tries"), [((422,), 1), ((401,), 1), ((307,), 1), ((302,), 1), ((500,) * ATTEMPTS, ATTEMPTS)]
)
def test_a_refusal_is_told(statuses: tuple[int, ...], tries: int) -> None:
    receiver = Receiver(*statuses)
    with pytest.raises(SourceError, match=f"answered {statuses[0]}") as caught:
        receiver.sender().send(DELIVERY)
    assert len(receiver.taken) == tries
    assert SECRET not in str(caught.value) and SECRET not in repr(receiver.sender())


def test_a_secret_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="not whsec_ followed by base64"):
        Sender("http://127.0.0.1:1", "whsec_!")


def test_an_alarm_says_what_drifted(report: DriftReport) -> None:
    event = json.loads(drift_event(report).body)
    assert event["type"] == "drift.alarm"
    assert event["data"]["version"] == "triage@1"
    assert {found["detector"] for found in event["data"]["drifted"]} == {
        reading.detector for reading in report.readings if reading.drifted
    }
    assert datetime.fromisoformat(event["timestamp"]).timestamp() == report.current.last


def test_an_order_is_a_request_of_the_retraining_webhook(report: DriftReport) -> None:
    order = retrain_order(report, [{"text": "a", "intent": "b"}], 0.25)
    asked = RetrainRequest.model_validate_json(order.body, strict=True)
    assert (asked.version, asked.hold_out, asked.promote) == ("triage@1", 0.25, "candidate")
    assert asked.rows == ({"text": "a", "intent": "b"},)


def test_the_same_windows_are_the_same_delivery(report: DriftReport) -> None:
    assert drift_event(report).id == drift_event(report).id
    assert drift_event(report).id.startswith("alarm_") and "." not in drift_event(report).id
    other = report.model_copy(update={"version": "triage@2"})
    assert len({drift_event(report).id, drift_event(other).id, retrain_order(report, [{"a": 1}], 0.1).id}) == 3
