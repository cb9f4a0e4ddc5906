"""Jobs as the database knows them. A status changes by compare-and-set, in the transaction of the event that tells it.

queued ──▶ validating_files ──▶ running ──▶ succeeded | failed      pausing ──▶ paused ──▶ queued
   ▲              │                │
   └──────────────┴────────────────┘  the service ended under it; everything that has not ended can be cancelled
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Engine, Select, func, insert, select, update

from pipeline.service.store.database import new_id, now, paged
from pipeline.service.store.events import NewEvent, add_event
from pipeline.service.store.files import KnownFile, add_file
from pipeline.service.store.outbox import Outbox, new_event
from pipeline.service.store.tables import job_metadata, jobs
from schemas.fine_tuning import JobFailure, JobRequest, JobStatus
from schemas.outgoing import JobEventType
from schemas.register import Verdict
from schemas.run import RunSpec

UNDER_WAY: Final[tuple[JobStatus, ...]] = ("validating_files", "running", "pausing")
"""Statuses in which a runner works on a job."""

ENDED: Final[tuple[JobStatus, ...]] = ("succeeded", "failed", "cancelled")

LIVING: Final[tuple[JobStatus, ...]] = ("queued", "paused", *UNDER_WAY)

_TOLD: Final[dict[JobStatus, JobEventType]] = {
    "succeeded": "fine_tuning.job.succeeded",
    "failed": "fine_tuning.job.failed",
    "cancelled": "fine_tuning.job.cancelled",
}
"""Statuses that webhooks tell of."""


@dataclass(frozen=True)
class Job:
    """A job: what was asked, the run description that it became, and how it stands."""

    id: str
    created_at: int
    status: JobStatus
    request: JobRequest
    spec: RunSpec
    seed: int
    finished_at: int | None = None
    run: str | None = None
    version: str | None = None
    verdict: Verdict | None = None
    fine_tuned_model: str | None = None
    trained_tokens: int | None = None
    result_files: tuple[str, ...] = ()
    error: JobFailure | None = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing will happen to it any more."""
        return self.status in ENDED


class JobStore:
    """The table of jobs. How a job ended is told to the addresses of ``outbox``."""

    def __init__(self, engine: Engine, outbox: Outbox) -> None:
        self._engine = engine
        self._outbox = outbox

    def add(
        self,
        name: str,
        request: JobRequest,
        spec: RunSpec,
        seed: int,
        told: Sequence[NewEvent],
        *,
        run: str | None = None,
        also: Callable[[Connection], None] | None = None,
    ) -> Job:
        """Note a new job, which is then queued; what this returned for is committed. ``run``, where it is known.

        ``also`` is done in the same transaction.
        """
        job = Job(name, now(), "queued", request, spec, seed, run=run)
        values = {
            "id": job.id,
            "created_at": job.created_at,
            "status": job.status,
            "request": request.model_dump(mode="json"),
            "spec": spec.model_dump(mode="json"),
            "seed": seed,
            "run": run,
            "result_files": [],
        }
        with self._engine.begin() as connection:
            connection.execute(insert(jobs).values(values))
            for key, value in (request.metadata or {}).items():
                connection.execute(insert(job_metadata).values(job=job.id, key=key, value=value))
            for event in told:
                add_event(connection, job.id, event)
            if also is not None:
                also(connection)
        return job

    def get(self, name: str) -> Job | None:
        """Return a job by its id."""
        return self._one(select(jobs).where(jobs.c.id == name))

    def by_model(self, model: str) -> Job | None:
        """Return the job that made ``fine_tuned_model``."""
        return self._one(select(jobs).where(jobs.c.fine_tuned_model == model))

    def tuned(self) -> list[Job]:
        """Return the jobs that made a model, the newest first."""
        return self._all(select(jobs).where(jobs.c.status == "succeeded").order_by(jobs.c.number.desc()))

    def page(
        self, *, after: str | None, limit: int, metadata: dict[str, str] | Any | None = ()
    ) -> tuple[list[Job], bool]:
        """Return a page of jobs, the newest first, and whether there are more. Raises UnknownCursor.

        ``metadata``: pairs that a job has to have, all where it is empty; None, that it has none at all.
        """
        query: Select[Any] = select(jobs)
        if metadata is None:
            query = query.where(jobs.c.id.not_in(select(job_metadata.c.job)))
        for key, value in (metadata or {}).items():
            has = select(job_metadata.c.job).where(job_metadata.c.key == key, job_metadata.c.value == value)
            query = query.where(jobs.c.id.in_(has))
        rows, more = paged(self._engine, jobs, query, after=after, limit=limit, order="desc")
        return [_job(row) for row in rows], more

    def has_run(self, run: str) -> bool:
        """Return whether a job that was not given up is that run."""
        found = select(jobs.c.id).where(jobs.c.run == run, jobs.c.status.not_in(("failed", "cancelled"))).limit(1)
        with self._engine.connect() as connection:
            return connection.execute(found).first() is not None

    def with_metadata(self, key: str, since: int = 0) -> list[Job]:
        """Return the jobs that have a key in their metadata and were created at a Unix time or later, oldest first."""
        marked = jobs.c.id.in_(select(job_metadata.c.job).where(job_metadata.c.key == key))
        return self._all(select(jobs).where(marked, jobs.c.created_at >= since).order_by(jobs.c.number))

    def count(self) -> dict[str, int]:
        """Return how many jobs have each status."""
        query = select(jobs.c.status, func.count().label("number")).group_by(jobs.c.status)
        with self._engine.connect() as connection:
            return {row.status: row.number for row in connection.execute(query)}

    def under_way(self) -> list[Job]:
        """Return the jobs that a runner works on, the oldest first."""
        return self._all(select(jobs).where(jobs.c.status.in_(UNDER_WAY)).order_by(jobs.c.number))

    def reads(self, file: str) -> Job | None:
        """Return a job that has not ended and reads a file."""
        for job in self._all(select(jobs).where(jobs.c.status.in_(LIVING))):
            if file in job.spec.model_dump_json():
                return job
        return None

    def claim(self) -> Job | None:
        """Take the oldest queued job; nobody else gets it."""
        waiting = self._all(select(jobs).where(jobs.c.status == "queued").order_by(jobs.c.number))
        for job in waiting:
            told = NewEvent(f"Validating training file: {job.request.training_file}")
            if self.move(job.id, ("queued",), "validating_files", told) is not None:
                return self.get(job.id)
        return None

    def move(
        self,
        name: str,
        before: tuple[JobStatus, ...],
        after: JobStatus,
        told: NewEvent | None = None,
        files: Sequence[KnownFile] = (),
        **values: Any,
    ) -> Job | None:
        """Give a job another status and other ``values`` if it has one of ``before`` now; None where it has not."""
        if after in ENDED:
            values["finished_at"] = now()
        if files:
            values["result_files"] = [file.id for file in files]
        change = update(jobs).where(jobs.c.id == name, jobs.c.status.in_(before)).values(status=after, **values)
        with self._engine.begin() as connection:
            if connection.execute(change).rowcount == 0:
                return None
            for file in files:
                add_file(connection, file)
            if told is not None:
                add_event(connection, name, told)
            if after in _TOLD:
                self._outbox.add(connection, new_event(_TOLD[after], {"id": name}))
            return _get(connection, name)

    def note_run(self, name: str, run: str) -> None:
        """Note which run a job is."""
        with self._engine.begin() as connection:
            connection.execute(update(jobs).where(jobs.c.id == name).values(run=run))

    def _one(self, query: Select[Any]) -> Job | None:
        found = self._all(query)
        return found[0] if found else None

    def _all(self, query: Select[Any]) -> list[Job]:
        with self._engine.connect() as connection:
            return [_job(row) for row in connection.execute(query)]


def new_job_id() -> str:
    """Return the id of a new job."""
    return new_id("ftjob")


def _get(connection: Connection, name: str) -> Job:
    return _job(connection.execute(select(jobs).where(jobs.c.id == name)).one())


def _job(row: Any) -> Job:
    kept = {name: getattr(row, name) for name in Job.__dataclass_fields__}
    return Job(
        **{
            **kept,
            "request": JobRequest.model_validate(row.request),
            "spec": RunSpec.model_validate(row.spec),
            "result_files": tuple(row.result_files),
            "error": None if row.error is None else JobFailure.model_validate(row.error),
        }
    )
