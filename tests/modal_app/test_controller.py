"""The ledger with which a controller begins, and what it leaves behind."""

from __future__ import annotations

from pathlib import Path

import pytest

import modal_app.controller
from modal_app.controller import _ledger
from modal_app.meter import PREFLIGHT, meter_key
from modal_app.orders import ControlOrder
from modal_app.purse import CONTROLLER
from pipeline.control.ledger import LEDGER, Caps, Ledger
from pipeline.control.runs import RunDirectory
from schemas.ledger import Attempt
from tests.modal_app.entries import Entries


def attempt(call_id: str, seconds: float) -> Attempt:
    return Attempt(
        call_id=call_id, attempt=f"{call_id}-1", gpu="L4", count=1, cpu=4.0, memory_gib=16.0,
        started=0.0, last_seen=seconds, ended=seconds,
    )  # fmt: skip


def test_a_resumed_run_has_the_caps_and_prices_of_its_order_and_nothing_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An L4 with 4 cores and 16 GiB costs .00030992 dollars a second: at half of it 1000 s kept, 500 s metered since,
    and 100 s of preparing the run.
    """
    state = Entries()
    monkeypatch.setattr(modal_app.controller, "STATE", state)
    directory = RunDirectory(tmp_path / "runs" / "run-1")
    directory.path.mkdir(parents=True)
    before = Ledger(Caps(1.0), price_scale=1.0, attempts=[attempt("data", 1000.0)])
    (directory.path / LEDGER).write_text(before.to_json())
    state.put(meter_key("run-1", CONTROLLER, 0), attempt(CONTROLLER, 500.0).model_dump(mode="json"))
    state.put(meter_key("run-1", PREFLIGHT, 0), attempt(PREFLIGHT, 100.0).model_dump(mode="json"))
    ledger = _ledger(ControlOrder(run="run-1", max_cost=5.0, price_scale=0.5), directory)
    assert ledger.caps == Caps(5.0)
    assert ledger.reserved() == {}
    assert ledger.spent().total.dollars == pytest.approx(0.5 * 1600 * 0.00030992)
