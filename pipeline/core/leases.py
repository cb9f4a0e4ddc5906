"""Leases: the right to make one artifact, held by one process at a time, gone when its holder is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from filelock import FileLock, Timeout

from schemas.base import ArtifactRef

POLL_SECONDS = 0.5
"""How often a caller that waits for a lease looks whether it should go on waiting."""


def nothing() -> None:
    """Do nothing: for callers that do not mind waiting."""


class Leases(Protocol):
    """Where leases are kept: in files on one machine, elsewhere for containers that share no file system."""

    def hold(
        self, ref: ArtifactRef, on_wait: Callable[[], None] = nothing, check: Callable[[], None] = nothing
    ) -> AbstractContextManager[None]:
        """Hold the right to make one artifact; a second caller waits until the first is done or dead.

        ``on_wait`` is called once if this caller has to wait, ``check`` again and again meanwhile: what it raises
        ends the wait. Once it is held, the workspace shows what the holder before left.
        """

    def unheld(self, ref: ArtifactRef) -> AbstractContextManager[bool]:
        """Hold it and yield true; yield false at once where somebody else holds it."""

    def is_held(self, ref: ArtifactRef) -> bool:
        """Tell whether somebody holds it now."""


@dataclass(frozen=True)
class FileLeases:
    """Locks beside the work in a workspace; the kernel ends them with their holder, however that dies."""

    root: Path

    def path(self, ref: ArtifactRef) -> Path:
        """Return the lock file of an artifact."""
        return self.root / "work" / ref.stage / f"{ref.fingerprint}.lock"

    @contextmanager
    def hold(
        self, ref: ArtifactRef, on_wait: Callable[[], None] = nothing, check: Callable[[], None] = nothing
    ) -> Iterator[None]:
        """See `Leases.hold`."""
        path = self.path(ref)
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        if not _acquired(lock, 0.0):
            on_wait()
            while not _acquired(lock, POLL_SECONDS):
                check()
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def unheld(self, ref: ArtifactRef) -> Iterator[bool]:
        """See `Leases.unheld`; the lock file goes afterwards, with what it guarded."""
        path = self.path(ref)
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        if not _acquired(lock, 0.0):
            yield False
            return
        try:
            yield True
            path.unlink(missing_ok=True)
        finally:
            lock.release()

    def is_held(self, ref: ArtifactRef) -> bool:
        """See `Leases.is_held`; a lock that does not exist is not made."""
        path = self.path(ref)
        if not path.exists():
            return False
        lock = FileLock(path)
        free = _acquired(lock, 0.0)
        if free:
            lock.release()
        return not free


def _acquired(lock: FileLock, seconds: float) -> bool:
    try:
        lock.acquire(timeout=seconds)
    except Timeout:
        return False
    return True
