"""Where the bytes of files lie: a folder with one file each, under names that the service chose."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.workspace import fsync_directory

_INCOMING = ".incoming"


@dataclass(frozen=True)
class Shelf:
    """The folder. What is being written is in a folder of its own until it is whole."""

    folder: Path

    def open(self) -> Shelf:
        """Make the folder, and remove what uploads left that were never finished."""
        shutil.rmtree(self.folder / _INCOMING, ignore_errors=True)
        (self.folder / _INCOMING).mkdir(parents=True, exist_ok=True)
        return self

    def path(self, stored_as: str) -> Path:
        """Return where a file is."""
        return self.folder / stored_as

    def begin(self, name: str) -> Incoming:
        """Return a file that is being written."""
        return Incoming(self.folder / _INCOMING / name)

    def keep(self, incoming: Incoming, stored_as: str) -> None:
        """Put a written file on the shelf, forced to disk."""
        incoming.finish()
        incoming.path.rename(self.path(stored_as))
        fsync_directory(self.folder)

    def put(self, stored_as: str, content: bytes) -> None:
        """Write a whole file."""
        incoming = self.begin(stored_as)
        incoming.write(content)
        self.keep(incoming, stored_as)

    def remove(self, stored_as: str) -> None:
        """Remove a file."""
        self.path(stored_as).unlink(missing_ok=True)


class Incoming:
    """A file that is being written: its size in bytes and its sha256 so far."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self._digest = hashlib.sha256()
        self._stream = path.open("xb")

    def write(self, data: bytes) -> None:
        """Append bytes."""
        self._stream.write(data)
        self._digest.update(data)
        self.size += len(data)

    @property
    def sha256(self) -> str:
        """The digest (hexadecimal) of what was written."""
        return self._digest.hexdigest()

    def finish(self) -> None:
        """Force it to disk and close it."""
        if not self._stream.closed:
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._stream.close()

    def discard(self) -> None:
        """Remove it, if it was not put on the shelf."""
        self._stream.close()
        self.path.unlink(missing_ok=True)
