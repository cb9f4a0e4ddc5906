"""Functions and function calls that end as a test says, in the place of Modal's, and a controller's caller on them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import modal
import modal.exception
import pytest

import modal_app.caller
import modal_app.purse
from modal_app.caller import ModalCaller
from modal_app.envelope import Envelope, Reply
from modal_app.flights import Flights, flight_key
from modal_app.meter import meter_key
from modal_app.purse import Purse
from pipeline.catalog import CATALOG
from pipeline.control.ledger import Caps, Ledger
from pipeline.control.runs import RunDirectory
from pipeline.core.errors import BudgetError
from pipeline.execute import Prepared
from schemas.artifacts import CallResult, Inputs, StageCall
from schemas.base import ArtifactRef, Schema
from schemas.errors import ErrorRecord
from schemas.events import Event
from schemas.ledger import Attempt, Resources
from schemas.placement import HardwareSpec
from schemas.request import CallRequest
from tests.modal_app.entries import Entries

RUN = "run-1"
REF = ArtifactRef(stage="train", fingerprint="a" * 64)

H100 = Resources(gpu="H100", count=1, cpu=4.0, memory_gib=32.0)
WITH_CONTROLLER = Resources(gpu="H100", count=1, cpu=5.0, memory_gib=34.0)
"""Where training runs without a plan, and the same with the core and the 2 GiB of the controller that waits."""

PRICE = 0.00123798
"""Dollars per second of the latter: 0.001097 + 5 x 0.0000131 + 34 x 0.00000222."""

End = Callable[[Envelope], str] | Exception


class Call:
    """A function call that ends as told: each answer to ``get`` is raised, or made from the envelope."""

    def __init__(self, object_id: str, envelope: Envelope, ends: list[End]) -> None:
        self.object_id, self.envelope, self.ends = object_id, envelope, ends
        self.cancelled: list[bool] = []
        self.deadline = time.monotonic() + 10.0

    def get(self, timeout: float | None = None) -> str:
        if self.cancelled:
            raise modal.exception.RemoteError("the container was terminated")
        if not self.ends:
            if time.monotonic() > self.deadline:
                pytest.fail(f"{self.object_id} is waited for and never ends")
            time.sleep(0.001)
            raise TimeoutError
        end = self.ends.pop(0)
        if isinstance(end, Exception):
            raise end
        return end(self.envelope)

    def cancel(self, terminate_containers: bool = False) -> None:
        self.cancelled.append(terminate_containers)


@dataclass
class Cloud:
    """Every function, and the calls that were spawned. ``ends``: how the n-th call ends; without one it never does."""

    ends: list[list[End]] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    functions: list[tuple[str, str]] = field(default_factory=list)
    options: list[dict[str, Any]] = field(default_factory=list)

    def __getitem__(self, function: tuple[str, str]) -> Cloud:
        self.functions.append(function)
        return self

    def with_options(self, **options: Any) -> Cloud:
        self.options.append(options)
        return self

    def spawn(self, text: str) -> Call:
        ends = self.ends.pop(0) if self.ends else []
        self.calls.append(Call(f"fc-{len(self.calls)}", Envelope.model_validate_json(text), ends))
        return self.calls[-1]

    def find(self, object_id: str) -> Call:
        return next(call for call in self.calls if call.object_id == object_id)

    @property
    def requests(self) -> list[CallRequest]:
        return [call.envelope.request for call in self.calls]


def install(monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """Put a cloud in Modal's place, and wait for milliseconds only."""
    cloud = Cloud()
    monkeypatch.setattr(modal_app.caller, "FUNCTIONS", cloud)
    monkeypatch.setattr(modal_app.caller, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(modal_app.purse, "GATHER_SECONDS", 0.001)
    monkeypatch.setattr(modal.FunctionCall, "from_id", cloud.find)
    return cloud


class Home:
    """One controller of a run; another one with the same ``entries`` is that run's next."""

    def __init__(
        self,
        path: Path,
        max_cost: float = 1000.0,
        *,
        entries: Entries | None = None,
        hardware: HardwareSpec | None = None,
        hand_over_in: float = 600.0,
    ) -> None:
        self.entries = entries or Entries()
        self.ledger = Ledger(Caps(max_cost=max_cost))
        self.directory = RunDirectory(path / "runs" / RUN)
        self.caller = ModalCaller(
            None,
            hardware or HardwareSpec(),
            Flights(self.entries, RUN),
            Purse(self.ledger, self.entries, self.directory),
            time.monotonic() + hand_over_in,
        )
        self.events: list[Event] = []

    def carry_out(
        self, call: str = "train.seed-0", cancelled: Callable[[], bool] = lambda: False, **asked: Any
    ) -> CallResult:
        request = CallRequest(call=stage_call(call), root=Path("/hone"), device="cuda", **asked)
        return self.caller.carry_out(prepared(call), request, self.directory, self.events.append, cancelled)

    def flight(self, call: str = "train.seed-0") -> Any:
        return self.entries.get(flight_key(RUN, call))


def stage_call(call_id: str) -> StageCall:
    return StageCall(id=call_id, stage="train", config={})


def prepared(call_id: str) -> Prepared:
    return Prepared(stage_call(call_id), CATALOG["train"], Schema(), Inputs(), "train.cuda", "cuda", REF)


def done(envelope: Envelope) -> str:
    return Reply(result=CallResult(call_id=envelope.request.call.id, status="done", ref=REF)).model_dump_json()


def lost(_envelope: Envelope) -> str:
    """Return what a container says that could not go on."""
    return Reply(fault="OSError: the Volume").model_dump_json()


def used_up(where: str, *, saved: bool) -> Callable[[Envelope], str]:
    """Return the end of a container that stopped at the end of its time."""

    def end(envelope: Envelope) -> str:
        error = BudgetError("used up", where=where).record()
        result = CallResult(call_id=envelope.request.call.id, status="failed", error=error)
        return Reply(result=result, saved=saved).model_dump_json()

    return end


def after(what: Callable[[Envelope], object], end: Callable[[Envelope], str]) -> Callable[[Envelope], str]:
    """Return an end before which something happens in the container."""

    def both(envelope: Envelope) -> str:
        what(envelope)
        return end(envelope)

    return both


def metered(
    entries: Entries, seconds: float, *, call: str = "train.seed-0", number: int = 0, resources: Resources = H100
) -> None:
    """Leave the record of a container that lived for ``seconds``."""
    record = Attempt(
        **resources.model_dump(), call_id=call, attempt=f"in-{number}", started=1000.0, last_seen=1000.0 + seconds
    )
    entries.put(meter_key(RUN, call, number), record.model_dump(mode="json"))


def error_of(result: CallResult) -> ErrorRecord:
    assert result.error is not None, result
    return result.error
