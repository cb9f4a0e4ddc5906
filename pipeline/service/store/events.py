"""What happened to jobs, and the checkpoints that they left."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import JsonValue
from sqlalchemy import Connection, Engine, delete, insert, select

from pipeline.service.store.database import Order, new_id, now, paged
from pipeline.service.store.tables import checkpoints, events
from schemas.fine_tuning import CheckpointMetrics, JobCheckpoint, JobEvent

Level = Literal["info", "warn", "error"]


@dataclass(frozen=True)
class NewEvent:
    """An event to be told; ``data`` makes it one of metrics."""

    message: str
    level: Level = "info"
    data: Mapping[str, JsonValue] | None = None


@dataclass(frozen=True)
class KnownCheckpoint:
    """A checkpoint that can be asked by its name; ``folder`` is relative to the workspace."""

    job: str
    model: str
    metrics: CheckpointMetrics
    folder: str


class EventStore:
    """The tables of events and checkpoints."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, job: str, event: NewEvent) -> None:
        """Note an event."""
        with self._engine.begin() as connection:
            add_event(connection, job, event)

    def page(self, job: str, *, after: str | None, limit: int, order: Order = "desc") -> tuple[list[JobEvent], bool]:
        """Return a page of a job's events, and whether there are more. Raises UnknownCursor."""
        query = select(events).where(events.c.job == job)
        rows, more = paged(self._engine, events, query, after=after, limit=limit, order=order)
        return [_event(row) for row in rows], more

    def add_checkpoint(self, found: KnownCheckpoint, event: NewEvent, dropped: Collection[int] = ()) -> None:
        """Note a checkpoint and tell it; one of that step that is known already, made again, is left as it is.

        Those of the steps ``dropped`` are forgotten.
        """
        step, own = found.metrics.step, checkpoints.c.job == found.job
        with self._engine.begin() as connection:
            connection.execute(delete(checkpoints).where(own, checkpoints.c.step.in_(dropped)))
            known = select(checkpoints.c.id).where(own, checkpoints.c.step == step)
            if connection.execute(known).scalar() is not None:
                return
            values = {
                "id": new_id("ftckpt"),
                "job": found.job,
                "created_at": now(),
                "step": step,
                "model": found.model,
                "metrics": found.metrics.model_dump(mode="json"),
                "folder": found.folder,
            }
            connection.execute(insert(checkpoints).values(values))
            add_event(connection, found.job, event)

    def checkpoints(self, job: str, *, after: str | None, limit: int) -> tuple[list[JobCheckpoint], bool]:
        """Return a page of a job's checkpoints, the newest first, and whether there are more. Raises UnknownCursor."""
        query = select(checkpoints).where(checkpoints.c.job == job)
        rows, more = paged(self._engine, checkpoints, query, after=after, limit=limit, order="desc")
        return [_checkpoint(row) for row in rows], more

    def checkpoint(self, model: str) -> KnownCheckpoint | None:
        """Return a checkpoint by the name that asks it."""
        with self._engine.connect() as connection:
            row = connection.execute(select(checkpoints).where(checkpoints.c.model == model)).one_or_none()
        if row is None:
            return None
        return KnownCheckpoint(row.job, row.model, CheckpointMetrics.model_validate(row.metrics), row.folder)


def add_event(connection: Connection, job: str, event: NewEvent) -> None:
    """Note an event within a transaction."""
    values: dict[str, Any] = {
        "id": new_id("ftevent"),
        "job": job,
        "created_at": now(),
        "level": event.level,
        "type": "message" if event.data is None else "metrics",
        "message": event.message,
        "data": None if event.data is None else dict(event.data),
    }
    connection.execute(insert(events).values(values))


def _event(row: Any) -> JobEvent:
    return JobEvent(
        id=row.id, created_at=row.created_at, level=row.level, message=row.message, type=row.type, data=row.data
    )


def _checkpoint(row: Any) -> JobCheckpoint:
    return JobCheckpoint(
        id=row.id,
        created_at=row.created_at,
        fine_tuning_job_id=row.job,
        fine_tuned_model_checkpoint=row.model,
        step_number=row.step,
        metrics=CheckpointMetrics.model_validate(row.metrics),
    )
