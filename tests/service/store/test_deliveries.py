"""Deliveries in the database: one of many claims an id, and a restart knows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.service.deliveries import KEEP, PENDING
from pipeline.service.store.database import open_database
from pipeline.service.store.deliveries import DeliveryStore
from tests.support.service import database_of

Open = Callable[[], DeliveryStore]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Open]:
    """Return what opens the database, as a process would; all are closed at the end."""
    engines = []
    (tmp_path / "service").mkdir()

    def make() -> DeliveryStore:
        engines.append(open_database(database_of(tmp_path)))
        return DeliveryStore(engines[-1])

    yield make
    for engine in engines:
        engine.dispose()


def test_one_of_a_hundred_at_once_takes_an_id(store: Open) -> None:
    stores = [store() for _ in range(4)]
    with ThreadPoolExecutor(20) as pool:
        taken = list(pool.map(lambda number: stores[number % 4].claim("msg_1", 1000.0), range(100)))
    assert sum(taken) == 1


def test_a_settled_id_is_known_after_a_restart_for_a_week(store: Open) -> None:
    first = store()
    assert first.claim("msg_1", 1000.0)
    first.settle("msg_1", 1010.0)
    again = store()
    assert not again.claim("msg_1", 1010.0 + KEEP - 1)
    assert again.claim("msg_1", 1010.0 + KEEP)


def test_a_claim_that_nobody_settled_ends(store: Open) -> None:
    deliveries = store()
    assert deliveries.claim("msg_1", 1000.0)
    assert not deliveries.claim("msg_1", 1000.0 + PENDING - 1)
    assert deliveries.claim("msg_1", 1000.0 + PENDING)


def test_a_released_id_can_be_taken_again_and_others_are_their_own(store: Open) -> None:
    deliveries = store()
    assert deliveries.claim("msg_1", 1000.0) and deliveries.claim("msg_2", 1000.0)
    deliveries.release("msg_1")
    assert deliveries.claim("msg_1", 1001.0)
    assert not deliveries.claim("msg_2", 1001.0)
