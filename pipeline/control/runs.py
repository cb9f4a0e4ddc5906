"""The record of runs: what was asked, how every call stands, and what each attempt told.

``<root>/runs/<run>/``: ``run.json`` (what is asked, as it was last said), ``calls.json`` (replaced after each call),
``events/`` (one file per call attempt), ``report/``.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock
from pydantic import ValidationError

from pipeline.core.errors import ConfigError, IntegrityError
from pipeline.core.workspace import write_atomic
from schemas.artifacts import CallResult, StageCall
from schemas.base import ArtifactRef
from schemas.events import Event
from schemas.resolved import ResolvedRun, RunFile


@dataclass(frozen=True)
class RunDirectory:
    """One run's folder."""

    path: Path

    @property
    def run(self) -> str:
        """The run's id."""
        return self.path.name

    def exists(self) -> bool:
        """Tell whether the run was ever started."""
        return (self.path / "run.json").is_file()

    def read(self) -> RunFile:
        """Return the run's description.

        Raises:
            IntegrityError: the file is damaged or of another version.
        """
        path = self.path / "run.json"
        try:
            return RunFile.model_validate_json(path.read_text(encoding="utf-8"))
        except (ValidationError, UnicodeDecodeError) as error:
            raise IntegrityError(
                "the run's record is damaged or of another version",
                where=str(path),
                fix="remove this folder and run the description again; finished stages are reused",
            ) from error

    def write(self, run: ResolvedRun) -> None:
        """Write ``run.json``, unless it says the same.

        What the run is never changes; where its files lie and on what hardware it is to go on may be said anew.
        """
        known = self.read() if self.exists() else None
        if known is not None and known.resolved() == run:
            return
        record = RunFile(
            **{name: getattr(run, name) for name in ResolvedRun.model_fields},
            run=self.run,
            spec_digest=run.digest(),
            created_at=datetime.now(UTC).isoformat(timespec="seconds") if known is None else known.created_at,
        )
        write_atomic(self.path / "run.json", record.model_dump_json(indent=2) + "\n")

    def calls(self) -> dict[str, dict[str, Any]]:
        """Return the last known state of every call."""
        path = self.path / "calls.json"
        if not path.is_file():
            return {}
        value: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        return value

    def called(self, name: str) -> bool:
        """Tell whether ``name`` is the run's id or the name of its description."""
        return name in (self.run, self.run.rpartition("-")[0])

    def registered(self) -> ArtifactRef | None:
        """Return the register artifact that the run came to; None where it has not come to its end."""
        fingerprint = self.calls().get("register", {}).get("fingerprint")
        return None if fingerprint is None else ArtifactRef(stage="register", fingerprint=fingerprint)

    def record(self, call: StageCall, result: CallResult) -> None:
        """Write down how a call ended; a reused artifact keeps the word of the call that made it."""
        self.path.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path / "calls.json.lock"):  # two commands may carry the same run out at once
            calls = self.calls()
            known = calls.get(call.id, {})
            same = result.ref is not None and known.get("fingerprint") == result.ref.fingerprint
            if same and result.status == "cached":
                return
            calls[call.id] = {
                "stage": call.stage,
                "fingerprint": result.ref.fingerprint if result.ref is not None else None,
                "status": result.status,
                "cost": result.cost.model_dump() if result.cost is not None else None,
                "error": result.error.model_dump() if result.error is not None else None,
            }
            write_atomic(self.path / "calls.json", json.dumps(calls, indent=2) + "\n")

    def event_writer(self, call_id: str, progress_seconds: float = 1.0) -> EventWriter:
        """Return what writes the event file of a new attempt: no two writers share one.

        Of progress, one event is kept in ``progress_seconds``.
        """
        folder = self.path / "events"
        folder.mkdir(parents=True, exist_ok=True)
        return EventWriter(folder / f"{call_id}.{time.time_ns()}-{os.getpid()}.jsonl", progress_seconds)

    def events(self, call_id: str | None = None) -> list[Event]:
        """Return the events of all attempts, merged by time."""
        files = sorted((self.path / "events").glob(f"{call_id or ''}*.jsonl"))
        found = [event for path in files for event in _events_in(path)]
        return sorted((event for event in found if call_id in (None, event.call_id)), key=lambda event: event.time)


def _events_in(path: Path) -> Iterator[Event]:
    """Yield the events of one file; a line that a dying process left half-written is skipped."""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            yield Event.model_validate_json(line)
        except ValidationError:
            continue


class EventWriter:
    """Appends events to one file, which is open only while one is written: a Volume cannot be reloaded otherwise."""

    def __init__(self, path: Path, progress_seconds: float) -> None:
        self._path = path
        self._progress_seconds = progress_seconds
        self._last_progress = 0.0

    def __call__(self, event: Event) -> None:
        """Write one event; of progress, as much as a follower needs to know the time."""
        if event.kind == "progress":
            if event.time - self._last_progress < self._progress_seconds:
                return
            self._last_progress = event.time
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(event.model_dump_json() + "\n")


@dataclass(frozen=True)
class RunList:
    """All runs of a workspace."""

    root: Path

    def directory(self, run: str) -> RunDirectory:
        """Return the folder of a run id."""
        return RunDirectory(self.root / "runs" / run)

    def all(self) -> list[RunDirectory]:
        """Return every started run, the newest last."""
        found = [RunDirectory(path.parent) for path in (self.root / "runs").glob("*/run.json")]
        return sorted(found, key=lambda run: (run.path / "run.json").stat().st_mtime)

    def find(self, name: str | None) -> RunDirectory:
        """Return a run by id, by the name of its description (the newest), or the newest of all.

        Raises:
            ConfigError: there is none.
        """
        runs = self.all()
        matching = [run for run in runs if name is None or run.called(name)]
        if matching:
            return matching[-1]
        known = ", ".join(run.run for run in runs[-5:])
        raise ConfigError(
            "no such run in this workspace" if name else "no run in this workspace",
            where=name or str(self.root),
            fix=f"known: {known}" if known else "start one with hone run SPEC",
        )

    def register_artifact(self, run: str) -> ArtifactRef:
        """Return the register artifact of the newest run called ``run`` that has one.

        Raises:
            ConfigError: there is no such run, or none has come to its end.
        """
        found = self.find(run)
        for candidate in reversed(self.all()):
            if candidate.called(run) and (ref := candidate.registered()) is not None:
                return ref
        raise ConfigError(
            "this run has not come to its end", where=f"run:{run}", fix=f"finish {found.run} with hone run"
        )

    def began_as(self, run: ResolvedRun) -> ResolvedRun:
        """Return ``run`` with the base that it began with, where its base's name leads to what it registered itself.

        A description may name its own champion (``base_model: foo@champion`` in ``foo``) or its own run. Once it has
        registered a version, the name leads there; the same words about the same data are still the same run.
        """
        made = next((found for found in self.all() if found.registered() == run.parent), None)
        if run.parent is None or made is None:
            return run
        known = made.read().resolved()
        kept: dict[str, Any] = {"base": known.base, "parent": known.parent}
        if known.spec.evaluate.retention is None:
            own = [task for task in known.retention if task.harness is None]
            kept["retention"] = (*own, *(task for task in run.retention if task.harness is not None))
        again = run.model_copy(update=kept)
        return again if again.run_id() == made.run else run
