"""A job of the service as a run: the same controller, told line by line, with a result that fits on one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from pipeline.control.conclusion import conclude
from pipeline.control.job_checkpoints import CheckpointKeeper
from pipeline.control.options import RunOptions
from pipeline.control.session import Prepared, Session, version_of
from pipeline.core.errors import InternalError
from pipeline.core.registry import LOSS_CURVE
from pipeline.execute import load
from schemas.artifacts import Stored
from schemas.base import ArtifactRef
from schemas.errors import ErrorRecord
from schemas.events import Event
from schemas.job import JobMessage, JobOrder, JobResult, StepMetrics
from schemas.plan import PlanArtifact
from schemas.register import RegisterArtifact
from schemas.resolved import ResolvedRun
from schemas.train import TrainArtifact


def carry_out_job(
    session: Session, order: JobOrder, tell: Callable[[JobMessage], None], cancelled: Callable[[], bool]
) -> JobResult:
    """Carry a job out, from what an earlier attempt finished and saved; return how it ended.

    Raises:
        HoneError: the description cannot be resolved, or its plan not be drawn up.
    """

    def sink(event: Event) -> None:
        tell(JobMessage(event=event))

    prepared = session.prepare(_resolve(session, order, sink, cancelled))
    tell(JobMessage(run=prepared.directory.run))
    keeper = CheckpointKeeper(session.store, order.checkpoints, tell)
    keeps = order.spec.train.adapter != "full"

    def watched(event: Event) -> None:
        sink(event)
        if keeps:
            keeper(event)

    outcome = session.carry_out(prepared, RunOptions(), watched, cancelled)
    conclude(session, prepared, outcome)
    if outcome.error is not None:
        return JobResult(error=_short(outcome.error), failed_call=outcome.failed_call)
    return _result(session, prepared)


def _resolve(
    session: Session, order: JobOrder, sink: Callable[[Event], None], cancelled: Callable[[], bool]
) -> ResolvedRun:
    run = session.resolve_spec(order.spec, order.folder)
    if order.learning_rate_multiplier is None:
        return run
    plan = load(session.store, session.try_out(run, "plan", sink, cancelled)["plan"]).artifact
    assert isinstance(plan, PlanArtifact)
    rate = plan.decisions.learning_rate * order.learning_rate_multiplier
    train = order.spec.train.model_copy(update={"learning_rate": rate})
    return session.resolve_spec(order.spec.model_copy(update={"train": train}), order.folder)


def _short(error: ErrorRecord) -> ErrorRecord:
    """Return an error without its detail: the end of a log is no answer to a client."""
    return error.model_copy(update={"detail": None})


def _result(session: Session, prepared: Prepared) -> JobResult:
    calls = prepared.directory.calls()
    record: Stored[RegisterArtifact] = load(session.store, _ref("register", calls))
    number = version_of(prepared.directory)
    if number is None:
        raise InternalError("the run ended without a version", where=prepared.directory.run)
    decision = record.artifact.decision
    trained: list[Stored[TrainArtifact]] = [
        load(session.store, _ref(name, calls)) for name, call in calls.items() if call["stage"] == "train"
    ]
    return JobResult(
        version=f"{record.artifact.name}@{number}",
        verdict=decision.verdict,
        refused_because=tuple(one.text for one in decision.conditions if one.required and not one.passed),
        trained_tokens=sum(round(one.artifact.rendered.tokens * one.artifact.epochs) for one in trained),
        steps=tuple(step for one in trained for step in _steps(one.file(LOSS_CURVE))),
    )


def _ref(name: str, calls: dict[str, dict[str, str]]) -> ArtifactRef:
    return ArtifactRef.model_validate({"stage": calls[name]["stage"], "fingerprint": calls[name]["fingerprint"]})


def _steps(path: Path) -> list[StepMetrics]:
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [
        StepMetrics(
            step=line["step"],
            train_loss=line.get("loss"),
            valid_loss=line.get("eval_loss"),
            learning_rate=line.get("learning_rate"),
        )
        for line in lines
    ]
