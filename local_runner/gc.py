"""Removing what nothing refers to: artifacts of no run and no version, and work that nobody carries on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from local_runner.runs import RunDirectory, RunList
from pipeline.core.errors import ConfigError
from pipeline.core.registry import Registry
from pipeline.core.workspace import Store
from schemas.base import ArtifactRef


@dataclass(frozen=True)
class Garbage:
    """What can go: artifacts, interrupted work, and the bytes that both take."""

    artifacts: tuple[ArtifactRef, ...]
    work: tuple[Path, ...]
    bytes: int


def referenced(root: Path, registry: Registry) -> set[ArtifactRef]:
    """Return every artifact that a run or a registered version came from, with all that these were made from."""
    store = Store(root)
    waiting: list[ArtifactRef] = [version.ref for version in registry.list_versions()]
    for run in RunList(root).all():
        calls = [call for call in run.calls().values() if call.get("fingerprint")]
        waiting.extend(ArtifactRef(stage=call["stage"], fingerprint=call["fingerprint"]) for call in calls)
    found: set[ArtifactRef] = set()
    while waiting:
        ref = waiting.pop()
        if ref not in found:
            found.add(ref)
            waiting.extend(_inputs(store, ref))
    return found


def _inputs(store: Store, ref: ArtifactRef) -> Iterator[ArtifactRef]:
    path = store.directory(ref) / "inputs.json"
    if not path.is_file():
        return
    for value in json.loads(path.read_text(encoding="utf-8")).values():
        entries: Iterable[dict[str, str]] = [value] if "fingerprint" in value else value.values()
        for entry in entries:
            yield ArtifactRef.model_validate(entry)


def find_garbage(root: Path, registry: Registry) -> Garbage:
    """Return what nothing refers to. Work of a run that can be resumed stays; so does what a process holds."""
    store = Store(root)
    kept = referenced(root, registry)
    artifacts = tuple(ref for ref in store.list() if ref not in kept)
    resumable = {prefix for run in RunList(root).all() for prefix in _begun(run)}
    work = tuple(
        path
        for path in sorted((root / "work").glob("*/*"))
        if path.is_dir() and not any(path.name.startswith(prefix) for prefix in resumable) and not _held(path)
    )
    size = sum(_size(store.directory(ref)) for ref in artifacts) + sum(_size(path) for path in work)
    return Garbage(artifacts, work, size)


def _begun(run: RunDirectory) -> Iterator[str]:
    """Yield the shortened fingerprints of calls that the run began and did not finish."""
    calls = run.calls()
    for event in run.events():
        if event.kind == "started" and calls.get(event.call_id, {}).get("status") not in ("done", "cached"):
            yield event.message.rpartition("/")[2]


def _held(work: Path) -> bool:
    try:
        with FileLock(work.with_name(f"{work.name}.lock"), timeout=0):
            return False
    except Timeout:
        return True


def _size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def remove(root: Path, garbage: Garbage) -> None:
    """Remove it; a lock file goes with the work that it guarded."""
    store = Store(root)
    for ref in garbage.artifacts:
        with store.lease(ref):
            store.discard(ref)
    for path in garbage.work:
        shutil.rmtree(path, ignore_errors=True)


def forget_run(root: Path, registry: Registry, name: str) -> RunDirectory:
    """Remove a run's record, so that what only it refers to becomes garbage.

    Raises:
        ConfigError: there is no such run, or it is the one behind a version that an alias points at.
    """
    run = RunList(root).find(name)
    fingerprint = run.calls().get("register", {}).get("fingerprint")
    for version in registry.list_versions():
        if version.ref.fingerprint == fingerprint and version.aliases:
            raise ConfigError(
                f"{version} is {', '.join(version.aliases)}", where=f"--run {name}", fix="promote another version first"
            )
    shutil.rmtree(run.path)
    return run
