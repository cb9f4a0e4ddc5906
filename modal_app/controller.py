"""The controller on Modal: it resolves and plans runs, and carries them out from a CPU container.

Its container may be preempted like any other. What it needs to go on is on the Volume and in the Dicts: the run's
record, the artifacts, the function calls under way, the meters and the ledger.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import modal

from modal_app.app import SECRETS, TRACKING, stages
from modal_app.attempts import stop_key
from modal_app.caller import HandOver, ModalCaller
from modal_app.flights import Flights
from modal_app.images import image
from modal_app.leases import DictLeases
from modal_app.meter import PREFLIGHT, UPKEEP, Meter, read_meters
from modal_app.orders import Collected, Controlled, ControlOrder, GarbageOrder, PreparedRun, PrepareOrder
from modal_app.pulse import Pulse
from modal_app.purse import CONTROLLER, Purse
from modal_app.registry import registry_to_read, registry_to_write
from modal_app.serving.keys import served_key
from modal_app.settings import SETTINGS
from modal_app.volumes import ARTIFACTS, LEASES, MODELS, ROOT, STATE, WORKSPACE
from pipeline.control.allowance import resources_of
from pipeline.control.conclusion import Conclusion, conclude
from pipeline.control.controller import Controller, Outcome
from pipeline.control.gc import find_garbage, remove
from pipeline.control.here import CallerHere
from pipeline.control.ledger import LEDGER, Caps, Ledger
from pipeline.control.options import RunOptions
from pipeline.control.renewal import FRESH, Renewal
from pipeline.control.retraining import prepare_retraining
from pipeline.control.runs import RunDirectory, RunList
from pipeline.control.session import Prepared, Session
from pipeline.core.errors import ConfigError, HoneError, as_hone_error
from pipeline.core.secrets import visible_secrets
from pipeline.core.workspace import Store, write_record
from pipeline.environments import MAIN
from pipeline.execute import load
from pipeline.plan.placement import orchestration
from schemas.events import Event
from schemas.ledger import AttemptKind
from schemas.plan import PlanArtifact
from schemas.resolved import ResolvedRun
from schemas.webhook import RetrainRequest

DAY = 86_400

HAND_OVER_SECONDS = 23 * 3600.0
"""How long a controller works before another container goes on: Modal ends a function after 24 hours."""

CONCLUSION = "conclusion.json"

_CPU = orchestration()


def controller_key(run: str) -> str:
    """Return the key of the function call that carries a run out."""
    return f"controller:{run}"


def on_a_cpu(function: Callable[[str], str]) -> modal.Function[..., Any, Any]:
    """Register one of the app's own functions: JSON text in, JSON text out, on a small CPU container."""
    return stages.function(
        image=image(MAIN),
        volumes=WORKSPACE,
        secrets=[*SECRETS, *TRACKING],
        cpu=_CPU.cpu,
        memory=_CPU.memory,
        timeout=DAY,
        max_containers=SETTINGS.workers,
        single_use_containers=True,
    )(function)


@on_a_cpu
def prepare_run(order: str) -> str:
    """Resolve, write down and plan a run, and bring what it needs into the caches, before any GPU starts."""

    def written_down(session: Session) -> Prepared:
        return session.prepare(session.resolve_spec(PrepareOrder.model_validate_json(order).spec, ROOT))

    return _prepare(written_down)


@on_a_cpu
def prepare_retraining_run(request: str) -> str:
    """Do the same for the retraining of a registered version."""
    return _prepare(lambda session: prepare_retraining(session, RetrainRequest.model_validate_json(request)))


def _prepare(written_down: Callable[[Session], Prepared]) -> str:
    with metered_container(UPKEEP, PREFLIGHT) as (leases, meter):
        try:
            with registry_to_read() as registry:
                session = Session(ROOT, lambda: registry, CallerHere(SETTINGS.device, leases), visible_secrets())
                prepared = written_down(session)
                meter.charge_to(prepared.directory.run)
                registry.list_versions(prepared.run.spec.name)  # one that cannot be read would lose the run's end
            return _plan_run(session, prepared).model_dump_json()
        except Exception as error:  # noqa: BLE001 - the boundary: whatever a library raises becomes an answer
            return PreparedRun(error=as_hone_error(error).record()).model_dump_json()


def _plan_run(session: Session, prepared: Prepared) -> PreparedRun:
    told: list[Event] = []
    plan = _plan(session, prepared.run, told.append)
    ARTIFACTS.commit()
    fetch_weights(prepared.run)
    return PreparedRun(
        run=prepared.directory.run,
        plan=plan,
        constraints=prepared.run.spec.constraints,
        warnings=tuple(event.message for event in told if event.kind == "warning"),
    )


def fetch_weights(run: ResolvedRun) -> None:
    """Bring a Hub base's weights into the model cache, at the commit that the run names.

    Raises:
        ModelError: the repository, its revision or the permission is missing.
    """
    from pipeline.backends.fetch_huggingface import fetch_model

    weights = run.base.weights
    if weights is not None and weights.digest is not None and not (ROOT / weights.location).exists():
        fetch_model(weights.location, weights.digest, visible_secrets().get("HF_TOKEN"))
        MODELS.commit()


@on_a_cpu
def control_run(text: str) -> str:
    """Carry out a run until it ends, is stopped, or this container's time is over."""
    order = ControlOrder.model_validate_json(text)
    hand_over_at = time.monotonic() + HAND_OVER_SECONDS
    with working_container(order.run, CONTROLLER) as leases, leases.named(run_lease(order.run)):
        try:
            conclusion = _control(order, leases, hand_over_at)
        except HandOver:
            return _hand_over(text, order).model_dump_json()
        except Exception as error:  # noqa: BLE001 - the boundary: whatever a library raises becomes an answer
            return Controlled(error=as_hone_error(error).record()).model_dump_json()
    return Controlled(conclusion=conclusion.as_json()).model_dump_json()


@on_a_cpu
def collect_garbage(text: str) -> str:
    """Remove from the Volume what nothing refers to; what a container holds stays."""
    order = GarbageOrder.model_validate_json(text)
    with working_container(UPKEEP, "garbage") as leases, registry_to_read() as registry:
        try:
            _refuse_runs_under_way(order.forget, leases)
            store = Store(ROOT, leases)
            garbage = find_garbage(store, registry, order.forget)
            if not order.dry_run:
                remove(store, garbage)
        except HoneError as error:
            return Collected(error=error.record()).model_dump_json()
        ARTIFACTS.commit()
    sentence = garbage.sentence("would remove" if order.dry_run else "removed")
    return Collected(garbage=garbage.as_json(), sentence=sentence).model_dump_json()


def _refuse_runs_under_way(names: Iterable[str], leases: DictLeases) -> None:
    for name in names:
        run = RunList(ROOT).find(name).run
        if leases.is_named_held(run_lease(run)):
            raise ConfigError("this run is under way", where=run, fix="cancel it first, or wait for its end")


def run_lease(run: str) -> str:
    """Return the name of the lease that a run's controller holds."""
    return f"run/{run}"


def _control(order: ControlOrder, leases: DictLeases, hand_over_at: float) -> Conclusion:
    directory = RunList(ROOT).directory(order.run)
    run = directory.read().resolved()
    fresh = Renewal.interrupted(directory.path / FRESH) if order.resume else frozenset(order.fresh)
    options = RunOptions(first=order.first, last=order.last, fresh=fresh)
    with registry_to_read() as registry:
        session = Session(ROOT, lambda: registry, CallerHere(SETTINGS.device, leases))
        plan = _plan(session, run, _show)
    purse = Purse(_ledger(order, directory), STATE, directory)
    caller = ModalCaller(plan, run.spec.hardware, Flights(STATE, order.run), purse, hand_over_at)
    controller = Controller(ROOT, caller, _show, lambda: STATE.contains(stop_key(order.run)))
    try:
        outcome = controller.carry_out(run, directory, options)
    finally:
        caller.sync()
    return _conclude(Prepared(run, directory), caller, outcome, leases)


def _conclude(prepared: Prepared, caller: ModalCaller, outcome: Outcome, leases: DictLeases) -> Conclusion:
    """Register what came of the run, write its report, and tell the endpoint what to serve."""
    with registry_to_write(leases) as registry:
        session = Session(ROOT, lambda: registry, caller)
        session.track(prepared, outcome)
        conclusion = conclude(session, prepared, outcome)
        name = prepared.run.spec.name
        champion = registry.alias(name, "champion")
    write_record(prepared.directory.path / CONCLUSION, conclusion.as_json())
    ARTIFACTS.commit()
    if champion is not None:
        STATE.put(served_key(name), champion)
    return conclusion


def _ledger(order: ControlOrder, directory: RunDirectory) -> Ledger:
    """Return the run's ledger under this order's caps and prices, with what its containers have taken since.

    Nothing stays set aside: calls under way are asked for again, and those that ended meanwhile are found stored.
    """
    caps = Caps(order.max_cost, order.max_gpu_hours)
    path = directory.path / LEDGER
    earlier = Ledger.from_json(path.read_text(encoding="utf-8")).attempts() if path.is_file() else ()
    ledger = Ledger(caps, price_scale=order.price_scale, attempts=earlier)
    for attempt in read_meters(STATE, directory.run, {*directory.calls(), CONTROLLER, PREFLIGHT}):
        ledger.meter(attempt)
    return ledger


def _hand_over(text: str, order: ControlOrder) -> Controlled:
    following = control_run.spawn(text)
    STATE.put(controller_key(order.run), following.object_id)
    return Controlled(handed_over_to=following.object_id)


def _plan(session: Session, run: ResolvedRun, sink: Callable[[Event], None]) -> PlanArtifact:
    """Return the run's plan, drawn up here if it is not; the run's record is left alone.

    Raises:
        HoneError: what the plan stage failed with.
    """
    artifact = load(session.store, session.try_out(run, "plan", sink, lambda: False)["plan"]).artifact
    assert isinstance(artifact, PlanArtifact)
    return artifact


@contextmanager
def working_container(owner: str, call_id: str) -> Iterator[DictLeases]:
    """Reload the Volume, and yield this container's leases while its pulse and meter go on."""
    with metered_container(owner, call_id) as (leases, _):
        yield leases


@contextmanager
def metered_container(owner: str, call_id: str) -> Iterator[tuple[DictLeases, Meter]]:
    """Do the same, and yield the meter too: who is charged may become known later."""
    ARTIFACTS.reload()
    holder = modal.current_input_id() or call_id
    kind: AttemptKind = "controller" if call_id == CONTROLLER else "preflight"
    meter = Meter(STATE, owner, call_id, f"{holder}-{time.time():.0f}", resources_of(_CPU), kind)
    with Pulse(SETTINGS.lease_seconds / 4) as pulse, meter, pulse.beat(meter.beat):
        leases = DictLeases(
            LEASES, holder, SETTINGS.lease_seconds, pulse, entered=ARTIFACTS.reload, leaving=ARTIFACTS.commit
        )
        yield leases, meter


def _show(event: Event) -> None:
    """Write what an attempt told to the container's log."""
    print(f"{event.call_id} {event.kind} {event.message}", flush=True)  # noqa: T201 - a container's log is its output
