"""The controller: the loop around `next_calls` on this machine.

It calls one stage after another, here or in the Python of the stage's environment, and keeps the run's record.
Everything it does can be done again without effect.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from local_runner.environments import CURRENT
from local_runner.isolated import run_in_environment
from local_runner.renewal import Renewal
from local_runner.runs import RunDirectory
from pipeline.catalog import CATALOG
from pipeline.core.context import CallContext
from pipeline.core.errors import ConfigError, HoneError, IntegrityError
from pipeline.core.integrity import verify_once
from pipeline.core.spending import read_spent
from pipeline.core.workspace import Store
from pipeline.execute import Prepared, execute, failed, finished, input_refs, load, prepare
from pipeline.flow import next_calls
from schemas.artifacts import CallResult, Cost, StageCall, Stored
from schemas.base import StageName
from schemas.errors import ErrorRecord
from schemas.events import Event
from schemas.resolved import ResolvedRun

ORDER: dict[StageName, int] = {name: index for index, name in enumerate(CATALOG)}
"""Stages by their place in the main job."""


@dataclass(frozen=True)
class RunOptions:
    """Which part of a run to carry out.

    ``first``: stages before it are only taken as they are stored. ``last``: nothing after it is called. ``fresh``:
    what is stored of these stages is made again, from the beginning, and stays until the new one is whole.
    """

    first: StageName | None = None
    last: StageName | None = None
    fresh: frozenset[StageName] = frozenset()


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
        sink: receives every event of every call.
        cancelled: answers whether somebody asked to stop.
        secrets: values by name, handed to stages.
    """

    root: Path
    sink: Callable[[Event], None]
    cancelled: Callable[[], bool]
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def store(self) -> Store:
        """The workspace's artifacts."""
        return Store(self.root)

    def carry_out(self, run: ResolvedRun, directory: RunDirectory, options: RunOptions) -> Outcome:
        """Make every call of the run that is not finished.

        Raises:
            ConfigError: ``options.first`` is asked for and something before it is missing.
        """
        progress = _Progress(run, directory, Renewal.open(directory.path / "fresh.json", options.fresh))
        while calls := [call for call in next_calls(run, progress.done) if _wanted(call, options)]:
            result = self._step(calls[0], progress, options)
            if result is None:
                progress.done.clear()
            elif result.status == "failed":
                return progress.outcome("failed", result)
        progress.renewal.close()
        return progress.outcome("stopped" if next_calls(run, progress.done) else "finished")

    def _step(self, call: StageCall, progress: _Progress, options: RunOptions) -> CallResult | None:
        """Take a call's artifact as stored, or make it; None where something that it takes must be made again first."""
        prepared = prepare(call, self.store)
        context = CallContext(call_id=call.id, sink=self.sink)
        result = None if progress.renewal.asks_for(call) else finished(prepared, self.store, context)
        if result is None:
            if _only_stored(call, options):
                raise ConfigError(
                    f"{call.id} is not finished and lies before the first stage asked for",
                    where=f"--from {options.first}",
                    fix=f"run without --from, or with --until {call.stage} first",
                )
            if self._damaged_inputs(prepared, progress):
                return None
            result = self._attempt(prepared, progress)
        progress.note(call, result)
        if result.ref is not None:
            progress.done[call.id] = load(self.store, result.ref)
        return result

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

    def _attempt(self, prepared: Prepared, progress: _Progress) -> CallResult:
        """Carry out one call in the environment that it needs."""
        call = prepared.call
        with progress.directory.event_file(call.id) as write:

            def sink(event: Event) -> None:
                if event.kind == "started":
                    progress.renewal.begin(call)
                write(event)
                self.sink(event)

            seconds = self._seconds(prepared, progress)
            context = CallContext(
                call_id=call.id,
                sink=sink,
                deadline=None if seconds is None else time.monotonic() + seconds,
                cancelled=self.cancelled,
                secrets=self.secrets,
                renew=progress.renewal.asks_for(call),
                restart=progress.renewal.restarts(call),
            )
            if prepared.environment == CURRENT:
                return execute(call, self.root, context)
            request = {
                "call": call.model_dump(mode="json"),
                "root": str(self.root),
                "seconds": seconds,
                "secrets": dict(self.secrets),
                "renew": context.renew,
                "restart": context.restart,
            }
            try:
                return run_in_environment(prepared.environment, request, on_event=sink, cancelled=self.cancelled)
            except HoneError as error:
                return failed(call, context, error)

    def _seconds(self, prepared: Prepared, progress: _Progress) -> float | None:
        """Return the wall seconds that are left for training, counting every attempt at every seed of this run.

        What an attempt that begins anew forgets is not counted.
        """
        allowed = progress.run.spec.constraints.max_hours
        if prepared.call.stage != "train" or allowed is None:
            return None
        costs = progress.costs("train")
        if not progress.renewal.restarts(prepared.call):
            costs.append(read_spent(self.store.spent_file(prepared.ref)))
        return max(0.0, allowed * 3600 - sum(cost.wall_seconds for cost in costs))


@dataclass
class _Progress:
    """How far one run has come: what is finished, how each call ended, and what is made again."""

    run: ResolvedRun
    directory: RunDirectory
    renewal: Renewal
    done: dict[str, Stored[Any]] = field(default_factory=dict)
    results: dict[str, CallResult] = field(default_factory=dict)

    def note(self, call: StageCall, result: CallResult) -> None:
        """Write down how a call ended; one that was made here and is then found stored stays made."""
        self.directory.record(call, result)
        if result.status == "done":
            self.renewal.note(call)
        if result.status != "cached" or call.id not in self.results:
            self.results[call.id] = result

    def costs(self, stage: StageName) -> list[Cost]:
        """Return what each finished call of a stage took."""
        found = [self.results[call_id].cost for call_id, stored in self.done.items() if stored.ref.stage == stage]
        return [cost for cost in found if cost is not None]

    def outcome(self, status: Literal["finished", "stopped", "failed"], failure: CallResult | None = None) -> Outcome:
        """Return how the run ended here."""
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
