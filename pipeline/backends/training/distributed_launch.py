"""A training in several processes, as the stage's own process sees it: they are started, heard, and told to stop.

The processes leave checkpoints; the stage's process writes the finished model from the last one. When one of them dies
all end, and begin again from the newest checkpoint.
"""

from __future__ import annotations

import queue
import threading
import time
from contextlib import ExitStack

from pipeline.backends.training.checkpoints import Checkpoint, CheckpointStore
from pipeline.backends.training.distributed_job import write_job
from pipeline.backends.training.distributed_nodes import Leader
from pipeline.backends.training.distributed_torchrun import GRACE_SECONDS, Message, Torchrun
from pipeline.backends.training.guarded import NotFinite
from pipeline.backends.training.job import TrainJob
from pipeline.backends.training.journal import Journal
from pipeline.backends.training.loop import NoMemory
from pipeline.backends.training.settings import AttemptSettings
from pipeline.backends.training.watch import first_interrupt_waits
from pipeline.core.context import CallContext
from pipeline.core.errors import BudgetError, Cancelled, InternalError, from_record
from pipeline.core.temporary import private_folder
from schemas.errors import ErrorRecord
from schemas.events import Event

LOSSES = 2
"""How often processes are started again after one was lost, without a new checkpoint in between."""

_POLL_SECONDS = 0.2


class _Lost(Exception):
    """A process ended, and not by itself."""

    def __init__(self, error: InternalError) -> None:
        super().__init__(str(error))
        self.error = error


def train_in_processes(
    job: TrainJob, settings: AttemptSettings, store: CheckpointStore, checkpoint: Checkpoint | None
) -> Checkpoint:
    """Train from ``checkpoint`` to the end, and return the last one.

    Raises:
        NotFinite, NoMemory: the training cannot go on with these settings.
        BudgetError, Cancelled, KeyboardInterrupt: the run must stop; a checkpoint was written first.
        InternalError: processes were lost again and again.
    """
    assert job.shared is not None
    how = f"training in {job.processes.count} processes ({job.shared.strategy})"
    job.context.emit("log", how, processes=job.processes.count, strategy=job.shared.strategy)
    losses = 0
    with Leader(job.processes) as leader:
        while checkpoint is None or not Journal.load(checkpoint.path).finished:
            try:
                _Round(job, leader).train(settings, checkpoint)
                losses = 0
            except _Lost as lost:
                begun = checkpoint.step if checkpoint else 0
                reached = store.newest_whole()
                losses = 0 if (reached.step if reached else 0) > begun else losses + 1
                if losses > LOSSES:
                    raise lost.error from lost
                job.context.warn(f"{lost.error.message}; all begin again from the newest checkpoint")
            checkpoint = store.newest_whole()
    return checkpoint


class _Round:
    """One start of all processes."""

    def __init__(self, job: TrainJob, leader: Leader) -> None:
        self._job = job
        self._leader = leader
        self._messages: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._reason: BaseException | None = None
        self._failure: Message | None = None
        self._failed_at: float | None = None
        self._ended: str | None = None

    def train(self, settings: AttemptSettings, checkpoint: Checkpoint | None) -> None:
        """Start the processes and hear them to their end."""
        interrupt = threading.Event()
        with private_folder("ranks") as folder, ExitStack() as running:
            write_job(folder, self._job, settings, checkpoint.step if checkpoint else None)
            self._leader.begin(folder, checkpoint, self._messages.put)
            running.callback(self._leader.end)
            running.enter_context(first_interrupt_waits(interrupt))
            scratch, processes = self._job.scratch, self._job.processes
            torchrun = running.enter_context(Torchrun(folder, scratch, processes, 0, self._messages.put))
            self._hear(torchrun, interrupt)
            torchrun.end()
        self._conclude(torchrun.printed)

    def _hear(self, torchrun: Torchrun, interrupt: threading.Event) -> None:
        """Take what the processes say until they have no more to say; hand a wish to stop on to them, once.

        Those that wait for one that failed on another machine are not waited for.
        """
        while self._failed_at is None or time.monotonic() < self._failed_at + GRACE_SECONDS:
            try:
                message = self._messages.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                pass
            else:
                if message is None:
                    return
                self._take(message)
            if self._reason is None:
                self._reason = _reason_to_stop(self._job.context, interrupt)
                if self._reason is not None:
                    torchrun.ask_to_stop()

    def _take(self, message: Message) -> None:
        if "event" in message:
            self._job.context.sink(Event.model_validate(message["event"]))
        elif "failed" in message:
            self._failed_at = self._failed_at or time.monotonic()
            first = self._failure is None or self._failure["kind"] == "lost"
            self._failure = message["failed"] if first else self._failure
        else:
            self._ended = message["ended"]

    def _conclude(self, printed: str) -> None:
        """Raise what the end of the processes means, unless they have finished."""
        failure = self._failure
        if failure is None and self._ended is not None:
            if self._ended == "stopped" or isinstance(self._reason, KeyboardInterrupt):
                assert self._reason is not None
                raise self._reason
            return
        if failure is not None and failure["kind"] == "not_finite":
            raise NotFinite(failure["step"], failure["what"])
        if failure is not None and failure["kind"] == "no_memory":
            raise NoMemory(failure["step"])
        if failure is not None and failure["kind"] == "error":
            raise from_record(ErrorRecord.model_validate(failure["record"]))
        if self._reason is not None:
            raise self._reason
        raise _Lost(
            InternalError(
                f"one of {self._job.processes.count} training processes was lost",
                where="train.distributed",
                fix="run again to go on from the last checkpoint; a process that is killed usually has no memory left",
                detail=printed,
            )
        )


def _reason_to_stop(context: CallContext, interrupt: threading.Event) -> BaseException | None:
    if interrupt.is_set():
        return KeyboardInterrupt()
    try:
        context.check()
    except (BudgetError, Cancelled) as error:
        return error
    return None
