"""Whether processes are gone: one that ended and waits for its parent is."""

from __future__ import annotations

import time
from collections.abc import Iterable

import psutil


def is_gone(pid: int) -> bool:
    """Tell whether no process of this id runs."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_until_gone(pids: Iterable[int], seconds: float = 10.0) -> None:
    """Return when none of the processes runs; fail where one still does after ``seconds``."""
    left, deadline = list(pids), time.monotonic() + seconds
    while left := [pid for pid in left if not is_gone(pid)]:
        assert time.monotonic() < deadline, f"still there after {seconds} s: {left}"
        time.sleep(0.02)
