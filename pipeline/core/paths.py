"""Paths as users write them."""

from __future__ import annotations

from pathlib import Path

from pipeline.core.errors import SourceError


def expand(text: str | Path) -> Path:
    """Return the path that ``text`` means: ``~`` is the user's own folder, ``~name`` that of another.

    Raises:
        SourceError: there is no such user.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise SourceError(
            "no user of this name has a folder here", where=str(text), fix="write the path out"
        ) from error
