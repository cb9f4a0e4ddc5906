"""Can a folder be a workspace? Looked at by trying, as permissions alone say little: /proc takes no file from root."""

from __future__ import annotations

import tempfile
from pathlib import Path

from pipeline.core.errors import StorageError


def existing(path: Path) -> Path:
    """Return the nearest path at or above ``path`` that is there."""
    return next(parent for parent in (path, *path.parents) if parent.exists())


def not_a_folder(root: Path) -> str | None:
    """Say what is in the way of a folder at ``root``; None where there is one or can be."""
    place = existing(root)
    if place.is_dir():
        return None
    return "it is a file, not a folder" if place == root else f"{place} is a file, not a folder"


def unwritable(root: Path) -> str | None:
    """Say why nothing can be written at ``root``, None where it can; nothing is left there."""
    problem = not_a_folder(root)
    if problem is not None:
        return problem
    place = existing(root)
    try:
        with tempfile.TemporaryDirectory(prefix=".hone-", dir=place):
            return None
    except OSError as error:
        return f"{place} cannot be written ({error.strerror or error})"


def refuse(root: Path, problem: str | None) -> None:
    """Raise where there is a ``problem``.

    Raises:
        StorageError: it names the workspace and the option that names another.
    """
    if problem is not None:
        raise StorageError(
            f"this cannot be the workspace: {problem}", where=str(root), fix="name another folder with --workspace"
        )
