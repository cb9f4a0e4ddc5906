"""Looking at leases from outside: whether somebody makes an artifact now, and holding one only if nobody does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def unheld(lock: Path) -> Iterator[bool]:
    """Hold ``lock`` and yield true; yield false at once where somebody else holds it."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    held = FileLock(lock)
    try:
        held.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        held.release()


def is_held(lock: Path) -> bool:
    """Tell whether some process holds ``lock``; a lock that does not exist is not made."""
    if not lock.exists():
        return False
    with unheld(lock) as free:
        return not free
