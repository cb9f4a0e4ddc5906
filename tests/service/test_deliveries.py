from __future__ import annotations

import json
import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from modal_app.deliveries import DictDeliveries
from pipeline.core.errors import IntegrityError
from pipeline.service.deliveries import KEEP, PENDING, TOLERANCE, Deliveries, FileDeliveries, MemoryDeliveries
from tests.modal_app.entries import Entries

NOW = 1_800_000_000.0


@pytest.fixture(params=["memory", "file", "dict"])
def deliveries(request: pytest.FixtureRequest, tmp_path: Path) -> Deliveries:
    match request.param:
        case "memory":
            return MemoryDeliveries()
        case "file":
            return FileDeliveries(tmp_path / "deliveries")
        case _:
            return DictDeliveries(Entries())


def test_an_id_is_claimed_once(deliveries: Deliveries) -> None:
    assert deliveries.claim("msg_1", NOW)
    assert not deliveries.claim("msg_1", NOW + 1)
    assert deliveries.claim("msg_2", NOW + 1)


def test_a_released_id_can_be_claimed(deliveries: Deliveries) -> None:
    assert deliveries.claim("msg_1", NOW)
    deliveries.release("msg_1")
    deliveries.release("msg_1")
    assert deliveries.claim("msg_1", NOW)


def test_a_claim_that_nobody_settles_ends(deliveries: Deliveries) -> None:
    assert deliveries.claim("msg_1", NOW)
    assert not deliveries.claim("msg_1", NOW + PENDING - 1)
    assert deliveries.claim("msg_1", NOW + PENDING)


def test_a_settled_id_outlives_every_retry_and_is_forgotten_at_last(deliveries: Deliveries) -> None:
    assert deliveries.claim("msg_1", NOW)
    deliveries.settle("msg_1", NOW)
    assert not deliveries.claim("msg_1", NOW + KEEP - 1)
    assert deliveries.claim("msg_1", NOW + KEEP)


def test_a_claim_outlasts_the_time_in_which_a_message_is_valid() -> None:
    """A message of a clock 5 minutes ahead is valid for 10 minutes from its first arrival."""
    assert PENDING > 2 * TOLERANCE
    assert KEEP > 75.6 * 3600  # the last retry of the specification's example: 75 h 35 min


def test_of_many_threads_one_claims(deliveries: Deliveries) -> None:
    with ThreadPoolExecutor(8) as threads:
        taken = list(threads.map(lambda _: deliveries.claim("msg_1", NOW), range(32)))
    assert sum(taken) == 1


def _claim(folder: Path) -> bool:
    return FileDeliveries(folder).claim("msg_1", NOW)


def test_of_many_processes_one_claims(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as processes:
        assert sum(processes.map(_claim, [tmp_path] * 6, chunksize=1)) == 1


def test_ended_claims_are_not_kept(tmp_path: Path) -> None:
    deliveries = FileDeliveries(tmp_path)
    for number in range(5):
        assert deliveries.claim(f"msg_{number}", NOW)
    assert deliveries.claim("late", NOW + PENDING)
    assert len(json.loads((tmp_path / "deliveries.json").read_text())) == 1


def test_the_file_holds_no_id(tmp_path: Path) -> None:
    FileDeliveries(tmp_path).claim("msg_of_somebody", NOW)
    assert "somebody" not in (tmp_path / "deliveries.json").read_text()


@pytest.mark.parametrize("content", ["", "[]", '{"a": "x"}', '{"a": null}', "3"])
def test_a_damaged_file_is_said(tmp_path: Path, content: str) -> None:
    (tmp_path / "deliveries.json").write_text(content)
    with pytest.raises(IntegrityError, match="damaged"):
        FileDeliveries(tmp_path).claim("msg_1", NOW)
