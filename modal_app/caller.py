"""The Modal caller: every stage call is an input of its stage's function, on the hardware that its plan asks for."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import modal
import modal.exception

from modal_app.envelope import Envelope, Reply
from modal_app.flights import Flights
from modal_app.functions import FUNCTIONS
from modal_app.purse import Purse
from modal_app.settings import SETTINGS
from modal_app.volumes import ARTIFACTS
from pipeline.control.allowance import Refusal, Request, resources_of
from pipeline.control.runs import RunDirectory
from pipeline.core.context import CallContext
from pipeline.core.errors import Cancelled, HoneError, InternalError
from pipeline.execute import Prepared, failed
from pipeline.plan.placement import orchestration, placement
from schemas.artifacts import CallResult
from schemas.base import Device
from schemas.events import Event
from schemas.ledger import Allowance, Resources
from schemas.placement import HardwareSpec, Placement
from schemas.plan import PlanArtifact
from schemas.request import CallRequest

POLL_SECONDS = 2.0
"""How often a waiting caller looks whether it should stop."""

STOP_SECONDS = 120.0
"""How long a call may take to save what it has once its run is to stop."""

LOST_CONTAINERS = 2
"""Attempts at a call beyond the first after its container was lost: out of memory, or a fault of the machine."""

ATTEMPT_LIMIT = "hardware: timeout"

ATTEMPT_MARGIN = 300.0
"""Seconds before Modal's timeout at which a call stops by itself, with what it has saved."""


class HandOver(Exception):
    """The controller's own time is nearly over: another container goes on; calls in flight are not touched."""


@dataclass
class ModalCaller:
    """Carries out the calls of one run.

    Args:
        plan: the run's plan; it sizes the hardware.
        hardware: what the description asks for.
        flights: the function calls that are under way.
        purse: what the run may spend.
        hand_over_at: `time.monotonic` value after which waiting ends with `HandOver`.
    """

    plan: PlanArtifact | None
    hardware: HardwareSpec
    flights: Flights
    purse: Purse
    hand_over_at: float
    workers: int = SETTINGS.workers
    device: Device = SETTINGS.device

    def sync(self) -> None:
        """See `Caller.sync`."""
        self.purse.write()
        ARTIFACTS.commit()
        ARTIFACTS.reload()

    def carry_out(
        self,
        prepared: Prepared,
        request: CallRequest,
        run: RunDirectory,  # noqa: ARG002 - the stage's own container writes the record of an attempt
        sink: Callable[[Event], None],
        cancelled: Callable[[], bool],
    ) -> CallResult:
        """See `Caller.carry_out`; a call that was under way when an earlier controller ended is waited for."""
        call = prepared.call
        context = CallContext(call_id=call.id, sink=sink)
        try:
            place = placement(call, self.plan, self.hardware, prepared.device)
            while True:
                allowance = self._allowance(prepared, place, cancelled)
                reply = self._attempt(prepared, request, place, allowance, cancelled)
                self.purse.settle(call.id)
                if not _goes_on(reply.result, allowance, self.purse):
                    break
        except HoneError as error:
            self.purse.settle(call.id)
            return failed(call, context, error)
        for event in reply.events:
            sink(event)
        return reply.result

    def _allowance(self, prepared: Prepared, place: Placement, cancelled: Callable[[], bool]) -> Allowance:
        """Return what the call may take; waits while calls under way may give enough back."""
        asked = Request(
            call_id=prepared.call.id,
            resources=_with_controller(resources_of(place)),
            estimate_seconds=_estimate(prepared, self.plan),
            limit_seconds=_attempt_seconds(place),
        )
        while isinstance(given := self.purse.reserve(asked), Refusal):
            if not given.waits:
                raise given.error()
            self._check(cancelled)
            time.sleep(POLL_SECONDS)
        return given

    def _attempt(
        self,
        prepared: Prepared,
        request: CallRequest,
        place: Placement,
        allowance: Allowance,
        cancelled: Callable[[], bool],
    ) -> Reply:
        """Have one attempt made, again where its container was lost."""
        envelope = Envelope(
            run=self.flights.run,
            request=_within(request, allowance),
            resources=resources_of(place),
            allowance=allowance,
        )
        function = _sized(FUNCTIONS[prepared.call.stage, prepared.entry.role(prepared.config)], place)
        for lost in range(LOST_CONTAINERS + 1):
            flight = self.flights.take(envelope, lambda: function.spawn(envelope.model_dump_json()))
            try:
                reply = self._wait(flight, cancelled)
            except modal.exception.Error as error:
                self.flights.landed(envelope)
                self._check(cancelled)
                if lost == LOST_CONTAINERS:
                    raise InternalError(
                        f"the container of {prepared.call.id} was lost {lost + 1} times: {error}",
                        where=f"modal app logs {SETTINGS.app}",
                        fix="see its log; where memory ran out, ask for more with the description's hardware key",
                    ) from error
            else:
                self.flights.landed(envelope)
                return reply
        raise AssertionError("unreachable")

    def _wait(self, flight: modal.FunctionCall[str], cancelled: Callable[[], bool]) -> Reply:
        stop_by: float | None = None
        while True:
            try:
                return Reply.model_validate_json(flight.get(timeout=POLL_SECONDS))
            except TimeoutError:
                self._check_hand_over()
            if cancelled():
                stop_by = stop_by or time.monotonic() + STOP_SECONDS
                if time.monotonic() > stop_by:
                    flight.cancel(terminate_containers=True)

    def _check(self, cancelled: Callable[[], bool]) -> None:
        self._check_hand_over()
        if cancelled():
            raise Cancelled("the run was cancelled", fix="resume it to go on")

    def _check_hand_over(self) -> None:
        if time.monotonic() > self.hand_over_at:
            raise HandOver


def _with_controller(resources: Resources) -> Resources:
    """Return what a call costs while it is under way: its container, and the controller's that waits for it."""
    own = orchestration()
    return resources.model_copy(
        update={
            "cpu": resources.cpu + own.cpu / resources.nodes,
            "memory_gib": resources.memory_gib + own.memory / 1024 / resources.nodes,
        }
    )


def _sized(function: modal.Function[..., str, str], place: Placement) -> modal.Function[..., str, str]:
    """Return the function on the hardware of a placement; Modal takes one GPU type for a single call."""
    return function.with_options(gpu=place.gpu, cpu=place.cpu, memory=place.memory, timeout=place.timeout)


def _attempt_seconds(place: Placement) -> float:
    return max(0.8 * place.timeout, place.timeout - ATTEMPT_MARGIN)


def _within(request: CallRequest, allowance: Allowance) -> CallRequest:
    """Return the request with the least of its own time and the allowance's."""
    if request.seconds is not None and request.seconds <= allowance.seconds:
        return request
    limit = allowance.limit or ATTEMPT_LIMIT
    return request.model_copy(update={"seconds": allowance.seconds, "limit": limit})


def _goes_on(result: CallResult, allowance: Allowance, purse: Purse) -> bool:
    """Tell whether a call that stopped at the end of its allowance is to go on with another one.

    It is where only this attempt's time was over, or where other calls gave money back meanwhile.
    """
    if result.error is None or result.error.code != "budget":
        return False
    if result.error.where == ATTEMPT_LIMIT:
        return True
    return result.error.where == allowance.limit and purse.has_more_than(allowance)


def _estimate(prepared: Prepared, plan: PlanArtifact | None) -> float:
    """Return roughly how long a call takes: the plan's time for training, minutes for the rest."""
    if prepared.call.stage != "train" or plan is None:
        return 300.0
    seconds = [option.seconds for option in plan.hardware if option.gpu == plan.recommended_gpu]
    return max(300.0, *seconds) if prepared.device == "cuda" else max(300.0, plan.local_cpu_seconds)
