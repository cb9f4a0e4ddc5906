"""Run a command, and take it down with everything that it started as soon as nobody needs it.

Run as a file, ``python keeper.py PARENT COMMAND...``, by any Python and without hone's packages, for
`pipeline.core.process`:

- SIGTERM and SIGINT are passed on as SIGTERM: the command may finish what it is doing.
- SIGQUIT kills the command and all that came from it at once; so does the death of the process PARENT, however it dies.
- When the command ends, what it left behind is killed.
- It ends as the command did, and its CPU time holds that of all of them.

On systems other than Linux it cannot adopt orphans nor notice the parent's death; all it kills is the process group.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

_SET_PARENT_DEATH_SIGNAL = 1
_SET_CHILD_SUBREAPER = 36
"""prctl(2): the signal that this process gets when its parent dies; orphans below this process become its children."""


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(option, value)


def _die_with_parent() -> None:
    _prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)


class Keeper:
    """One command and its descendants."""

    def __init__(self) -> None:
        self.child: subprocess.Popen[bytes] | None = None
        self.early: Callable[[], None] | None = None

    def pass_on(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        """Ask the command to end."""
        if self.child is None:
            self.early = self.pass_on
        else:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.child.pid, signal.SIGTERM)

    def kill(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        """Kill the command's group and every other child of this process."""
        if self.child is None:
            self.early = self.kill
        else:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.child.pid, signal.SIGKILL)
        for pid in _children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def run(self, command: list[str]) -> int:
        """Run ``command`` to its end and return its wait status."""
        self.child = subprocess.Popen(command, start_new_session=True, preexec_fn=_die_with_parent)
        if self.early is not None:
            self.early()
        status = 0
        while True:
            try:
                pid, ended = os.waitpid(-1, 0)
            except ChildProcessError:
                return status
            if pid == self.child.pid:
                status = ended
                self.kill()


def _children() -> list[int]:
    try:
        text = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii")
    except OSError:
        return []
    return [int(word) for word in text.split()]


def main(parent: int, command: list[str]) -> int:
    """Run ``command`` for the process ``parent`` and end as it does."""
    keeper = Keeper()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, keeper.pass_on)
    for number in (signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, keeper.kill)
    _prctl(_SET_CHILD_SUBREAPER, 1)
    _prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGHUP)
    if os.getppid() != parent:
        return 1
    status = os.waitstatus_to_exitcode(keeper.run(command))
    if status < 0:
        with contextlib.suppress(OSError):  # of SIGKILL there is no other disposition
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    return status


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
