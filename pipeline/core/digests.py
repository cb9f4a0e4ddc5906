"""Content digests of outside files and folders, remembered by what the file system says of them."""

from __future__ import annotations

import json
import os
from pathlib import Path

from pipeline.core.errors import SourceError
from pipeline.core.workspace import content_digest, hash_file, write_atomic
from schemas.artifacts import StoredFile

_SMALL = 64 << 20
"""Bytes up to which a file is always read again."""


class DigestCache:
    """sha256 of files; those over 64 MiB are read again only if their size, inode or modification time changed.

    Args:
        path: where the memory is kept, or None for no memory.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._known: dict[str, str] = {}
        if path is not None and path.is_file():
            try:
                loaded = json.loads(path.read_text(encoding="utf-8"))
                self._known = {str(key): str(value) for key, value in loaded.items()}
            except (ValueError, AttributeError):
                self._known = {}  # a damaged memory only costs reading the files again

    def digest(self, path: Path) -> str:
        """Return the sha256 of a file's bytes, or of a folder's sorted ``path sha256`` lines.

        Raises:
            SourceError: it does not exist or cannot be read.
        """
        try:
            files = listed(path)
            if not files:
                raise SourceError("the folder holds no files", where=str(path), fix="check the path")
            if not path.is_dir():
                return self._file(path, files[0][1])
            return content_digest(
                tuple(
                    StoredFile(
                        path=found.relative_to(path).as_posix(), sha256=self._file(found, stat), size=stat.st_size
                    )
                    for found, stat in files
                )
            )
        except SourceError:
            raise
        except OSError as error:
            raise SourceError(f"cannot read: {error.strerror}", where=str(path), fix="check the path") from error

    def _file(self, path: Path, stat: os.stat_result) -> str:
        if stat.st_size <= _SMALL:
            return hash_file(path)
        key = f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}|{stat.st_ino}"
        if key not in self._known:
            self._known[key] = hash_file(path)
            if self._path is not None:
                write_atomic(self._path, json.dumps(self._known, indent=0, sort_keys=True))
        return self._known[key]


def listed(path: Path) -> list[tuple[Path, os.stat_result]]:
    """Return the files that a digest of ``path`` covers, sorted: itself, or all below a folder but hidden ones.

    Raises:
        OSError: ``path`` does not exist or cannot be read.
    """
    if not path.is_dir():
        return [(path, path.stat())]
    files = [found for found in sorted(path.rglob("*")) if found.is_file() and not _hidden(found, path)]
    return [(found, found.stat()) for found in files]


def _hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)
