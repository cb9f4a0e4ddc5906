"""What passes between the controller's container and a stage's: JSON text, never a pickle."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.artifacts import CallResult
from schemas.base import Schema
from schemas.events import Event
from schemas.ledger import Allowance, Attempt, Resources
from schemas.request import CallRequest

STOP_SECONDS, STOP_SHARE = 5.0, 0.1
"""Of a call's time, what is kept for stopping: seconds, and at most this share."""


class Envelope(Schema):
    """A stage call of a run, what its container is billed for, and what all attempts at it may take."""

    run: str
    request: CallRequest
    resources: Resources
    allowance: Allowance

    def for_attempt(self, holder: str, earlier: Sequence[Attempt]) -> CallRequest:
        """Return the request as it is after ``earlier`` attempts, those of ``holder``'s lost containers among them.

        The time that they took is gone, and what they saved is taken up even where the call was to begin anew. A part
        of the time is kept for stopping: the container is paid for until it has saved and committed.
        """
        lost = any(attempt.attempt.startswith(f"{holder}-") for attempt in earlier)
        request = self.request.model_copy(update={"restart": self.request.restart and not lost})
        if request.seconds is None:
            return request
        gone = self.allowance.seconds - self.allowance.seconds_left(earlier)
        left = max(0.0, request.seconds - gone)
        return request.model_copy(update={"seconds": left - min(STOP_SECONDS, STOP_SHARE * left)})


class Reply(Schema):
    """How the attempt ended: with a result, or with a ``fault`` of the container, in words.

    ``events`` are those that a controller acts on or tells. ``saved``: there is a checkpoint from which another attempt
    can go on.
    """

    result: CallResult | None = None
    fault: str | None = None
    events: tuple[Event, ...] = ()
    saved: bool = False
