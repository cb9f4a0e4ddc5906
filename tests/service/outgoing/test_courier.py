"""What was not taken is sent again under its id, and dies after a known number of attempts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from pipeline.core.errors import ConfigError
from pipeline.service.outgoing.backoff import TRIES, wait_after
from pipeline.service.outgoing.courier import SECONDS, Courier
from pipeline.service.store.outbox import new_event
from pipeline.service.store.records import Records
from schemas.outgoing import EVENT_TYPES
from tests.service.support import OTHER_SECRET, SECRET
from tests.support.service import database_of

URL = "https://receiver.example/hook"

Answer = int | Exception | tuple[int, dict[str, str]]


class Sent:
    """An outbox with one event, a courier, and a receiver that answers in turn; time passes as the courier wants."""

    def __init__(self, root: Path, *secrets: str) -> None:
        (root / "service").mkdir(exist_ok=True)
        self.records = Records.open(database_of(root), [URL])
        with self.records.engine.begin() as connection:
            self.records.outbox.add(connection, new_event("fine_tuning.job.succeeded", {"id": "ftjob-1"}))
        self.requests: list[httpx.Request] = []
        self.answers: list[Answer] = []
        self.now = 1e10
        transport = httpx.MockTransport(self._answer)
        self.courier = Courier(
            self.records.outbox, secrets or (SECRET,), "HONE_NOTIFY_SECRET", transport, lambda: self.now, lambda: 0.5
        )
        self.client = httpx.Client(transport=transport)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        status, headers = answer if isinstance(answer, tuple) else (answer, {})
        return httpx.Response(status, headers=headers, text="secret of the receiver")

    def send(self, *answers: Answer) -> list[float]:
        """Attempt as often as there are answers; return how long the courier waited before each attempt."""
        self.answers += answers
        waits = []
        for _ in answers:
            (delivery,) = self.records.outbox.page()[0]
            if delivery.attempts:
                assert delivery.next_at is not None
                self.now, before = delivery.next_at, self.now
                assert not self._early()
                waits.append(self.now - before)
            assert self.courier.send_next(self.client)
        return waits

    def _early(self) -> bool:
        self.now -= 0.01
        found = self.courier.send_next(self.client)
        self.now += 0.01
        return found

    @property
    def delivery(self) -> Any:
        return self.records.outbox.page()[0][0]

    def stands(self) -> tuple[str, int, int | None, str | None]:
        found = self.delivery
        return found.state, found.attempts, found.http_status, found.problem


@pytest.fixture
def sent(tmp_path: Path) -> Iterator[Sent]:
    made = Sent(tmp_path)
    yield made
    made.records.close()


def unwrap(request: httpx.Request, secret: str) -> Any:
    """Return the event of a delivery as OpenAI's own client verifies and reads it."""
    with openai.OpenAI(api_key="none", webhook_secret=secret) as client:
        return client.webhooks.unwrap(request.content, dict(request.headers))


def test_openais_client_verifies_and_reads_a_delivery(sent: Sent) -> None:
    sent.send(204)
    assert sent.stands() == ("delivered", 1, 204, None)
    (request,) = sent.requests
    event = unwrap(request, SECRET)
    assert type(event).__name__ == "FineTuningJobSucceededWebhookEvent"
    assert (event.type, event.data.id, event.object) == ("fine_tuning.job.succeeded", "ftjob-1", "event")
    assert set(json.loads(request.content)) == {"id", "object", "created_at", "type", "data"}
    with pytest.raises(openai.InvalidWebhookSignatureError):
        unwrap(request, OTHER_SECRET)
    changed = httpx.Request("POST", URL, headers=request.headers, content=request.content.replace(b"ftjob-1", b"x"))
    with pytest.raises(openai.InvalidWebhookSignatureError):
        unwrap(changed, SECRET)


def test_the_pages_receiver_reads_a_delivery(sent: Sent) -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "service.md").read_text(encoding="utf-8")
    (code,) = (block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "unwrap" in block)
    names: dict[str, Any] = {}
    exec(code.replace("whsec_...", SECRET), names)
    sent.send(200)
    assert names["receive"](sent.requests[0].content, sent.requests[0].headers) == "fine_tuning.job.succeeded: ftjob-1"
    names["client"].close()
    assert f"After {TRIES} attempts" in page and f"within {SECONDS:.0f} seconds" in page
    assert all(f"`{kind}`" in page for kind in EVENT_TYPES)


def test_while_a_secret_is_changed_either_verifies(tmp_path: Path) -> None:
    sent = Sent(tmp_path, OTHER_SECRET, SECRET)
    sent.send(200)
    assert unwrap(sent.requests[0], SECRET).id == unwrap(sent.requests[0], OTHER_SECRET).id
    sent.records.close()


def test_what_fails_is_sent_again_later_and_later_under_one_id(sent: Sent) -> None:
    waits = sent.send(503, httpx.ConnectError("refused"), 404, 302, 202)
    assert waits == [pytest.approx(wait_after(number, 0.5), abs=1e-4) for number in (1, 2, 3, 4)]
    assert sent.stands() == ("delivered", 5, 202, None)
    assert len({request.headers["webhook-id"] for request in sent.requests}) == 1
    assert {request.url for request in sent.requests} == {httpx.URL(URL)}  # no redirect is followed
    assert not sent.courier.send_next(sent.client)


def test_it_is_dead_after_the_last_attempt_and_can_be_sent_again(sent: Sent) -> None:
    sent.send(*[500] * (TRIES - 1))
    assert sent.stands() == ("pending", TRIES - 1, 500, "answered 500")
    sent.send(httpx.ReadTimeout("secret of the receiver"))
    assert sent.stands() == ("dead", TRIES, None, "cannot be reached: ReadTimeout")
    sent.now *= 2
    assert not sent.courier.send_next(sent.client)
    assert sent.records.outbox.revive() == [sent.delivery.id]
    sent.send(200)
    assert sent.stands() == ("delivered", 1, 200, None)


def test_a_receiver_that_is_gone_is_left_alone(sent: Sent) -> None:
    sent.send(410)
    assert sent.stands() == ("dead", 1, 410, "answered 410")


@pytest.mark.parametrize(
    ("asked", "wait"), [("60", 60.0), ("1", 3.75), ("999999", 43200.0), ("soon", 3.75), ("-5", 3.75), ("9" * 400, 3.75)]
)
def test_it_waits_as_long_as_it_is_asked_to(sent: Sent, asked: str, wait: float) -> None:
    assert sent.send((429, {"retry-after": asked}), 200) == [pytest.approx(wait, abs=1e-4)]


def test_a_redirect_is_no_success(sent: Sent) -> None:
    sent.send((307, {"location": "http://169.254.169.254/"}))
    assert sent.stands() == ("pending", 1, 307, "answered 307 and leads elsewhere, which is not followed")


@pytest.mark.parametrize("secrets", [(), ("whsec_!",), (SECRET, "whsec_c2hvcnQ=")])
def test_a_weak_secret_is_refused(sent: Sent, secrets: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="HONE_NOTIFY_SECRET"):
        Courier(sent.records.outbox, secrets, "HONE_NOTIFY_SECRET")
    assert SECRET not in repr(sent.courier)
