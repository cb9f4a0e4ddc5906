"""Child processes that never outlive their parent and always stop when told."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_TIE = (
    "import ctypes, os, signal, sys\n"
    "ctypes.CDLL(None).prctl(1, signal.SIGKILL)\n"
    "if os.getppid() != int(sys.argv[1]): os._exit(1)\n"
    "os.execv(sys.executable, [sys.executable, *sys.argv[2:]])\n"
)
"""Asks Linux for SIGKILL when the parent dies (prctl(2), PR_SET_PDEATHSIG = 1; kept across execve), then becomes
the real command. The parent may have died before the request, so its id is checked."""


def python_command(python: str | Path, arguments: Sequence[str]) -> list[str]:
    """Return the command that runs ``python arguments`` and, on Linux, dies with the calling process."""
    if sys.platform != "linux":
        return [str(python), *arguments]
    return [str(python), "-I", "-S", "-c", _TIE, str(os.getpid()), *arguments]


def stop_group(process: subprocess.Popen[str], grace: float) -> int:
    """Stop a process that leads its own group: SIGTERM, and after ``grace`` seconds SIGKILL to the whole group.

    What is left of the group when the process has ended by itself is killed too.

    Returns:
        The exit status, negative for a signal.
    """
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=grace)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


def describe_exit(status: int) -> str:
    """Return how a process ended, in words: ``exit status 1``, ``killed by SIGILL``."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"
