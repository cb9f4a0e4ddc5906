"""What a run may still spend: its ledger, fed by the meters of its containers, for several threads at once."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from modal_app.leases import Entries
from modal_app.meter import PREFLIGHT, read_meters
from pipeline.control.allowance import Amount, Refusal, Request
from pipeline.control.ledger import LEDGER, Caps, Ledger
from pipeline.control.runs import RunDirectory
from pipeline.core.workspace import write_atomic
from schemas.ledger import Allowance

CONTROLLER = "controller"
"""What the controller's own attempts are called."""

GATHER_SECONDS = 0.5
"""Calls that are begun within this time ask together, so that what is left is shared and not taken by the first."""


@dataclass
class Purse:
    """The money of one run.

    Args:
        ledger: the run's ledger.
        state: the Dict with the meters.
        directory: the run's record, which keeps the ledger.
    """

    ledger: Ledger
    state: Entries
    directory: RunDirectory
    _asking: dict[str, Request] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def reserve(self, request: Request) -> Allowance | Refusal:
        """Set aside what a call may take; see `Ledger.reserve`. What its earlier attempts took is charged first."""
        self._meter(CONTROLLER)
        self._meter(request.call_id)
        with self._lock:
            self._asking[request.call_id] = request
        time.sleep(GATHER_SECONDS)
        with self._lock:
            del self._asking[request.call_id]
            return self.ledger.reserve(request, tuple(self._asking.values()))

    def seconds(self, call_id: str) -> float:
        """Return what all attempts at a call have taken so far."""
        self._meter(call_id)
        with self._lock:
            return sum(attempt.seconds for attempt in self.ledger.attempts(call_id))

    def settle(self, call_id: str) -> None:
        """Charge every attempt at a call, and give back what it did not use."""
        self._meter(call_id)
        with self._lock:
            self.ledger.settle(call_id)

    def has_more_than(self, allowance: Allowance) -> bool:
        """Tell whether a call that used its allowance up could have another one worth its start."""
        again = Request(allowance.call_id, allowance.resources, allowance.seconds)
        with self._lock:
            given = self.ledger.reserve(again)
            self.ledger.settle(allowance.call_id)
        return not isinstance(given, Refusal) and given.seconds >= again.least

    def bill(self) -> tuple[Caps, Amount]:
        """Return the run's caps and what it has spent, with what its controller took until now."""
        self._meter(CONTROLLER)
        with self._lock:
            return self.ledger.caps, self.ledger.spent().total

    def write(self) -> None:
        """Keep the ledger in the run's record, with what the controller itself and preparing the run have taken."""
        for own in (CONTROLLER, PREFLIGHT):
            self._meter(own)
        with self._lock:
            text = self.ledger.to_json()
        write_atomic(self.directory.path / LEDGER, text)

    def _meter(self, call_id: str) -> None:
        attempts = tuple(read_meters(self.state, self.directory.run, (call_id,)))
        with self._lock:
            for attempt in attempts:
                self.ledger.meter(attempt)
