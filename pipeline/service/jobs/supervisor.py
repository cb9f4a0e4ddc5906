"""Carries accepted jobs out, one after another or several at once, and keeps their statuses true.

A job that was accepted is in the database, and so is everything that happened to it. Whatever dies, the jobs that were
under way are queued again at the next start, and their runs go on from what is finished and saved: a run makes nothing
twice. One process does this for a workspace; a lock keeps a second one out.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from pipeline.core.errors import HoneError, as_hone_error
from pipeline.service.files.shelf import Shelf
from pipeline.service.jobs.describe import tuned_name
from pipeline.service.jobs.results import FILENAME, step_metrics_csv
from pipeline.service.jobs.runner import JobRunner
from pipeline.service.jobs.told import Teller
from pipeline.service.store.events import KnownCheckpoint, NewEvent
from pipeline.service.store.files import KnownFile
from pipeline.service.store.jobs import UNDER_WAY, Job
from pipeline.service.store.records import Records
from schemas.errors import ErrorRecord
from schemas.fine_tuning import CheckpointMetrics, JobFailure
from schemas.job import JobMessage, JobOrder, JobResult, SavedCheckpoint

POLL_SECONDS = 0.5
"""How often the database is asked whether a job was paused or cancelled, and whether a new one is there."""

_PARAMS = {"data": "training_file", "source": "training_file", "render": "training_file", "model": "model"}
"""The field of a request that an error's kind comes from."""

_log = logging.getLogger(__name__)


@dataclass
class Supervisor:
    """The threads that carry jobs out.

    Args:
        records: where jobs are.
        shelf: where their files are.
        runner: carries one job out.
        root: the workspace.
        organization: stands in the names of tuned models.
        workers: how many jobs are carried out at once.
    """

    records: Records
    shelf: Shelf
    runner: JobRunner
    root: Path
    organization: str
    workers: int = 1
    _stopping: threading.Event = field(default_factory=threading.Event)
    _news: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Queue again what was under way when the last process ended, and begin to work."""
        for job in self.records.jobs.under_way():
            if job.status == "pausing":
                self.records.jobs.move(job.id, UNDER_WAY, "paused", NewEvent("The job is paused"))
            else:
                self.records.jobs.move(
                    job.id, UNDER_WAY, "queued", NewEvent("The service was restarted; the job goes on")
                )
        for number in range(self.workers):
            thread = threading.Thread(target=self._work, name=f"jobs-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def wake(self) -> None:
        """Say that something changed."""
        self._news.set()

    @property
    def is_stopping(self) -> bool:
        """Whether runs are to save what they have."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """Have runs save what they have, and wait for it; their jobs are queued for the next start."""
        self._stopping.set()
        self._news.set()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while not self._stopping.is_set():
            job = self._claim()
            if job is None:
                self._news.wait(POLL_SECONDS)
                self._news.clear()
                continue
            try:
                self._carry_out(job)
            except SQLAlchemyError as error:
                _log.error("%s: the database does not answer: %s", job.id, type(error).__name__)
                self._queue_again(job)

    def _claim(self) -> Job | None:
        """Take a job; None where there is none, or the database is away."""
        try:
            return self.records.jobs.claim()
        except SQLAlchemyError as error:
            _log.error("the database does not answer: %s", type(error).__name__)
            return None

    def _carry_out(self, job: Job) -> None:
        """Carry a job out and note how it ended. Raises SQLAlchemyError where that cannot be noted."""
        telling = _Telling(self, job)
        try:
            result = self.runner.carry_out(self._order(job), telling, _Stop(self, job.id))
        except SQLAlchemyError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a runner raises is how the job ended
            result = JobResult(error=as_hone_error(error).record())
            if not isinstance(error, HoneError):
                _log.error("%s: %s", job.id, type(error).__name__)
        self._conclude(job, result, telling.teller)

    def _queue_again(self, job: Job) -> None:
        """Give a job back that could not be followed, as soon as the database answers."""
        told = NewEvent("The job could not be followed; it goes on")
        while not self.is_stopping:
            try:
                self.records.jobs.move(job.id, ("validating_files", "running"), "queued", told)
                self.records.jobs.move(job.id, ("pausing",), "paused", NewEvent("The job is paused"))
                return
            except SQLAlchemyError:
                self._stopping.wait(POLL_SECONDS)

    def _order(self, job: Job) -> JobOrder:
        multiplier = job.request.chosen.hyperparameters.learning_rate_multiplier
        return JobOrder(
            job=job.id,
            root=self.root,
            folder=self.shelf.folder,
            checkpoints=self.root / "service" / "checkpoints" / job.id,
            spec=job.spec,
            learning_rate_multiplier=None if multiplier == "auto" else multiplier,
        )

    def _conclude(self, job: Job, result: JobResult, teller: Teller) -> None:
        if result.error is None:
            self._succeed(job, result)
        elif result.error.code == "cancelled":
            jobs = self.records.jobs
            if jobs.move(job.id, ("pausing",), "paused", NewEvent("The job is paused")) is None:
                told = NewEvent("The service stopped; the job goes on when it starts again")
                jobs.move(job.id, ("validating_files", "running"), "queued", told)
        else:
            failure = _failure(result.error, teller)
            told = NewEvent(f"The job failed: {failure.message}", "error")
            error = failure.model_dump(mode="json")
            self.records.jobs.move(job.id, UNDER_WAY, "failed", told, error=error)

    def _succeed(self, job: Job, result: JobResult) -> None:
        """Note the version, whatever the gate said of it; the metrics' file is on the shelf before it is known."""
        content = step_metrics_csv(result.steps)
        digest = hashlib.sha256(content).hexdigest()
        file = KnownFile.new(FILENAME, "fine-tune-results", len(content), digest, ".csv")
        self.shelf.put(file.stored_as, content)
        if result.verdict == "refused":
            because = "; ".join(result.refused_because)
            told = NewEvent(f"The gate refused {result.version}, so it does not become champion: {because}", "warn")
            self.records.events.add(job.id, told)
        model = tuned_name(job.request, self.organization, job.id)
        moved = self.records.jobs.move(
            job.id,
            UNDER_WAY,
            "succeeded",
            NewEvent(f"The job has successfully completed; new fine-tuned model: {model}"),
            files=(file,),
            fine_tuned_model=model,
            version=result.version,
            verdict=result.verdict,
            trained_tokens=result.trained_tokens,
        )
        if moved is None:  # cancelled meanwhile
            self.shelf.remove(file.stored_as)


class _Stop:
    """Answers whether a job's run is to save and end; asks the database now and then."""

    def __init__(self, supervisor: Supervisor, job: str) -> None:
        self._supervisor, self._job = supervisor, job
        self._asked = 0.0
        self._answer = False

    def __call__(self) -> bool:
        if self._supervisor.is_stopping:
            return True
        if not self._answer and time.monotonic() - self._asked >= POLL_SECONDS:
            found = self._supervisor.records.jobs.get(self._job)
            self._answer = found is None or found.status not in ("validating_files", "running")
            self._asked = time.monotonic()
        return self._answer


class _Telling:
    """Notes what a run tells."""

    def __init__(self, supervisor: Supervisor, job: Job) -> None:
        self._records, self._job = supervisor.records, job
        self._organization = supervisor.organization
        self.teller = Teller(supervisor.root, supervisor.shelf.folder)

    def __call__(self, message: JobMessage) -> None:
        if message.run is not None:
            self._records.jobs.note_run(self._job.id, message.run)
        if message.checkpoint is not None:
            self._checkpoint(message.checkpoint)
        event = message.event
        if event is None:
            return
        told = self.teller.told(event)
        if event.kind == "started" and event.call_id.startswith("train"):
            self._records.jobs.move(self._job.id, ("validating_files",), "running", NewEvent("Fine-tuning job started"))
        if told is not None:
            self._records.events.add(self._job.id, told)

    def _checkpoint(self, saved: SavedCheckpoint) -> None:
        metrics = CheckpointMetrics(
            step=saved.metrics.step, train_loss=saved.metrics.train_loss, valid_loss=saved.metrics.valid_loss
        )
        model = f"{tuned_name(self._job.request, self._organization, self._job.id)}:ckpt-step-{metrics.step}"
        found = KnownCheckpoint(self._job.id, model, metrics, saved.folder)
        told = NewEvent(f"Checkpoint created at step {metrics.step}")
        self._records.events.add_checkpoint(found, told, saved.dropped)


def _failure(error: ErrorRecord, teller: Teller) -> JobFailure:
    """Return an error as a job tells it: with what to do about it, and without the log of the machine."""
    parts = [f"{error.where}: {error.message}" if error.where else error.message, *([error.fix] if error.fix else [])]
    return JobFailure(code=error.code, message=teller.public("; ".join(parts)), param=_PARAMS.get(error.code))
