"""What containers have taken: one record for each, whoever lives at once, counted to the last sign of life."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import modal_app.meter
from modal_app.meter import UPKEEP, Meter, read_meters
from schemas.ledger import Resources
from tests.modal_app.entries import Entries

BILLED = Resources(gpu="L4", count=1, cpu=4.0, memory_gib=32.0)


class Clock:
    """Unix seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(modal_app.meter, "time", clock)
    return clock


def meter(entries: Entries, name: str) -> Meter:
    return Meter(entries, "run-1", "train.seed-0", name, BILLED)


def recorded(entries: Entries) -> dict[str, float]:
    """Return the seconds that are charged, by attempt."""
    found = read_meters(entries, "run-1", ("train.seed-0",))
    return {attempt.attempt: attempt.seconds for attempt in found}


def test_two_containers_of_a_call_keep_a_record_each(clock: Clock) -> None:
    entries = Entries()
    with meter(entries, "in-1"):
        clock.now += 5.0
        with meter(entries, "in-2") as second:
            clock.now += 10.0
            second.beat()
        clock.now += 1.0
    # the first lived from 1000 to 1016, the second from 1005 to 1015
    assert recorded(entries) == {"in-1": 16.0, "in-2": 10.0}


class ReadTogether(Entries):
    """Two who ask first get the same answer: neither writes before both have read."""

    def __init__(self) -> None:
        super().__init__()
        self._readers = threading.Barrier(2)
        self._waits = threading.local()

    def get(self, key: str, default: Any = None) -> Any:
        value = super().get(key, default)
        if not getattr(self._waits, "done", False):
            self._waits.done = True
            self._readers.wait(10)
        return value


def test_two_that_find_no_record_keep_one_each() -> None:
    entries = ReadTogether()

    def live(name: str) -> None:
        with meter(entries, name) as one:
            one.beat()

    threads = [threading.Thread(target=live, args=(name,)) for name in ("in-1", "in-2")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(record["attempt"] for record in entries.values.values()) == ["in-1", "in-2"]


def test_a_killed_container_counts_to_its_last_beat(clock: Clock) -> None:
    entries = Entries()
    killed = meter(entries, "in-1")
    killed.__enter__()  # and nothing ever ends it
    clock.now += 30.0
    killed.beat()
    clock.now += 500.0
    assert recorded(entries) == {"in-1": 30.0}
    (attempt,) = read_meters(entries, "run-1", ("train.seed-0",))
    assert attempt.ended is None


def test_one_that_ends_counts_to_its_end(clock: Clock) -> None:
    entries = Entries()
    with pytest.raises(RuntimeError), meter(entries, "in-1") as failing:
        clock.now += 30.0
        failing.beat()
        clock.now += 7.0
        raise RuntimeError
    (attempt,) = read_meters(entries, "run-1", ("train.seed-0",))
    assert (attempt.seconds, attempt.ended) == (37.0, 1037.0)


def test_earlier_attempts_are_those_before_this_one(clock: Clock) -> None:
    entries = Entries()
    with meter(entries, "in-1") as first:
        clock.now += 3.0
    with meter(entries, "in-2") as second:
        pass
    with Meter(entries, "run-1", "train.seed-1", "in-3", BILLED) as other:
        pass
    assert first.earlier == ()
    assert [(attempt.attempt, attempt.seconds) for attempt in second.earlier] == [("in-1", 3.0)]
    assert other.earlier == ()


def test_an_attempt_is_charged_from_its_beginning_to_who_becomes_known_later(clock: Clock) -> None:
    entries = Entries()
    with Meter(entries, "run-1", "preflight", "in-0", BILLED, "preflight"):
        clock.now += 2.0
    with Meter(entries, UPKEEP, "preflight", "in-1", BILLED, "preflight") as one:
        clock.now += 5.0
        one.charge_to("run-1")
        clock.now += 7.0
        one.beat()
        killed = {attempt.attempt: attempt.seconds for attempt in read_meters(entries, "run-1", ("preflight",))}
    # in-0 lived for 2 seconds; in-1 from 1002, was charged to the run at 1007, and seen at 1014
    assert killed == {"in-0": 2.0, "in-1": 12.0}
    assert list(read_meters(entries, UPKEEP, ("preflight",))) == []
