"""What a rollout's decisions are to the world outside: who takes over from whom, and how far that is."""

from __future__ import annotations

from typing import Final

from pydantic import JsonValue

from pipeline.service.store.outbox import new_event
from schemas.outgoing import OutgoingEvent, RolloutEventType
from schemas.rollout import EventKind, RolloutEvent

_TYPES: Final[dict[EventKind, RolloutEventType]] = {
    "start": "rollout.started",
    "promote": "rollout.step",
    "rollback": "rollout.rolled_back",
    "cancel": "rollout.cancelled",
}
"""A decision to hold changes nothing, and what the registry said is the gateway's own affair."""


def outgoing_event(event: RolloutEvent) -> OutgoingEvent | None:
    """Return what is told of a decision; None where nothing is. Reasons and numbers stay here."""
    kind = _TYPES.get(event.kind)
    if kind is None:
        return None
    if event.kind == "promote" and event.after == 100.0:
        kind = "rollout.promoted"
    data: dict[str, JsonValue] = {"id": event.rollout, "percent": event.after}
    return new_event(kind, {**data, "champion": event.champion, "candidate": event.candidate}, int(event.time))
