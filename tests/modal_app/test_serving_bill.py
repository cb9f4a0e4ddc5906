"""What no run is charged with, from the meters that containers kept."""

from __future__ import annotations

import pytest

from modal_app.client.serving_bill import serving_bill, upkeep_bill
from modal_app.meter import UPKEEP, Meter, meter_key
from modal_app.serving.keys import SERVING
from schemas.ledger import Attempt, Resources
from tests.modal_app.entries import Entries


def record(call_id: str, seconds: float, ended: float | None) -> dict[str, object]:
    attempt = Attempt(
        call_id=call_id, attempt=call_id, kind="serving", gpu="L4", count=1, cpu=4.0, memory_gib=16.0,
        started=1000.0, last_seen=1000.0 + seconds, ended=ended,
    )  # fmt: skip
    return attempt.model_dump(mode="json")


def test_ended_and_killed_containers_are_counted_and_runs_are_not() -> None:
    """An L4, 4 cores and 16 GiB cost .000222 + 4 x .0000131 + 16 x .00000222 = .00030992 dollars a second.

    600 s that ended and 400 s until it was last seen: 1000 s, 0.30992 dollars.
    """
    state = Entries()
    state.put(meter_key(SERVING, "ta-1", 0), record("ta-1", 600.0, 1600.0))
    state.put(meter_key(SERVING, "ta-2", 0), record("ta-2", 400.0, None))
    state.put(meter_key("run-1", "train.seed-0", 0), record("train.seed-0", 5000.0, None))
    bill = serving_bill(state.values.items())
    assert bill.containers == 2
    assert bill.amount.dollars == pytest.approx(0.30992)
    assert bill.amount.gpu_hours == pytest.approx(1000 / 3600)
    assert str(bill) == "$0.31 for 2 containers"
    assert upkeep_bill(state.values.items()).as_json() == {"containers": 0, "dollars": 0.0, "gpu_hours": 0.0}


def test_what_a_serving_container_keeps_is_found() -> None:
    state = Entries()
    with Meter(state, SERVING, "ta-3", "ta-3", Resources(cpu=1.0, memory_gib=2.0), "serving"):
        assert serving_bill(state.values.items()).containers == 1


def test_what_an_upkeep_container_keeps_is_found() -> None:
    state = Entries()
    with Meter(state, UPKEEP, "garbage", "in-1", Resources(cpu=1.0, memory_gib=2.0), "preflight"):
        pass
    bill = upkeep_bill(state.values.items())
    assert (bill.containers, serving_bill(state.values.items()).containers) == (1, 0)
    assert str(bill).endswith("for 1 container")
