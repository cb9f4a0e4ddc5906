"""Outside files and folders as a stage opens them: only while they are what they were when the run began.

A run may last for hours after its references were resolved, and a fingerprint states their digest; so whoever reads one
comes through here.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from pipeline.core.digests import DigestCache, listed
from pipeline.core.errors import IntegrityError, SourceError
from schemas.base import DIGEST_PATTERN, Reference

_SHA256 = re.compile(DIGEST_PATTERN)

_UNRESOLVED = "unresolved:"

_checked: dict[Path, tuple[object, str]] = {}
"""What this process has hashed: what the file system said of a path then, and its digest."""


def open_reference(reference: Reference) -> Path:
    """Return where ``reference`` is, after comparing its bytes with its digest.

    A path is hashed once in a process, and again when the size, inode or modification time of one of its files changes.
    What lies on the Hub, has no digest or is not there is left to whoever opens it.

    Raises:
        IntegrityError: the bytes are others than when the run was resolved.
        SourceError: it cannot be read.
    """
    path = Path(reference.location)
    if reference.digest is None or not _SHA256.match(reference.digest) or not path.exists():
        return path
    if _digest(path.absolute()) != reference.digest:
        raise IntegrityError(
            "changed since the run began", where=str(path), fix="run the description again, or put back what was there"
        )
    return path


def unresolved(name: str, revision: str | None) -> Reference:
    """Return a reference to a Hub id whose commit is not known: enough for a plan, and for nothing else.

    Its digest is that of the words, so that plans of other words have other fingerprints; it is no commit.
    """
    words = hashlib.sha256(f"{name}@{revision or 'main'}".encode()).hexdigest()
    return Reference(location=name, digest=f"{_UNRESOLVED}{words}")


def is_unresolved(reference: Reference) -> bool:
    """Tell whether a reference came from `unresolved`."""
    return reference.digest is not None and reference.digest.startswith(_UNRESOLVED)


def _digest(path: Path) -> str:
    try:
        state = [(str(file), stat.st_size, stat.st_mtime_ns, stat.st_ino) for file, stat in listed(path)]
    except OSError as error:
        raise SourceError(f"cannot read: {error.strerror}", where=str(path), fix="check the path") from error
    known = _checked.get(path)
    if known is None or known[0] != state:
        known = (state, DigestCache(None).digest(path))
        _checked[path] = known
    return known[1]
