"""Function calls under way, kept in a Dict: a controller that starts again waits for them and spawns none twice."""

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


@dataclass(frozen=True)
class Flights:
    """The function calls of one run."""

    state: Entries
    run: str

    def take(self, envelope: Envelope, spawn: Callable[[], modal.FunctionCall[str]]) -> modal.FunctionCall[str]:
        """Return the function call that carries out this stage call with this config, made now if there is none."""
        call = envelope.request.call
        digest = canonical_digest(call)
        known = self.state.get(flight_key(self.run, call.id))
        if known is not None and known["digest"] == digest:
            return modal.FunctionCall.from_id(known["function_call"])
        made = spawn()
        self.state.put(flight_key(self.run, call.id), {"digest": digest, "function_call": made.object_id})
        return made

    def landed(self, envelope: Envelope) -> None:
        """Forget the function call of a stage call: it ended, well or not."""
        self.state.pop(flight_key(self.run, envelope.request.call.id), None)
