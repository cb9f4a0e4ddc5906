"""What a stage call costs: CPU seconds, wall seconds and peak memory, children included."""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

from schemas.artifacts import Cost

_KIB = 1024
_RUSAGE_UNIT = 1 if sys.platform == "darwin" else _KIB


def _reset_peak() -> bool:
    """Ask the kernel to forget this process's peak; only Linux can."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _peak_bytes() -> int:
    """Return the peak resident size of this process, since the last reset where there was one."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * _KIB
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RUSAGE_UNIT


class Meter:
    """Measures from its construction on.

    CPU seconds count this process and the children that ended meanwhile. Peak memory is the larger of this process's
    peak and the largest child's; a platform that cannot reset the peak reports the process's highest so far.
    """

    def __init__(self) -> None:
        _reset_peak()
        self._cpu = self._cpu_seconds()
        self._wall = time.monotonic()
        self._child_peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss

    @staticmethod
    def _cpu_seconds() -> float:
        own = resource.getrusage(resource.RUSAGE_SELF)
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime

    def cost(self) -> Cost:
        """Return what was used so far."""
        child_peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        grown = child_peak * _RUSAGE_UNIT if child_peak > self._child_peak else 0
        return Cost(
            cpu_seconds=round(self._cpu_seconds() - self._cpu, 3),
            wall_seconds=round(time.monotonic() - self._wall, 3),
            peak_memory_bytes=max(_peak_bytes(), grown),
        )
