"""Outgoing webhooks in the database: written with what they tell, claimed by one, known after a restart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.service.store import outbox as module
from pipeline.service.store.outbox import KEPT, LEASE, Outbox, new_event
from pipeline.service.store.records import Records
from tests.support.service import database_of

URLS = ("https://one.example/hook", "https://two.example/hook")
LATER = 1e12
"""A time at which everything is due."""

Open = Callable[[], Records]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Return what opens the database, as a process would; all are closed at the end."""
    found = []
    (tmp_path / "service").mkdir()

    def make() -> Records:
        found.append(Records.open(database_of(tmp_path), URLS))
        return found[-1]

    yield make
    for records in found:
        records.close()


def add(records: Records, count: int = 1) -> Outbox:
    with records.engine.begin() as connection:
        for number in range(count):
            event = new_event("fine_tuning.job.failed", {"id": f"ftjob-{number}"})
            records.outbox.add(connection, event)
    return records.outbox


def test_every_address_gets_a_delivery_of_its_own(opened: Open) -> None:
    found, more = add(opened()).page()
    assert not more and {delivery.url for delivery in found} == set(URLS)
    assert len({delivery.id for delivery in found}) == 2 and len({delivery.event for delivery in found}) == 1
    assert {(delivery.state, delivery.attempts, delivery.ended_at) for delivery in found} == {("pending", 0, None)}
    assert found[0].body.data == {"id": "ftjob-0"}


def test_what_did_not_happen_is_not_told(opened: Open) -> None:
    records = opened()
    with pytest.raises(ZeroDivisionError), records.engine.begin() as connection:
        records.outbox.add(connection, new_event("fine_tuning.job.failed", {"id": "ftjob-1"}))
        raise ZeroDivisionError
    assert records.outbox.page() == ([], False)


def test_each_of_many_is_claimed_once_by_several_processes(opened: Open) -> None:
    """20 events to two addresses are 40 deliveries; after a restart each is claimed by one of 12 threads."""
    add(opened(), 20)
    boxes = [opened().outbox for _ in range(3)]

    def take(number: int) -> list[str]:
        taken = []
        while boxes[number % 3].count()["pending"] and (due := boxes[number % 3].claim(LATER)) is not None:
            taken.append(due.id)
        return taken

    with ThreadPoolExecutor(12) as pool:
        taken = [name for names in pool.map(take, range(12)) for name in names]
    while (due := boxes[0].claim(LATER)) is not None:  # a thread that lost a race for one looks no further
        taken.append(due.id)
    assert len(taken) == len(set(taken)) == 40


def test_a_claim_under_which_a_process_died_ends(opened: Open) -> None:
    box = add(opened())
    first = {box.claim(LATER), box.claim(LATER)}
    assert box.claim(LATER + LEASE - 1) is None
    again = opened().outbox.claim(LATER + LEASE)
    assert again is not None and again.id in {due.id for due in first if due} and again.attempts == 2


def test_only_dead_ones_are_revived_and_begin_anew(opened: Open) -> None:
    box = add(opened(), 2)
    names = [delivery.id for delivery in box.page()[0]]
    for _ in names:
        assert box.claim(LATER)
    box.end(names[0], "dead", 500, "answered 500")
    box.end(names[1], "delivered", 204)
    box.end(names[2], "dead", None, "cannot be reached")
    assert box.revive([names[0], names[1], names[3], "wh-none"]) == [names[0]]
    found = box.get(names[0])
    assert found is not None and (found.state, found.attempts, found.problem) == ("pending", 0, "answered 500")
    assert box.revive() == [names[2]]
    assert box.count() == {"pending": 3, "delivered": 1}


def test_what_was_ended_stays_so(opened: Open) -> None:
    """An attempt whose claim had run out does not wake what another one settled."""
    box = add(opened())
    name = box.page()[0][0].id
    box.end(name, "delivered", 200)
    box.put_off(name, 5.0, 500, "answered 500")
    found = box.get(name)
    assert found is not None and (found.state, found.http_status, found.next_at) == ("delivered", 200, None)


def test_ended_ones_are_forgotten_in_time(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    box = add(opened())
    one, other = (delivery.id for delivery in box.page()[0])
    box.end(one, "dead", 410, "answered 410")
    ended = box.get(one)
    assert ended is not None and ended.ended_at is not None
    for passed, left in ((KEPT, {one, other}), (KEPT + 1, {other})):
        at = ended.ended_at + passed
        monkeypatch.setattr(module, "now", lambda at=at: at)
        box.forget()
        assert {delivery.id for delivery in box.page()[0]} == left
