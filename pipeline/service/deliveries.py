"""Which deliveries were taken: a ``webhook-id`` starts one thing, however often it is sent.

A sender keeps the id of a message that it sends again (with a new timestamp), and anybody can send again what was
overheard. So an id is claimed before anything is started. A claim that is never settled, because the process died
under it, ends after `PENDING` seconds, and the sender's next attempt is carried out; a settled one lasts `KEEP`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Final, Protocol

from filelock import FileLock

from pipeline.core.errors import IntegrityError
from pipeline.core.workspace import write_atomic

TOLERANCE: Final = 5 * 60
"""Seconds by which a timestamp may differ from the clock here: what ``standardwebhooks`` allows."""

PENDING: Final = 3 * TOLERANCE
"""Seconds of an unsettled claim: more than the `TOLERANCE` before and after the clock in which a message is valid."""

KEEP: Final = 7 * 24 * 3600
"""Seconds for which a settled id is known; the specification's example of a retry schedule spans three days."""


class Deliveries(Protocol):
    """Deliveries that were taken, by their ``webhook-id``. ``now`` is Unix time in seconds. Every method is atomic."""

    def claim(self, delivery: str, now: float) -> bool:
        """Take an id, for `PENDING` seconds; False where it is taken."""

    def settle(self, delivery: str, now: float) -> None:
        """Keep an id for `KEEP` seconds: what it asked for was started."""

    def release(self, delivery: str) -> None:
        """Give an id back: what it asked for was not started."""


_Ends = dict[str, float]
"""When each claim ends, by the digest of its id."""


def _claim(ends: _Ends, key: str, now: float) -> bool:
    for expired in [known for known, end in ends.items() if end <= now]:
        del ends[expired]
    if key in ends:
        return False
    ends[key] = now + PENDING
    return True


def _key(delivery: str) -> str:
    return hashlib.sha256(delivery.encode()).hexdigest()


class MemoryDeliveries:
    """Ids in the memory of one process; they end with it."""

    def __init__(self) -> None:
        self._ends: _Ends = {}
        self._lock = Lock()

    def claim(self, delivery: str, now: float) -> bool:
        """Take an id; False where it is taken."""
        with self._lock:
            return _claim(self._ends, _key(delivery), now)

    def settle(self, delivery: str, now: float) -> None:
        """Keep an id."""
        with self._lock:
            self._ends[_key(delivery)] = now + KEEP

    def release(self, delivery: str) -> None:
        """Give an id back."""
        with self._lock:
            self._ends.pop(_key(delivery), None)


@dataclass(frozen=True)
class FileDeliveries:
    """Ids in a folder that several processes share (one machine, or a file system with locks): digests in one file.

    Raises:
        IntegrityError: the file is damaged; nothing is taken until that is repaired.
        OSError: the folder cannot be written.
    """

    folder: Path

    def claim(self, delivery: str, now: float) -> bool:
        """Take an id; False where it is taken."""
        with self._open() as ends:
            return _claim(ends, _key(delivery), now)

    def settle(self, delivery: str, now: float) -> None:
        """Keep an id."""
        with self._open() as ends:
            ends[_key(delivery)] = now + KEEP

    def release(self, delivery: str) -> None:
        """Give an id back."""
        with self._open() as ends:
            ends.pop(_key(delivery), None)

    @contextmanager
    def _open(self) -> Iterator[_Ends]:
        """Yield the claims under the folder's lock, and write them where they were changed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / "deliveries.lock"):
            path = self.folder / "deliveries.json"
            ends = _read(path)
            before = dict(ends)
            yield ends
            if ends != before:
                write_atomic(path, json.dumps(ends, indent=0, sort_keys=True) + "\n")


def _read(path: Path) -> _Ends:
    if not path.is_file():
        return {}
    try:
        return {str(key): float(end) for key, end in json.loads(path.read_text(encoding="utf-8")).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise IntegrityError(
            "the record of deliveries is damaged",
            where=str(path),
            fix="remove it; deliveries of the last minutes can then be sent again",
        ) from error
