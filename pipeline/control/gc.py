"""Removing what nothing refers to: artifacts of no run and no version, and work that nobody carries on.

Runs may go on meanwhile: what is there is listed before what is referred to is read, and nothing is removed whose
lease somebody holds.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.control.runs import RunDirectory, RunList
from pipeline.core.errors import ConfigError
from pipeline.core.registry import Registry
from pipeline.core.workspace import Store
from schemas.base import ArtifactRef


@dataclass(frozen=True)
class Garbage:
    """What can go: forgotten runs, artifacts, interrupted work, and the bytes that artifacts and work take."""

    runs: tuple[RunDirectory, ...]
    artifacts: tuple[ArtifactRef, ...]
    work: tuple[Path, ...]
    bytes: int

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return {
            "runs": [forgotten.run for forgotten in self.runs],
            "artifacts": [str(ref) for ref in self.artifacts],
            "work": [str(path) for path in self.work],
            "bytes": self.bytes,
        }

    def sentence(self, verb: str) -> str:
        """Return it in words."""
        runs = f"{len(self.runs)} runs, " if self.runs else ""
        return (
            f"{verb} {runs}{len(self.artifacts)} artifacts and {len(self.work)} unfinished calls, "
            f"{self.bytes / 2**20:.1f} MiB"
        )


def find_garbage(store: Store, registry: Registry, forget: Iterable[str] = ()) -> Garbage:
    """Return what nothing refers to once the runs called ``forget`` are forgotten.

    Work of a run that can be resumed stays; so does what a process holds.

    Raises:
        ConfigError: there is no such run, or it is the one behind a version that an alias points at.
    """
    root = store.root
    forgotten = tuple(_forgettable(root, registry, name) for name in forget)
    runs = [run for run in RunList(root).all() if run not in forgotten]
    listed = list(store.list())
    works = [path for path in sorted((root / "work").glob("*/*")) if path.is_dir()]
    begun = {ref for run in runs for ref in _begun(run)}
    kept = referenced(store, registry, runs)
    artifacts = tuple(ref for ref in listed if ref not in kept and str(ref) not in begun)
    work = tuple(path for path in works if _short(path) not in begun and not store.leases.is_held(_made_in(path)))
    size = sum(_size(store.directory(ref)) for ref in artifacts) + sum(_size(path) for path in work)
    return Garbage(forgotten, artifacts, work, size)


def referenced(store: Store, registry: Registry, runs: Iterable[RunDirectory]) -> set[ArtifactRef]:
    """Return every artifact that a run or a registered version came from, with all that these were made from."""
    waiting: list[ArtifactRef] = [version.ref for version in registry.list_versions()]
    for run in runs:
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


def _begun(run: RunDirectory) -> Iterator[str]:
    """Yield what the newest attempt of each call makes, ``stage/`` and a shortened fingerprint, until it is recorded.

    An attempt at what the record holds already makes it again: that counts until the attempt has told its end.
    """
    calls = run.calls()
    begun: dict[str, str] = {}
    ended: set[str] = set()
    for event in run.events():
        if event.kind == "started":
            begun[event.call_id] = event.message.rpartition(" ")[2]
            ended.discard(event.call_id)
        elif event.kind == "finished":
            ended.add(event.call_id)
    for call_id, ref in begun.items():
        call = calls.get(call_id, {})
        recorded = f"{call.get('stage')}/{call.get('fingerprint') or ''}"
        if call_id not in ended or not recorded.startswith(ref):
            yield ref


def _short(work: Path) -> str:
    """Return what `ArtifactRef` writes for the artifact that is made in ``work``."""
    return f"{work.parent.name}/{work.name[:12]}"


def _made_in(work: Path) -> ArtifactRef:
    return ArtifactRef.model_validate({"stage": work.parent.name, "fingerprint": work.name})


def _size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def remove(store: Store, garbage: Garbage) -> None:
    """Remove it, but for what somebody began to use meanwhile."""
    for run in garbage.runs:
        shutil.rmtree(run.path)
    for ref in garbage.artifacts:
        with store.leases.unheld(ref) as free:
            if free:
                store.discard(ref)
    for path in garbage.work:
        with store.leases.unheld(_made_in(path)) as free:
            if free:
                shutil.rmtree(path, ignore_errors=True)


def _forgettable(root: Path, registry: Registry, name: str) -> RunDirectory:
    """Return a run whose record may go, so that what only it refers to becomes garbage."""
    run = RunList(root).find(name)
    fingerprint = run.calls().get("register", {}).get("fingerprint")
    for version in registry.list_versions():
        if version.ref.fingerprint == fingerprint and version.aliases:
            raise ConfigError(
                f"{version} is {', '.join(version.aliases)}", where=f"--run {name}", fix="promote another version first"
            )
    return run
