"""What `hone monitor` does about an alarm, against the retraining webhook over a real socket."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import uvicorn

from local_runner import alarms
from local_runner.alarms import Alarms, check_secret
from local_runner.service import listen
from local_runner.variables import WEBHOOK_SECRET
from pipeline.control.monitoring import watch
from pipeline.core.errors import ConfigError, SourceError
from pipeline.monitor.partitions import FOLDER, Partitions
from pipeline.service.deliveries import MemoryDeliveries
from pipeline.service.webhook import PATH, webhook_app
from schemas.monitor import MonitorConfig
from tests.control.test_monitoring import capture
from tests.monitor.rows import rows
from tests.monitor.test_partitions import said
from tests.service.support import SECRET, Starts
from tests.support.trained import TEMPLATE, Trained, messages

SMALL = MonitorConfig(window=60, reference_rows=150)


@contextmanager
def receiver(starts: Starts, secret: str = SECRET) -> Iterator[str]:
    """Host the webhook; yield its address."""
    with listen("127.0.0.1", 0) as listening:
        app = webhook_app(secret, starts, MemoryDeliveries())
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}{PATH}"
        finally:
            server.should_exit = True
            thread.join()


class Alarmed:
    """A trained version that was asked, and corrected on, something new."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.trained = Trained(folder, messages(60)).finish_run()
        self.root = self.trained.root
        monkeypatch.setattr(alarms, "registry", lambda _root: self.trained.registry)
        monkeypatch.setenv(WEBHOOK_SECRET, SECRET)
        now = rows(60, "travel", seed=3)
        asked = [replace(row, input=TEMPLATE.replace("{{ text }}", row.input or "")) for row in now]
        capture(self.root, "triage@1", rows(150, seed=1), asked)
        partitions = Partitions(self.root / FOLDER)
        day = partitions.days("answers", "triage@1")[1]
        judged = [said(f"2-{place}", 1_793_600_000.0, correction="setup", score=0.0) for place in range(30)]
        partitions.write("feedback", day, judged, closed=True)
        self.found = watch(self.root, lambda: self.trained.registry, "triage@1", SMALL)
        assert self.found.report.alarm

    def alarms(self, *, retrain: str | None = None, notify: str | None = None, minimum_rows: int = 20) -> Alarms:
        return Alarms(self.root, notify=notify, retrain=retrain, hold_out=0.25, minimum_rows=minimum_rows)


@pytest.fixture
def alarmed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Alarmed:
    return Alarmed(tmp_path, monkeypatch)


def test_an_alarm_orders_a_retraining_on_what_was_corrected_once(alarmed: Alarmed) -> None:
    starts = Starts()
    with receiver(starts) as url:
        [sent] = alarmed.alarms(retrain=url).send(alarmed.found)
        [again] = alarmed.alarms(retrain=url).send(alarmed.found)
    assert sent.answer is not None and again.answer is not None
    assert (sent.answer["http_status"], again.answer["http_status"]) == (202, 409)
    assert sent.note == f"30 rows were delivered: run {sent.answer['run']}"
    [asked] = starts.asked
    assert (asked.version, asked.promote, asked.hold_out) == ("triage@1", "candidate", 0.25)
    assert asked.rows is not None and len(asked.rows) == 30
    assert {row["intent"] for row in asked.rows} == {"setup"}
    assert all(str(row["text"]).startswith("please ") for row in asked.rows)
    made = alarmed.trained.retrain(rows=[dict(row) for row in asked.rows], hold_out=0.25)
    assert made.version.version == 1


def test_too_few_corrections_order_nothing_and_that_is_said(alarmed: Alarmed) -> None:
    [sent] = alarmed.alarms(retrain="http://127.0.0.1:1/", minimum_rows=31).send(alarmed.found)
    assert sent.answer is None
    assert sent.note == ("nothing is retrained: 30 answers are corrected or accepted, 31 are needed (--minimum-rows)")


def test_an_event_that_the_receiver_does_not_take_is_told(alarmed: Alarmed) -> None:
    """The retraining webhook takes orders and no events."""
    with receiver(Starts()) as url, pytest.raises(SourceError, match="answered 422"):
        alarmed.alarms(notify=url).send(alarmed.found)


def test_another_secret_is_told(alarmed: Alarmed, monkeypatch: pytest.MonkeyPatch) -> None:
    other = SECRET[:-4] + "AAA="
    with receiver(Starts(), other) as url, pytest.raises(SourceError, match="answered 401"):
        alarmed.alarms(retrain=url).send(alarmed.found)


def test_without_a_secret_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(WEBHOOK_SECRET, raising=False)
    check_secret(None, None)
    with pytest.raises(ConfigError, match="HONE_WEBHOOK_SECRET is not set"):
        check_secret("http://127.0.0.1:1/", None)
