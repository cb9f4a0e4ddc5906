"""What a stage's container does: `pipeline.execute`, under a lease in a Dict and on a Volume.

The Volume is reloaded before anything is read and committed after each checkpoint and artifact, so that a container
that dies loses at most what a process that dies on one machine loses.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable

import modal

from modal_app.envelope import Envelope, Reply
from modal_app.flights import flight, flight_key
from modal_app.leases import DictLeases
from modal_app.meter import Meter
from modal_app.pulse import Pulse
from modal_app.settings import SETTINGS
from modal_app.volumes import ARTIFACTS, LEASES, ROOT, STATE
from pipeline.control.runs import RunDirectory, RunList
from pipeline.core.context import CallContext
from pipeline.core.errors import ConfigError
from pipeline.core.gpus import visible_gpus
from pipeline.core.secrets import visible_secrets
from pipeline.execute import carry_out, failed
from schemas.events import Event
from schemas.ledger import Resources

COMMITTED_AFTER = ("started", "checkpoint", "finished", "failed")
"""Events after which others must see what is on the Volume."""

TOLD = ("started", "checkpoint", "warning", "recovery", "finished", "failed")
"""Events that a controller acts on, or tells."""

PROGRESS_SECONDS = 5.0
"""One progress event is kept in this time: a follower reads the file again and again."""

COMMIT_SECONDS = 5.0
"""How often events are made visible to followers while nothing else is committed."""


def stop_key(run: str) -> str:
    """Return the key whose presence asks a run to stop."""
    return f"stop:{run}"


def attempt(text: str) -> str:
    """Carry out the attempt that an envelope describes; errors of the stage and of the container are in the reply.

    A function's exception would reach the controller as one of its own: a `TimeoutError` as if it had not ended.
    """
    try:
        return _attempt(Envelope.model_validate_json(text)).model_dump_json()
    except Exception as error:  # noqa: BLE001 - the boundary
        traceback.print_exc()
        return Reply(fault=f"{type(error).__name__}: {error}").model_dump_json()


def _attempt(envelope: Envelope) -> Reply:
    ARTIFACTS.reload()
    directory = RunList(ROOT).directory(envelope.run)
    call_id = envelope.request.call.id
    entry = flight(envelope, modal.current_function_call_id() or "")
    STATE.put(flight_key(envelope.run, call_id), entry, skip_if_exists=True)
    holder = modal.current_input_id() or call_id
    told: list[Event] = []
    here = {"root": ROOT, "secrets": visible_secrets()}
    meter = Meter(STATE, envelope.run, call_id, f"{holder}-{time.time():.0f}", envelope.resources)

    def goes_on() -> bool:
        return not STATE.contains(stop_key(envelope.run))

    with Pulse(SETTINGS.lease_seconds / 4) as pulse, meter, pulse.beat(meter.beat), pulse.beat(goes_on):
        leases = DictLeases(LEASES, holder, SETTINGS.lease_seconds, pulse, entered=ARTIFACTS.reload)
        request = envelope.for_attempt(holder, meter.earlier).model_copy(update=here)
        sink = _sink(directory, call_id, told)
        unasked = unasked_gpus(envelope.resources, visible_gpus())
        if unasked is not None:
            result = failed(request.call, CallContext(call_id=call_id, sink=sink), unasked)
        else:
            result = carry_out(request, sink, lambda: pulse.stopped, leases)
    ARTIFACTS.commit()
    saved = any(event.kind == "checkpoint" for event in told)
    told = [event for event in told if event.kind != "checkpoint"]
    return Reply(result=result, events=tuple(told), saved=saved)


def unasked_gpus(resources: Resources, seen: int) -> ConfigError | None:
    """Return the error of a container that has ``seen`` GPUs, none of which its call asked for or is billed for.

    ``with_options`` adds a GPU to a function's declaration and cannot take one away.
    """
    if SETTINGS.device == "cpu" or resources.count > 0 or seen == 0:
        return None
    return ConfigError(
        f"this call was to have no GPU, and its function was deployed with {seen}",
        where="hardware",
        fix="remove cpu from the description's hardware, or deploy by a description with the same (HONE_MODAL_CONFIG)",
    )


def _sink(directory: RunDirectory, call_id: str, told: list[Event]) -> Callable[[Event], None]:
    """Return what writes events, commits where others wait for it, and keeps those that go back."""
    write = directory.event_writer(call_id, PROGRESS_SECONDS)
    committed = time.monotonic()

    def sink(event: Event) -> None:
        nonlocal committed
        write(event)
        if event.kind in TOLD:
            told.append(event)
        if event.kind in COMMITTED_AFTER or time.monotonic() - committed > COMMIT_SECONDS:
            ARTIFACTS.commit()
            committed = time.monotonic()

    return sink
