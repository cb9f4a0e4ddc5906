"""The caller that carries calls out in its own process, for what needs no other environment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.control.allowance import Amount
from pipeline.control.ledger import Caps
from pipeline.control.runs import RunDirectory
from pipeline.core.leases import Leases
from pipeline.execute import Prepared, carry_out
from schemas.artifacts import CallResult, StageCall
from schemas.base import Device
from schemas.events import Event
from schemas.request import CallRequest


def told(sink: Callable[[Event], None], write: Callable[[Event], None]) -> Callable[[Event], None]:
    """Return what hands an event to ``sink``, then writes it."""

    def tell(event: Event) -> None:
        sink(event)
        write(event)

    return tell


@dataclass(frozen=True)
class CallerHere:
    """Carries out one call at a time in this process. ``leases`` None keeps them in the workspace."""

    device: Device = "cpu"
    leases: Leases | None = None
    workers: int = 1

    def carry_out(
        self,
        prepared: Prepared,  # noqa: ARG002 - every caller is called alike
        request: CallRequest,
        run: RunDirectory,
        sink: Callable[[Event], None],
        cancelled: Callable[[], bool],
    ) -> CallResult:
        """See `Caller.carry_out`."""
        return carry_out(request, told(sink, run.event_writer(request.call.id)), cancelled, self.leases)

    def found(self, call: StageCall) -> None:
        """See `Caller.found`: an attempt here never outlives its controller."""

    def bill(self) -> tuple[Caps, Amount] | None:
        """See `Caller.bill`: a machine of one's own bills nothing."""
        return None

    def sync(self) -> None:
        """See `Caller.sync`: everything is in one place."""
