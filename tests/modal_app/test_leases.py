"""Leases in a Dict: one holder at a time, gone when it is, taken over by the same input at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from modal_app.leases import DictLeases
from modal_app.pulse import Pulse
from schemas.base import ArtifactRef
from tests.modal_app.entries import Entries

REF = ArtifactRef(stage="train", fingerprint="a" * 64)


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def pulse() -> Iterator[Pulse]:
    with Pulse(3600.0) as beating:
        yield beating


def leases(entries: Entries, holder: str, pulse: Pulse, clock: Clock | None = None) -> DictLeases:
    return DictLeases(entries, holder, 10.0, pulse, clock=clock or Clock())


def test_a_second_holder_waits_and_reads_after_the_first_has_let_go(pulse: Pulse) -> None:
    entries, told = Entries(), list[str]()
    waits, go = threading.Event(), threading.Event()

    def second() -> None:
        with leases(entries, "two", pulse).hold(REF, waits.set):
            told.append("second")

    thread = threading.Thread(target=second)
    with leases(entries, "one", pulse).hold(REF):
        thread.start()
        assert waits.wait(10)
        told.append("first")
        go.set()
    thread.join()
    assert told == ["first", "second"]


def test_one_of_many_is_the_next_holder(pulse: Pulse) -> None:
    """Twenty ask at once for a lease that nobody holds, one after the other holds it, never two."""
    entries, inside, most = Entries(), list[str](), list[int]()

    def hold(name: str) -> None:
        with leases(entries, name, pulse).hold(REF):
            inside.append(name)
            most.append(len(inside))
            time.sleep(0.001)
            inside.remove(name)

    threads = [threading.Thread(target=hold, args=(f"input-{number}",)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 20


def test_an_expired_lease_is_taken_over_and_its_holder_learns_of_it(pulse: Pulse) -> None:
    entries, clock = Entries(), Clock()
    first, second = leases(entries, "one", pulse, clock), leases(entries, "two", pulse, clock)
    with first.hold(REF):
        assert second.is_held(REF)
        clock.now += 10.1  # nobody renewed it
        assert not second.is_held(REF)
        with second.hold(REF):
            assert first._renew(f"{REF.stage}/{REF.fingerprint}", 0) is False
            assert second._renew(f"{REF.stage}/{REF.fingerprint}", 1) is True


def test_the_same_input_does_not_wait_for_its_own_lost_container(pulse: Pulse) -> None:
    entries, clock = Entries(), Clock()
    lost = leases(entries, "input", pulse, clock).hold(REF)
    lost.__enter__()  # its container is killed here: nothing is ever released
    with leases(entries, "input", pulse, clock).hold(REF, on_wait=lambda: pytest.fail("it waited")):
        pass


def test_what_ends_a_wait_passes_through(pulse: Pulse) -> None:
    entries = Entries()

    def stop() -> None:
        raise KeyboardInterrupt

    second = leases(entries, "two", pulse).hold(REF, check=stop)
    with leases(entries, "one", pulse).hold(REF), pytest.raises(KeyboardInterrupt), second:
        pass


def test_a_lease_is_renewed_while_it_is_held() -> None:
    entries = Entries()
    with Pulse(0.05) as pulse:
        mine = DictLeases(entries, "one", 0.4, pulse)
        with mine.hold(REF):
            time.sleep(1.0)
            assert mine.is_held(REF)
            assert not pulse.stopped
        assert not mine.is_held(REF)


def test_a_beat_that_fails_is_tried_again_and_one_that_says_no_stops_the_work() -> None:
    answers = iter([OSError("no network"), True, False])

    def beat() -> bool:
        answer = next(answers, True)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with Pulse(0.01) as pulse, pulse.beat(beat):
        deadline = time.monotonic() + 10
        while not pulse.stopped:
            assert time.monotonic() < deadline
            time.sleep(0.01)
