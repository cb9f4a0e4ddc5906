"""A conversation with a child process: one request, then JSON lines that somebody takes, and what else it prints."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

from pipeline.core.process import stop_kept

_POLL_SECONDS = 0.2
_KEPT_LINES = 60
_CLOSE_SECONDS = 30.0


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit status, negative for a signal, and the end of what it printed beside messages."""

    status: int
    printed: str


def converse(
    process: subprocess.Popen[str],
    request: str,
    take: Callable[[dict[str, Any]], None],
    cancelled: Callable[[], bool],
    grace: float,
) -> Ended:
    """Send a request, hand on what comes back, and return once the process is gone.

    Args:
        process: kept, in text mode, with all three pipes.
        request: goes to its standard input.
        take: receives each JSON object; a `ValueError` says that it is none of the expected ones.
        cancelled: once it answers true, the process is asked to stop.
        grace: seconds that it then has, before it is killed with all its children.
    """
    lines = _Lines(process, take)
    try:
        lines.send(request)
        lines.listen(cancelled)
    finally:
        status = stop_kept(process, grace)
        lines.close()
    return Ended(status, lines.printed)


class _Lines:
    """What a process writes on standard output, as it comes."""

    def __init__(self, process: subprocess.Popen[str], take: Callable[[dict[str, Any]], None]) -> None:
        self._process = process
        self._take_message = take
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._printed: deque[str] = deque(maxlen=_KEPT_LINES)
        assert process.stdout is not None and process.stderr is not None
        self._readers = (
            threading.Thread(target=self._read_answers, args=(process.stdout,), daemon=True),
            threading.Thread(target=self._printed.extend, args=(process.stderr,), daemon=True),
        )
        for reader in self._readers:
            reader.start()

    @property
    def printed(self) -> str:
        """The end of what is no message."""
        return "".join(self._printed)

    def _read_answers(self, stream: IO[str]) -> None:
        for line in stream:
            self._lines.put(line)
        self._lines.put(None)

    def send(self, request: str) -> None:
        """Write the request; a process that has already ended is noticed by `listen`."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(request)
            self._process.stdin.close()
        except BrokenPipeError:
            self._printed.append("the process ended before it read its request\n")

    def listen(self, cancelled: Callable[[], bool]) -> None:
        """Hand on messages until the process has no more to say or somebody asks to stop."""
        while not cancelled():
            try:
                line = self._lines.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                continue
            if line is None:
                self._process.wait()
                return
            self._take(line)

    def close(self) -> None:
        """Take what was written while the process stopped."""
        for reader in self._readers:
            reader.join(timeout=_CLOSE_SECONDS)
        while not self._lines.empty():
            line = self._lines.get()
            if line is not None:
                self._take(line)
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def _take(self, line: str) -> None:
        try:
            message = json.loads(line)
            if not isinstance(message, dict):
                raise ValueError("no message")
        except ValueError:
            self._printed.append(line)
            return
        try:
            self._take_message(message)
        except ValueError:
            self._printed.append(line)
