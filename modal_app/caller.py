"""The Modal caller: every stage call is an input of its stage's function, on the hardware that its plan asks for."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import modal
import modal.exception

from modal_app.cluster import cluster_for
from modal_app.envelope import Envelope, Reply
from modal_app.flights import Flights
from modal_app.functions import FUNCTIONS
from modal_app.purse import Purse
from modal_app.settings import SETTINGS
from modal_app.volumes import ARTIFACTS
from pipeline.control.allowance import Amount, Refusal, Request, resources_of
from pipeline.control.ledger import Caps
from pipeline.control.runs import RunDirectory
from pipeline.core.context import CallContext
from pipeline.core.errors import Cancelled, HoneError, InternalError
from pipeline.execute import Prepared, failed
from pipeline.plan.placement import orchestration, placement
from pipeline.plan.processes import training_processes
from pipeline.train.distributed import shared_by
from schemas.artifacts import CallResult, StageCall
from schemas.base import Device
from schemas.events import Event
from schemas.ledger import Allowance, Resources
from schemas.placement import HardwareSpec, Placement
from schemas.plan import PlanArtifact
from schemas.request import CallRequest
from schemas.train import TrainConfig

POLL_SECONDS = 2.0
"""How often a waiting caller looks whether it should stop."""

STOP_SECONDS = 120.0
"""How long a call may take to save what it has once its run is to stop."""

LOST_CONTAINERS = 2
"""Attempts at a call beyond the first after its container was lost: out of memory, or a fault of the machine."""

ATTEMPT_LIMIT = "hardware: timeout"

NO_ANSWER = (modal.exception.ConnectionError, modal.exception.ServiceError)
"""What Modal's client raises while the network is gone, after its own retries."""

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

    def found(self, call: StageCall) -> None:
        """See `Caller.found`: charge what its attempts took, and forget the function call that made it."""
        self.flights.landed(call.id)
        self.purse.settle(call.id)

    def bill(self) -> tuple[Caps, Amount]:
        """See `Caller.bill`."""
        return self.purse.bill()

    def carry_out(
        self,
        prepared: Prepared,
        request: CallRequest,
        run: RunDirectory,  # noqa: ARG002 - the stage's own container writes the record of an attempt
        sink: Callable[[Event], None],
        cancelled: Callable[[], bool],
    ) -> CallResult:
        """See `Caller.carry_out`; a call that was under way when an earlier controller ended is waited for.

        Raises:
            HandOver: this controller's time is over.
        """
        call = prepared.call
        try:
            place = placement(call, self.plan, self.hardware, prepared.device)
            request = _in_processes(prepared, request, place, self.plan)
            taken = self.purse.seconds(call.id)
            while True:
                allowance = self._allowance(prepared, place, cancelled)
                left = _without(request, self.purse.seconds(call.id) - taken)
                reply = self._attempt(prepared, left, place, allowance, cancelled)
                self.purse.settle(call.id)
                for event in reply.events:
                    sink(event)
                assert reply.result is not None
                if not _goes_on(reply.result, allowance, self.purse, saved=reply.saved):
                    return reply.result
                request = _going_on(request)
        except HoneError as error:
            self.purse.settle(call.id)
            return failed(call, CallContext(call_id=call.id, sink=sink), error)

    def _allowance(self, prepared: Prepared, place: Placement, cancelled: Callable[[], bool]) -> Allowance:
        """Return what the call may take; waits while calls under way may give enough back."""
        asked = Request(
            call_id=prepared.call.id,
            resources=_with_controller(_billed(place)),
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
        """Have one attempt made, again where its container was lost: what that one saved is then taken up."""
        function = _sized(_function(prepared, place), place)
        for lost in range(LOST_CONTAINERS + 1):
            envelope = Envelope(
                run=self.flights.run,
                request=_within(_going_on(request) if lost else request, allowance),
                resources=_billed(place),
                allowance=allowance,
            )
            flight = self.flights.take(envelope, partial(self._spawn, function, envelope, cancelled))
            reply = self._wait(flight, cancelled)
            self.flights.landed(prepared.call.id)
            if reply.fault is None:
                return reply
            self._check(cancelled)
        raise InternalError(
            f"the container of {prepared.call.id} was lost {LOST_CONTAINERS + 1} times: {reply.fault}",
            where=f"modal app logs {SETTINGS.app}",
            fix="see its log; where memory ran out, ask for more with the description's hardware key",
        )

    def _spawn(
        self, function: modal.Function[..., str, str], envelope: Envelope, cancelled: Callable[[], bool]
    ) -> modal.FunctionCall[str]:
        """Begin a function call, unless the run is to stop."""
        self._check(cancelled)
        return function.spawn(envelope.model_dump_json())

    def _wait(self, flight: modal.FunctionCall[str], cancelled: Callable[[], bool]) -> Reply:
        stop_by: float | None = None
        while True:
            try:
                return Reply.model_validate_json(flight.get(timeout=POLL_SECONDS))
            except TimeoutError:
                self._check_hand_over()
            except NO_ANSWER:
                time.sleep(POLL_SECONDS)  # of the network, not of the call
            except Exception as error:  # noqa: BLE001 - its container ended without a reply, whatever Modal makes of that
                return Reply(fault=f"{type(error).__name__}: {error}")
            if _asked_to_stop(cancelled):
                stop_by = stop_by or time.monotonic() + STOP_SECONDS
                if time.monotonic() > stop_by:
                    flight.cancel(terminate_containers=True)

    def _check(self, cancelled: Callable[[], bool]) -> None:
        self._check_hand_over()
        if _asked_to_stop(cancelled):
            raise Cancelled("the run was cancelled", fix="resume it to go on")

    def _check_hand_over(self) -> None:
        if time.monotonic() > self.hand_over_at:
            raise HandOver


def _asked_to_stop(cancelled: Callable[[], bool]) -> bool:
    """Ask; while the network gives no answer, nobody did."""
    try:
        return cancelled()
    except NO_ANSWER:
        return False


def _going_on(request: CallRequest) -> CallRequest:
    """Return the request for the attempt after one that began: it takes up what was saved."""
    return request.model_copy(update={"restart": False})


def _without(request: CallRequest, taken: float) -> CallRequest:
    """Return the request without the seconds that attempts have taken since it was made."""
    if request.seconds is None:
        return request
    return request.model_copy(update={"seconds": max(0.0, request.seconds - taken)})


def _billed(place: Placement) -> Resources:
    """Return what a call's container is billed for: a call asks for one GPU type, without the fallbacks."""
    return resources_of(place.model_copy(update={"fallbacks": ()}))


def _with_controller(resources: Resources) -> Resources:
    """Return what a call costs while it is under way: its container, and the controller's that waits for it."""
    own = orchestration()
    return resources.model_copy(
        update={
            "cpu": resources.cpu + own.cpu / resources.nodes,
            "memory_gib": resources.memory_gib + own.memory / 1024 / resources.nodes,
        }
    )


def _in_processes(prepared: Prepared, request: CallRequest, place: Placement, plan: PlanArtifact | None) -> CallRequest:
    """Return the request of a training with a process for each GPU of its place.

    Raises:
        ConfigError: they cannot share the rows of a step, or the app has no cluster of so many containers.
    """
    if not isinstance(prepared.config, TrainConfig):
        return request
    processes = training_processes(place, plan)
    shared_by(prepared.config, processes)
    _function(prepared, place)
    return request.model_copy(update={"processes": processes})


def _function(prepared: Prepared, place: Placement) -> modal.Function[..., str, str]:
    if place.nodes > 1:
        return cluster_for(place)
    return FUNCTIONS[prepared.call.stage, prepared.entry.role(prepared.config)]


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


def _goes_on(result: CallResult, allowance: Allowance, purse: Purse, *, saved: bool) -> bool:
    """Tell whether a call that stopped at the end of its allowance is to go on with another one.

    It is where only this attempt's time was over and there is a checkpoint to go on from, or where other calls gave
    money back meanwhile.
    """
    error = result.error
    if error is None or error.code != "budget":
        return False
    if error.where == ATTEMPT_LIMIT:
        return saved
    return error.where == allowance.limit and purse.has_more_than(allowance)


def _estimate(prepared: Prepared, plan: PlanArtifact | None) -> float:
    """Return roughly how long a call takes: the plan's time for training, minutes for the rest."""
    if prepared.call.stage != "train" or plan is None:
        return 300.0
    seconds = [option.seconds for option in plan.hardware if option.gpu == plan.recommended_gpu]
    return max([300.0, *seconds]) if prepared.device == "cuda" else max(300.0, plan.local_cpu_seconds)
