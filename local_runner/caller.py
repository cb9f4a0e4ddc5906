"""The local caller: a stage call is carried out here, or in the Python of the environment that it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from local_runner.environments import CURRENT
from local_runner.isolated import run_in_environment
from pipeline.control.here import CallerHere, told
from pipeline.control.runs import RunDirectory
from pipeline.core.context import CallContext
from pipeline.core.errors import HoneError
from pipeline.execute import Prepared, failed
from schemas.artifacts import CallResult
from schemas.events import Event
from schemas.request import CallRequest


@dataclass(frozen=True)
class LocalCaller(CallerHere):
    """Carries out one call at a time on this machine."""

    def carry_out(
        self,
        prepared: Prepared,
        request: CallRequest,
        run: RunDirectory,
        sink: Callable[[Event], None],
        cancelled: Callable[[], bool],
    ) -> CallResult:
        """See `Caller.carry_out`."""
        if prepared.environment == CURRENT:
            return super().carry_out(prepared, request, run, sink, cancelled)
        tell = told(sink, run.event_writer(request.call.id))
        try:
            return run_in_environment(prepared.environment, request, on_event=tell, cancelled=cancelled)
        except HoneError as error:
            return failed(request.call, CallContext(call_id=request.call.id, sink=tell), error)
