"""A run's record, brought from the Volume to a folder that is laid out as a workspace, as often as it is looked at."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import modal
import modal.exception
from modal.types import FileEntry, FileEntryType

from modal_app.settings import SETTINGS
from pipeline.control.runs import RunDirectory
from pipeline.core.errors import ConfigError, StorageError
from pipeline.core.workspace import write_atomic
from schemas.base import ArtifactRef
from schemas.events import Event

DATABASE = "mlflow.db"

MARKER = "modal.json"
"""Names the app whose records a folder holds."""


@dataclass
class Mirror:
    """Part of the Volume in a folder here. A file is fetched again when its size or time on the Volume is another.

    Args:
        volume: the workspace's Volume.
        root: the folder.
    """

    volume: modal.Volume
    root: Path
    _known: dict[str, tuple[int, int]] = field(default_factory=dict, repr=False)

    def entries(self, folder: str) -> list[FileEntry]:
        """Return every file below a folder of the Volume; nothing where there is no such folder."""
        try:
            found = self.volume.listdir(f"/{folder}", recursive=True)
        except (modal.exception.NotFoundError, FileNotFoundError):
            return []
        return [entry for entry in found if entry.type == FileEntryType.FILE]

    def bring(self, folder: str, keep: Callable[[str], bool] = lambda _: True) -> list[Path]:
        """Bring the files below a folder of the Volume here, and return those that are new or changed.

        Raises:
            StorageError: the Volume names a file outside the folder.
        """
        return [self._fetch(entry) for entry in self.entries(folder) if keep(entry.path) and self._is_new(entry)]

    def file(self, place: str) -> Path | None:
        """Bring one file here; None where the Volume has none."""
        found = [entry for entry in self.entries(place) if entry.path.strip("/") == place]
        return self._fetch(found[0]) if found else None

    def run(self, run: str) -> RunDirectory:
        """Bring a run's record and report here.

        Raises:
            ConfigError: the Volume has no such run.
        """
        if not self.bring(f"runs/{run}") and not (self.root / "runs" / run / "run.json").is_file():
            self.require(run)
        return RunDirectory(self.root / "runs" / run)

    def require(self, run: str) -> None:
        """Refuse to go on with a run that the Volume does not have.

        Raises:
            ConfigError: it has none.
        """
        if not self.entries(f"runs/{run}"):
            known = sorted({entry.path.strip("/").split("/")[1] for entry in self.entries("runs")})
            raise ConfigError(
                "the Volume has no such run", where=run, fix=f"known: {', '.join(known[-5:])}" if known else "start one"
            )

    def newest(self) -> str:
        """Return the id of the run whose record was written last.

        Raises:
            ConfigError: there is none.
        """
        written = [(entry.mtime, entry.path.strip("/").split("/")[1]) for entry in self.entries("runs")]
        if not written:
            raise ConfigError("the Volume has no run", where="runs", fix="start one with --config")
        return max(written)[1]

    def artifacts(self, directory: RunDirectory, announce: Callable[[str], None]) -> None:
        """Bring every artifact of a run here, each manifest last, so that half of one is none."""
        for call in directory.calls().values():
            if call.get("fingerprint"):
                ref = ArtifactRef(stage=call["stage"], fingerprint=call["fingerprint"])
                self._artifact(ref, announce)

    def _artifact(self, ref: ArtifactRef, announce: Callable[[str], None]) -> None:
        place = f"artifacts/{ref.stage}/{ref.fingerprint}"
        if (self.root / place / "manifest.json").is_file():
            return
        announce(f"fetching {ref}")
        self.bring(place, lambda path: not path.endswith("/manifest.json"))
        self.bring(place)

    def claim(self) -> None:
        """Make the folder this app's; one that is a workspace of this machine, or another app's, is left alone.

        Raises:
            ConfigError: it is; its registry and records would be overwritten.
        """
        marker = self.root / MARKER
        fix = "name another folder with --to"
        if marker.is_file():
            app = json.loads(marker.read_text(encoding="utf-8"))["app"]
            if app != SETTINGS.app:
                raise ConfigError(f"this folder holds what was fetched of app {app}", where=str(self.root), fix=fix)
            return
        if any((self.root / name).exists() for name in (DATABASE, "runs", "artifacts")):
            raise ConfigError("this folder is a workspace of this machine", where=str(self.root), fix=fix)
        self.root.mkdir(parents=True, exist_ok=True)
        write_atomic(marker, json.dumps({"app": SETTINGS.app}) + "\n")

    def _is_new(self, entry: FileEntry) -> bool:
        return self._known.get(entry.path) != (entry.size, entry.mtime)

    def _fetch(self, entry: FileEntry) -> Path:
        self.claim()
        target = (self.root / entry.path.strip("/")).resolve()
        if not target.is_relative_to(self.root.resolve()):
            raise StorageError("the Volume names a file outside its root", where=entry.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.{os.getpid()}.part")  # two commands may look at the same run
        with part.open("wb") as stream:
            for piece in self.volume.read_file(entry.path):
                stream.write(piece)
        part.replace(target)
        self._known[entry.path] = (entry.size, entry.mtime)
        return target


@dataclass
class Follower:
    """Tells a run's events as they reach the Volume, each once."""

    mirror: Mirror
    run: str
    _told: dict[Path, int] = field(default_factory=dict, repr=False)

    def new_events(self) -> Iterator[Event]:
        """Yield the events that were not told before, by time."""
        found: list[Event] = []
        for path in self.mirror.bring(f"runs/{self.run}/events"):
            lines = path.read_text(encoding="utf-8").splitlines()
            found.extend(Event.model_validate_json(line) for line in lines[self._told.get(path, 0) :])
            self._told[path] = len(lines)
        return iter(sorted(found, key=lambda event: event.time))

    def skip(self) -> None:
        """Pass over what was told before this begins."""
        for _ in self.new_events():
            pass
