"""The local caller: a stage call is carried out here, or in the Python of the environment that it needs."""

from __future__ import annotations

from collections.abc import Callable

from local_runner.environments import CURRENT
from local_runner.isolated import run_in_environment
from pipeline.control.runs import RunDirectory
from pipeline.core.context import CallContext
from pipeline.core.errors import HoneError
from pipeline.execute import Prepared, carry_out, failed
from schemas.artifacts import CallResult
from schemas.base import Device
from schemas.events import Event
from schemas.request import CallRequest


class LocalCaller:
    """Carries out one call at a time on this machine."""

    device: Device = "cpu"
    workers = 1

    def carry_out(
        self,
        prepared: Prepared,
        request: CallRequest,
        run: RunDirectory,
        sink: Callable[[Event], None],
        cancelled: Callable[[], bool],
    ) -> CallResult:
        """See `Caller.carry_out`."""
        write = run.event_writer(request.call.id)

        def tell(event: Event) -> None:
            sink(event)
            write(event)

        if prepared.environment == CURRENT:
            return carry_out(request, tell, cancelled)
        try:
            return run_in_environment(prepared.environment, request, on_event=tell, cancelled=cancelled)
        except HoneError as error:
            return failed(request.call, CallContext(call_id=request.call.id, sink=tell), error)

    def sync(self) -> None:
        """See `Caller.sync`: everything is in one place."""
