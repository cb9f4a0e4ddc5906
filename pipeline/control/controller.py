"""The controller: the loop around `next_calls`.

It has one stage call after another carried out, several at once where the runner has workers for them, and keeps the
run's record. Everything it does can be done again without effect.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pipeline.catalog import CATALOG
from pipeline.control.budget import decides_otherwise, told_budget
from pipeline.control.caller import Caller
from pipeline.control.crew import Crew
from pipeline.control.options import RunOptions
from pipeline.control.refusal import refusal
from pipeline.control.renewal import FRESH, Renewal
from pipeline.control.runs import RunDirectory
from pipeline.core.context import CallContext
from pipeline.core.errors import ConfigError, IntegrityError
from pipeline.core.integrity import verify_once
from pipeline.core.spending import read_spent
from pipeline.core.workspace import Store
from pipeline.execute import Prepared, finished, input_refs, load, prepare
from pipeline.flow import next_calls
from schemas.artifacts import CallResult, StageCall, Stored
from schemas.base import StageName
from schemas.errors import ErrorCode, ErrorRecord
from schemas.events import Event
from schemas.request import CallRequest
from schemas.resolved import ResolvedRun

ORDER: dict[StageName, int] = {name: index for index, name in enumerate(CATALOG)}
"""Stages by their place in the main job."""

ENDS_ALL: frozenset[ErrorCode] = frozenset({"budget", "cancelled"})
"""Failures after which nothing else is begun."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended here: the calls that were carried out, those found done, and the error that stopped it."""

    status: Literal["finished", "stopped", "failed"]
    done: tuple[str, ...]
    cached: tuple[str, ...]
    failed_call: str | None = None
    error: ErrorRecord | None = None


@dataclass
class Controller:
    """Carries out runs in one workspace.

    Args:
        root: the workspace.
        caller: carries out the calls.
        sink: receives every event of every call.
        cancelled: answers whether somebody asked to stop.
        secrets: values by name, handed to stages.
    """

    root: Path
    caller: Caller
    sink: Callable[[Event], None]
    cancelled: Callable[[], bool]
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def store(self) -> Store:
        """The workspace's artifacts."""
        return Store(self.root)

    def carry_out(self, run: ResolvedRun, directory: RunDirectory, options: RunOptions) -> Outcome:
        """Make every call of the run that is not finished.

        Where a call fails and there are several workers, what does not depend on it is still finished.

        Raises:
            ConfigError: ``options.first`` is asked for and something before it is missing.
        """
        progress = _Progress(run, directory, Renewal.open(directory.path / FRESH, options.fresh))
        with Crew(self.caller.workers) as crew:
            self._begin_calls(progress, options, crew)
            while crew.busy:
                ended = list(crew.wait())
                self.caller.sync()
                for call, result in ended:
                    self._note(call, result, progress, options)
                self._begin_calls(progress, options, crew)
        if progress.failure is not None:
            return progress.outcome("failed")
        progress.renewal.close()
        return progress.outcome("stopped" if next_calls(run, progress.done) else "finished")

    def _begin_calls(self, progress: _Progress, options: RunOptions, crew: Crew) -> None:
        """Take every call that is stored, and begin what can be made, as far as there is room."""
        while crew.has_room and (call := self._next(progress, options, crew)) is not None:
            call = told_budget(call, progress.run.spec.constraints, progress.training_seconds(), self.caller)
            prepared = prepare(call, self.store, self.caller.device)
            context = CallContext(call_id=call.id, sink=self.sink)
            stored = None if progress.renewal.asks_for(call) else finished(prepared, self.store, context)
            if stored is not None and self._decides_otherwise(call, prepared, progress):
                stored = None
            if stored is not None:
                self.caller.found(call)
                self._note(call, stored, progress, options)
            elif _only_stored(call, options):
                raise ConfigError(
                    f"{call.id} is not finished and lies before the first stage asked for",
                    where=f"--from {options.first}",
                    fix=f"run without --from, or with --until {call.stage} first",
                )
            elif self._damaged_inputs(prepared, progress):
                progress.done.clear()
            else:
                crew.take(call, self._attempt(prepared, progress))

    def _decides_otherwise(self, call: StageCall, prepared: Prepared, progress: _Progress) -> bool:
        """Ask for the gate's decision again where the caps of the run, which are no part of it, changed the verdict."""
        if call.stage != "register" or not decides_otherwise(call, load(self.store, prepared.ref).artifact.decision):
            return False
        told = CallContext(call_id=call.id, sink=self.sink)
        told.emit("log", "the caps of the run are others than when its gate decided; it decides again")
        return progress.renewal.ask(call.id)

    def _next(self, progress: _Progress, options: RunOptions, crew: Crew) -> StageCall | None:
        """Return the next call to look at; None where nothing can be begun now."""
        if progress.failure is not None and (self.caller.workers == 1 or progress.failure in ENDS_ALL):
            return None
        for call in next_calls(progress.run, progress.done):
            if _wanted(call, options) and call.id not in progress.failed and call.id not in crew:
                return call
        return None

    def _note(self, call: StageCall, result: CallResult, progress: _Progress, options: RunOptions) -> None:
        """Note how a call ended; data that its preflight refuses has failed, although its artifact is there to see."""
        stored: Stored[Any] | None = None if result.ref is None else load(self.store, result.ref)
        error = refusal(stored.artifact, progress.run) if stored is not None and options.refuses else None
        if error is not None:
            result = result.model_copy(update={"status": "failed", "error": error.record()})
            stored = None
        progress.note(call, result)
        if stored is not None:
            progress.done[call.id] = stored

    def _damaged_inputs(self, prepared: Prepared, progress: _Progress) -> bool:
        """Ask for every call of this run again whose artifact is taken here and is not what it was when committed."""
        makers = {stored.ref: call_id for call_id, stored in progress.done.items()}
        found = False
        for ref in input_refs(prepared.call):
            try:
                verify_once(self.store, ref)
            except IntegrityError as error:
                if ref in makers:
                    event = CallContext(call_id=makers[ref], sink=self.sink)
                    event.warn(f"{ref} is damaged and made again: {error.where}: {error.message}")
                    found = progress.renewal.ask(makers[ref]) or found
        return found

    def _attempt(self, prepared: Prepared, progress: _Progress) -> Callable[[], CallResult]:
        """Return what carries out one attempt at a call."""
        call = prepared.call

        def sink(event: Event) -> None:
            if event.kind == "started":
                progress.begin(call)
            self.sink(event)

        request = CallRequest(
            call=call,
            root=self.root,
            device=self.caller.device,
            seconds=self._seconds(prepared, progress),
            secrets=dict(self.secrets),
            renew=progress.renewal.asks_for(call),
            restart=progress.renewal.restarts(call),
        )
        return lambda: self.caller.carry_out(prepared, request, progress.directory, sink, self.cancelled)

    def _seconds(self, prepared: Prepared, progress: _Progress) -> float | None:
        """Return the wall seconds that are left for training, counting every attempt at every seed of this run.

        What an attempt that begins anew forgets is not counted.
        """
        allowed = progress.run.spec.constraints.max_hours
        if prepared.call.stage != "train" or allowed is None:
            return None
        spent = progress.training_seconds()
        if not progress.renewal.restarts(prepared.call):
            spent += read_spent(self.store.spent_file(prepared.ref)).wall_seconds
        return max(0.0, allowed * 3600 - spent)


@dataclass
class _Progress:
    """How far one run has come: what is finished, how each call ended, and what is made again."""

    run: ResolvedRun
    directory: RunDirectory
    renewal: Renewal
    done: dict[str, Stored[Any]] = field(default_factory=dict)
    results: dict[str, CallResult] = field(default_factory=dict)
    failed: dict[str, CallResult] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def failure(self) -> ErrorCode | None:
        """The first failed call's error code, one that ends everything before others; None while nothing failed."""
        first = self._first_failure()
        return None if first is None or first.error is None else first.error.code

    def _first_failure(self) -> CallResult | None:
        found = [result for result in self.failed.values() if result.error is not None]
        return next((one for one in found if one.error and one.error.code in ENDS_ALL), found[0] if found else None)

    def begin(self, call: StageCall) -> None:
        """Write down that an attempt began; attempts may begin at once."""
        with self._lock:
            self.renewal.begin(call)

    def note(self, call: StageCall, result: CallResult) -> None:
        """Write down how a call ended; one that was made here and is then found stored stays made."""
        self.directory.record(call, result)
        if result.status == "done":
            with self._lock:
                self.renewal.note(call)
        if result.status == "failed":
            self.failed[call.id] = result
        if result.status != "cached" or call.id not in self.results:
            self.results[call.id] = result

    def training_seconds(self) -> float:
        """Return the wall seconds that the finished trainings took, with all their attempts."""
        found = [self.results[call_id].cost for call_id, stored in self.done.items() if stored.ref.stage == "train"]
        return sum(cost.wall_seconds for cost in found if cost is not None)

    def outcome(self, status: Literal["finished", "stopped", "failed"]) -> Outcome:
        """Return how the run ended here."""
        failure = self._first_failure()
        return Outcome(
            status=status,
            done=tuple(name for name, result in self.results.items() if result.status == "done"),
            cached=tuple(name for name, result in self.results.items() if result.status == "cached"),
            failed_call=None if failure is None else failure.call_id,
            error=None if failure is None else failure.error,
        )


def _wanted(call: StageCall, options: RunOptions) -> bool:
    return options.last is None or ORDER[call.stage] <= ORDER[options.last]


def _only_stored(call: StageCall, options: RunOptions) -> bool:
    return options.first is not None and ORDER[call.stage] < ORDER[options.first]
