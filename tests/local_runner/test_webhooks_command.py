"""`hone webhooks`, and whom `--notify` tells."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local_runner.main import run_command
from local_runner.notify import read_notify
from local_runner.service import open_records
from local_runner.variables import NOTIFY_SECRET, WEBHOOK_SECRET
from pipeline.core.errors import ConfigError
from pipeline.service.store.outbox import Outbox, new_event
from tests.service.support import OTHER_SECRET, SECRET

URL = "https://receiver.example/hook"


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    """Return an outbox with a dead delivery and a pending one."""
    records = open_records(tmp_path, None, [URL])
    with records.engine.begin() as connection:
        for job in ("ftjob-1", "ftjob-2"):
            records.outbox.add(connection, new_event("fine_tuning.job.failed", {"id": job}))
    pending, dead = records.outbox.page()[0]
    records.outbox.end(dead.id, "dead", 500, "answered 500")
    assert pending.body.data == {"id": "ftjob-2"}
    yield records.outbox
    records.close()


class Command:
    """Runs ``hone webhooks`` on a workspace."""

    def __init__(self, root: Path, captured: pytest.CaptureFixture[str]) -> None:
        self._root, self._captured = root, captured

    def __call__(self, *words: str, exits: int = 0) -> str:
        assert run_command(["webhooks", *words, "-w", str(self._root)]) == exits
        printed = self._captured.readouterr()
        return printed.err if exits else printed.out

    def json(self, *words: str) -> Any:
        return json.loads(self(*words, "--json"))


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(tmp_path, capsys)


def test_deliveries_are_listed_shown_and_sent_again(outbox: Outbox, command: Command) -> None:
    pending, dead = (delivery.id for delivery in outbox.page()[0])
    assert [found["id"] for found in command.json("list")["deliveries"]] == [pending, dead]
    listed = command.json("list", "--state", "dead")
    assert [found["id"] for found in listed["deliveries"]] == [dead] and not listed["has_more"]
    assert command.json("list", "--limit", "1")["has_more"]
    line = command("list", "--state", "dead")
    assert all(part in line for part in (dead, "dead", URL, "fine_tuning.job.failed", "answered 500"))
    assert command.json("show", dead)["body"]["data"] == {"id": "ftjob-1"}
    assert "next attempt: " in command("show", pending)
    assert command.json("resend", dead) == {"resent": [dead]}
    assert outbox.count() == {"pending": 2}
    assert command("resend", "--all") == "0 to be sent again\n"


def test_what_cannot_be_is_refused(outbox: Outbox, command: Command) -> None:
    pending = outbox.page()[0][0].id
    assert "it is pending, not dead" in command("resend", pending, exits=3)
    assert "no such delivery" in command("resend", "wh-none", exits=3)
    assert "no such delivery" in command("show", "wh-none", exits=3)
    for words in ([], [pending, "--all"]):
        assert "name the deliveries" in command("resend", *words, exits=3)
    assert outbox.count() == {"pending": 1, "dead": 1}


def test_addresses_need_a_secret_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(WEBHOOK_SECRET, raising=False)
    monkeypatch.delenv(NOTIFY_SECRET, raising=False)
    assert read_notify(()).secrets == ()
    with pytest.raises(ConfigError, match="HONE_NOTIFY_SECRET is not set"):
        read_notify([URL])
    monkeypatch.setenv(NOTIFY_SECRET, f"{OTHER_SECRET} {SECRET}")
    found = read_notify([URL, URL])
    assert (found.urls, found.secrets) == ((URL,), (OTHER_SECRET, SECRET))
    assert SECRET not in repr(found)
    monkeypatch.setenv(WEBHOOK_SECRET, SECRET)
    with pytest.raises(ConfigError, match="could order retrainings") as caught:
        read_notify([URL])
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["", "receiver.example", "ftp://receiver.example/", "https://", "https://u:p@host/", "http://a b/", "http:///x"],
)
def test_what_is_no_address_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NOTIFY_SECRET, SECRET)
    with pytest.raises(ConfigError, match="--notify"):
        read_notify([url])
