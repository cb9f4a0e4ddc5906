"""Child processes that never outlive their parent, and that stop with everything they started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.core import keeper

_KILL_SECONDS = 10.0
"""Time in which the kernel takes killed processes down."""


def start_kept(command: Sequence[str | Path], **options: Any) -> subprocess.Popen[str]:
    """Start ``command`` below a `keeper`, in text mode; ``options`` go to `subprocess.Popen`.

    The keeper leads a process group of its own, so a terminal's Ctrl-C reaches this process only.
    """
    script = Path(keeper.__file__)
    kept = [sys.executable, "-I", "-S", str(script), str(os.getpid()), *(str(part) for part in command)]
    return subprocess.Popen(kept, text=True, start_new_session=True, **options)


def stop_kept(process: subprocess.Popen[str], grace: float) -> int:
    """Ask a kept command to end, after ``grace`` seconds kill it and everything that came from it.

    Returns:
        The exit status, negative for a signal.
    """
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(timeout=grace)
        process.send_signal(signal.SIGQUIT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(timeout=_KILL_SECONDS)
        process.kill()
    return process.wait()


def describe_exit(status: int) -> str:
    """Return how a process ended, in words: ``exit status 1``, ``killed by SIGILL``."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"
