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
from local_runner.runs import RunDirectory
from pipeline.catalog import CATALOG
from pipeline.core.context import CallContext
from pipeline.core.errors import ConfigError, HoneError
from pipeline.core.workspace import Store
from pipeline.execute import Prepared, execute, failed, finished, load, prepare
from pipeline.flow import next_calls
from schemas.artifacts import CallResult, StageCall, Stored
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
    what is stored of these stages is made again.
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

    def carry_out(self, run: ResolvedRun, directory: RunDirectory, options: RunOptions) -> Outcome:
        """Make every call of the run that is not finished.

        Raises:
            ConfigError: ``options.first`` is asked for and something before it is missing.
        """
        store = Store(self.root)
        done: dict[str, Stored[Any]] = {}
        results: dict[str, CallResult] = {}
        renewed: set[str] = set()
        while calls := [call for call in next_calls(run, done) if _wanted(call, options)]:
            call = calls[0]
            prepared = prepare(call, store)
            if call.stage in options.fresh and call.id not in renewed:
                with store.lease(prepared.ref):
                    store.discard(prepared.ref)
                renewed.add(call.id)
            result = finished(prepared, store)
            if result is None and _only_stored(call, options):
                raise ConfigError(
                    f"{call.id} is not finished and lies before the first stage asked for",
                    where=f"--from {options.first}",
                    fix=f"run without --from, or with --until {call.stage} first",
                )
            if result is None:
                result = self._attempt(prepared, directory)
            directory.record(call, result)
            results[call.id] = result
            if result.ref is None or result.status == "failed":
                return _outcome("failed", results, call.id, result.error)
            done[call.id] = load(store, result.ref)
        stopped = bool(next_calls(run, done))
        return _outcome("stopped" if stopped else "finished", results)

    def _attempt(self, prepared: Prepared, directory: RunDirectory) -> CallResult:
        """Carry out one call in the environment that it needs."""
        call = prepared.call
        with directory.event_file(call.id) as write:

            def sink(event: Event) -> None:
                write(event)
                self.sink(event)

            seconds = self._seconds(prepared, directory)
            context = CallContext(
                call_id=call.id,
                sink=sink,
                deadline=None if seconds is None else time.monotonic() + seconds,
                cancelled=self.cancelled,
                secrets=self.secrets,
            )
            if prepared.environment == CURRENT:
                return execute(call, self.root, context)
            request = {
                "call": call.model_dump(mode="json"),
                "root": str(self.root),
                "seconds": seconds,
                "secrets": dict(self.secrets),
            }
            try:
                return run_in_environment(prepared.environment, request, on_event=sink, cancelled=self.cancelled)
            except HoneError as error:
                return failed(call, context, error)

    def _seconds(self, prepared: Prepared, directory: RunDirectory) -> float | None:
        """Return the wall seconds that are left for training, counting every attempt of this run."""
        if prepared.call.stage != "train":
            return None
        allowed = directory.read().spec.constraints.max_hours
        return None if allowed is None else max(0.0, allowed * 3600 - directory.spent_seconds("train."))


def _wanted(call: StageCall, options: RunOptions) -> bool:
    return options.last is None or ORDER[call.stage] <= ORDER[options.last]


def _only_stored(call: StageCall, options: RunOptions) -> bool:
    return options.first is not None and ORDER[call.stage] < ORDER[options.first]


def _outcome(
    status: Literal["finished", "stopped", "failed"],
    results: Mapping[str, CallResult],
    failed_call: str | None = None,
    error: ErrorRecord | None = None,
) -> Outcome:
    return Outcome(
        status=status,
        done=tuple(name for name, result in results.items() if result.status == "done"),
        cached=tuple(name for name, result in results.items() if result.status == "cached"),
        failed_call=failed_call,
        error=error,
    )
