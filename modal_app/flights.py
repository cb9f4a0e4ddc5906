"""Function calls under way, kept in a Dict: a controller that starts again waits for them and spawns none twice.

A controller writes the entry when it has spawned a call; the call's container writes it too, in case the controller was
lost between the two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import modal

from modal_app.envelope import Envelope
from modal_app.leases import Entries
from schemas.base import canonical_digest


def flight_key(run: str, call_id: str) -> str:
    """Return the key of the function call that carries out a stage call of a run."""
    return f"flight:{run}:{call_id}"


def flight_digest(envelope: Envelope) -> str:
    """Return what tells one request for a stage call from another: what is asked, not how long it may take.

    Nor whether it begins anew, which only the first attempt of a request does.
    """
    request = envelope.request
    return canonical_digest({"call": request.call, "renew": request.renew})


def flight(envelope: Envelope, function_call: str) -> dict[str, str]:
    """Return the entry of a function call."""
    return {"digest": flight_digest(envelope), "function_call": function_call}


@dataclass(frozen=True)
class Flights:
    """The function calls of one run."""

    state: Entries
    run: str

    def take(self, envelope: Envelope, spawn: Callable[[], modal.FunctionCall[str]]) -> modal.FunctionCall[str]:
        """Return the function call that carries out this very request, made now if there is none."""
        call_id = envelope.request.call.id
        known = self.state.get(flight_key(self.run, call_id))
        if known is not None and known["digest"] == flight_digest(envelope):
            return modal.FunctionCall.from_id(known["function_call"])
        made = spawn()
        self.state.put(flight_key(self.run, call_id), flight(envelope, made.object_id))
        return made

    def landed(self, call_id: str) -> None:
        """Forget the function call of a stage call: it ended, well or not."""
        self.state.pop(flight_key(self.run, call_id), None)
