"""What a user's own code prints goes to standard error: standard output is for what a command gives out."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from threading import Lock

_STDOUT, _STDERR = 1, 2


class _Redirection:
    """Standard output while user code runs in any thread: the first to come turns it, the last turns it back."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._users = 0
        self._saved: int | None = None
        self._text = redirect_stdout(sys.stderr)

    def enter(self) -> None:
        with self._lock:
            self._users += 1
            if self._users == 1:
                _flush()
                self._text = redirect_stdout(sys.stderr)
                self._text.__enter__()
                self._saved = _turned()

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                _flush()
                self._text.__exit__(None, None, None)
                if self._saved is not None:
                    os.dup2(self._saved, _STDOUT)
                    os.close(self._saved)


def _flush() -> None:
    for stream in (sys.stdout, sys.__stdout__):
        with suppress(OSError, ValueError, AttributeError):  # closed, or none at all
            stream.flush()  # type: ignore[union-attr]


def _turned() -> int | None:
    """Make descriptor 1 standard error; return a copy of what it was, or None where there is no such descriptor."""
    try:
        saved = os.dup(_STDOUT)
    except OSError:
        return None
    try:
        os.dup2(_STDERR, _STDOUT)
    except OSError:
        os.close(saved)
        return None
    return saved


_REDIRECTION = _Redirection()


@contextmanager
def to_stderr() -> Iterator[None]:
    """Send what is printed meanwhile, by Python, a library or a child process, to standard error."""
    _REDIRECTION.enter()
    try:
        yield
    finally:
        _REDIRECTION.leave()
