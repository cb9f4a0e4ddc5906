"""Deliveries in the database: one of many claims an id, and a restart knows it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipeline.service.deliveries import KEEP, PENDING
from pipeline.service.store.database import open_database
from pipeline.service.store.deliveries import DeliveryStore
from tests.support.service import database_of


def store(root: Path) -> DeliveryStore:
    (root / "service").mkdir(exist_ok=True)
    return DeliveryStore(open_database(database_of(root)))


def test_one_of_a_hundred_at_once_takes_an_id(tmp_path: Path) -> None:
    stores = [store(tmp_path) for _ in range(4)]
    with ThreadPoolExecutor(20) as pool:
        taken = list(pool.map(lambda number: stores[number % 4].claim("msg_1", 1000.0), range(100)))
    assert sum(taken) == 1


def test_a_settled_id_is_known_after_a_restart_for_a_week(tmp_path: Path) -> None:
    first = store(tmp_path)
    assert first.claim("msg_1", 1000.0)
    first.settle("msg_1", 1010.0)
    again = store(tmp_path)
    assert not again.claim("msg_1", 1010.0 + KEEP - 1)
    assert again.claim("msg_1", 1010.0 + KEEP)


def test_a_claim_that_nobody_settled_ends(tmp_path: Path) -> None:
    deliveries = store(tmp_path)
    assert deliveries.claim("msg_1", 1000.0)
    assert not deliveries.claim("msg_1", 1000.0 + PENDING - 1)
    assert deliveries.claim("msg_1", 1000.0 + PENDING)


def test_a_released_id_can_be_taken_again_and_others_are_their_own(tmp_path: Path) -> None:
    deliveries = store(tmp_path)
    assert deliveries.claim("msg_1", 1000.0) and deliveries.claim("msg_2", 1000.0)
    deliveries.release("msg_1")
    assert deliveries.claim("msg_1", 1001.0)
    assert not deliveries.claim("msg_2", 1001.0)
