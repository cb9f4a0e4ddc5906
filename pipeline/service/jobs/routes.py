"""`/v1/fine_tuning/jobs`: create, list, retrieve, cancel, pause, resume, events, checkpoints."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import StreamingResponse

from pipeline.service.api.access import Door, needs
from pipeline.service.api.described import answers, links
from pipeline.service.api.errors import Refusal, not_found
from pipeline.service.api.lists import After, Limit, known_cursor, page
from pipeline.service.jobs.describe import describe
from pipeline.service.jobs.stream import event_stream
from pipeline.service.store.events import NewEvent
from pipeline.service.store.jobs import LIVING, Job, new_job_id
from pipeline.service.store.records import Records
from schemas.api import Page
from schemas.fine_tuning import FineTuningJob, JobCheckpoint, JobEvent, JobRequest, JobRun, JobStatus

Move = tuple[tuple[JobStatus, ...], JobStatus, str]
"""From which statuses, to which, and what is told."""

CANCEL: Final[tuple[Move, ...]] = ((LIVING, "cancelled", "The job was cancelled"),)
_PAUSE_WAITING: Final[Move] = (("queued",), "paused", "The job is paused")
PAUSE: Final[tuple[Move, ...]] = (
    _PAUSE_WAITING,
    (("validating_files", "running"), "pausing", "The job is to pause: its run saves what it has"),
    _PAUSE_WAITING,  # it may have been queued again between the two
)
RESUME: Final[tuple[Move, ...]] = ((("paused",), "queued", "The job goes on"),)

_METADATA = re.compile(r"metadata\[(.{1,64})\]", re.DOTALL)
_MOST_PAIRS: Final = 16

_LINKS: Final = links(
    "fine_tuning_job_id",
    "retrieveFineTuningJob",
    "cancelFineTuningJob",
    "pauseFineTuningJob",
    "resumeFineTuningJob",
    "listFineTuningEvents",
    "listFineTuningJobCheckpoints",
)

_EVENTS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "A page, or with `stream=true` server-sent events until the job has ended.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}
_FILTER: Final[dict[str, Any]] = {
    "parameters": [
        {
            "name": "metadata",
            "in": "query",
            "style": "deepObject",
            "explode": True,
            "schema": {"type": "object", "additionalProperties": {"type": "string"}},
            "description": "Pairs that a job has to have: `metadata[key]=value`; `metadata=null` for jobs with none.",
        }
    ]
}


@dataclass(frozen=True)
class _Desk:
    """What all routes need. ``wake`` tells the supervisor that there is something to do."""

    records: Records
    organization: str
    wake: Callable[[], None]

    def known(self, job_id: str) -> Job:
        """Return a job. Raises a Refusal where there is none."""
        job = self.records.jobs.get(job_id)
        if job is None:
            raise not_found("fine-tuning job", job_id, "fine_tuning_job_id")
        return job

    def show(self, job: Job) -> FineTuningJob:
        """Return what is told of a job."""
        return job_object(job, self.organization)

    def create(self, request: JobRequest) -> Job:
        """Accept a job: what this returns is committed."""
        name = new_job_id()
        described = describe(request, name, _located(self.records), _tuned(self.records))
        told = [NewEvent(f"Created fine-tuning job: {name}")]
        job = self.records.jobs.add(name, request, described.spec, described.seed, told)
        self.wake()
        return job

    def change(self, job_id: str, verb: str, moves: Collection[Move]) -> FineTuningJob:
        """Make the first move that fits the job's status. Raises a Refusal where none does."""
        job = self.known(job_id)
        for before, after, told in moves:
            moved = self.records.jobs.move(job.id, before, after, NewEvent(told))
            if moved is not None:
                self.wake()
                return self.show(moved)
        status = self.known(job_id).status
        raise Refusal(400, f"Job {job.id} is {status}, so it cannot be {verb}", code="invalid_status")


def job_routes(records: Records, door: Door, organization: str, wake: Callable[[], None]) -> APIRouter:
    """Return the routes. ``wake`` tells the supervisor that there is something to do."""
    routes = APIRouter(
        prefix="/v1/fine_tuning/jobs",
        tags=["fine-tuning"],
        dependencies=[Depends(needs("train", door))],
        responses=answers(400),
    )
    desk = _Desk(records, organization, wake)
    _add_orders(routes, desk)
    _add_changes(routes, desk)
    _add_history(routes, desk)
    return routes


def _add_orders(routes: APIRouter, desk: _Desk) -> None:
    @routes.post("", operation_id="createFineTuningJob", responses={**answers(400, 404), **_LINKS})
    def create(request: JobRequest) -> FineTuningJob:
        """Accept a job. The answer comes once the job is committed: it will be carried out, whatever dies."""
        return desk.show(desk.create(request))

    @routes.get("", operation_id="listPaginatedFineTuningJobs", openapi_extra=_FILTER, responses=answers(404))
    def list_jobs(request: Request, after: After = None, limit: Limit = 20) -> Page[FineTuningJob]:
        """List jobs, the newest first."""
        with known_cursor():
            found, more = desk.records.jobs.page(after=after, limit=limit, metadata=_metadata(request))
        return page([desk.show(job) for job in found], more)

    @routes.get("/{fine_tuning_job_id}", operation_id="retrieveFineTuningJob", responses=answers(404))
    def retrieve(fine_tuning_job_id: str) -> FineTuningJob:
        """Return a job as it stands."""
        return desk.show(desk.known(fine_tuning_job_id))


def _add_changes(routes: APIRouter, desk: _Desk) -> None:
    @routes.post("/{fine_tuning_job_id}/cancel", operation_id="cancelFineTuningJob", responses=answers(404))
    def cancel(fine_tuning_job_id: str) -> FineTuningJob:
        """Cancel a job at once; what its run has finished is kept."""
        return desk.change(fine_tuning_job_id, "cancelled", CANCEL)

    @routes.post("/{fine_tuning_job_id}/pause", operation_id="pauseFineTuningJob", responses=answers(404))
    def pause(fine_tuning_job_id: str) -> FineTuningJob:
        """Pause a job: one under way saves what it has, which `pausing` says, and is then `paused`."""
        return desk.change(fine_tuning_job_id, "paused", PAUSE)

    @routes.post("/{fine_tuning_job_id}/resume", operation_id="resumeFineTuningJob", responses=answers(404))
    def resume(fine_tuning_job_id: str) -> FineTuningJob:
        """Go on with a paused job, from what is finished and saved."""
        return desk.change(fine_tuning_job_id, "resumed", RESUME)


def _add_history(routes: APIRouter, desk: _Desk) -> None:
    events = desk.records.events

    @routes.get(
        "/{fine_tuning_job_id}/events",
        operation_id="listFineTuningEvents",
        responses={**answers(404), **_EVENTS},
        response_model=Page[JobEvent],
    )
    def list_events(
        fine_tuning_job_id: str,
        after: After = None,
        limit: Limit = 20,
        stream: Annotated[bool, Query(description="Follow the job instead: all events from its beginning.")] = False,
    ) -> Any:
        """List what happened to a job, the newest first; or follow it, the oldest first."""
        job = desk.known(fine_tuning_job_id)
        with known_cursor():
            found, more = events.page(job.id, after=after, limit=limit)
        if stream:
            return StreamingResponse(event_stream(desk.records, job.id, after), media_type="text/event-stream")
        return page(found, more)

    @routes.get(
        "/{fine_tuning_job_id}/checkpoints", operation_id="listFineTuningJobCheckpoints", responses=answers(404)
    )
    def list_checkpoints(fine_tuning_job_id: str, after: After = None, limit: Limit = 10) -> Page[JobCheckpoint]:
        """List the models that a job saved on its way, the newest first."""
        job = desk.known(fine_tuning_job_id)
        with known_cursor():
            found, more = events.checkpoints(job.id, after=after, limit=limit)
        return page(found, more)


def job_object(job: Job, organization: str) -> FineTuningJob:
    """Return what is told of a job."""
    method = job.request.chosen
    return FineTuningJob(
        id=job.id,
        created_at=job.created_at,
        finished_at=job.finished_at,
        status=job.status,
        model=job.request.model,
        fine_tuned_model=job.fine_tuned_model,
        organization_id=organization,
        training_file=job.request.training_file,
        validation_file=job.request.validation_file,
        result_files=job.result_files,
        hyperparameters=method.hyperparameters,
        method=method,
        seed=job.seed,
        trained_tokens=job.trained_tokens,
        metadata=job.request.metadata,
        error=job.error,
        hone=JobRun(run=job.run, version=job.version, verdict=job.verdict),
    )


def _located(records: Records) -> Callable[[str, str], str]:
    """Return what finds a file of rows by its id; paths start at the shelf."""

    def located(name: str, key: str) -> str:
        file = records.files.get(name)
        if file is None:
            raise Refusal(400, f"{key}: there is no file {name[:64]}", param=key, code="file_not_found")
        if file.purpose != "fine-tune":
            raise Refusal(400, f"{key}: {file.id} has purpose {file.purpose}, not fine-tune", param=key)
        return file.stored_as

    return located


def _tuned(records: Records) -> Callable[[str], str | None]:
    def tuned(model: str) -> str | None:
        job = records.jobs.by_model(model)
        return None if job is None else job.version

    return tuned


def _metadata(request: Request) -> dict[str, str] | None:
    """Return the pairs that are asked for; None where jobs without any are."""
    if request.query_params.get("metadata") == "null":
        return None
    pairs = {
        found[1]: value for name, value in request.query_params.multi_items() if (found := _METADATA.fullmatch(name))
    }
    if len(pairs) > _MOST_PAIRS:
        raise Refusal(400, f"metadata: at most {_MOST_PAIRS} pairs", param="metadata")
    return pairs
