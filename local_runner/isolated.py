"""Run one stage call in an environment of its own: JSON in, JSON lines out, nothing of this one leaks."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pydantic import ValidationError

import pipeline
import schemas
from local_runner.environments import python
from pipeline.core.errors import Cancelled, InternalError
from pipeline.core.process import describe_exit, start_kept, stop_kept
from pipeline.core.temporary import private_folder
from schemas.artifacts import CallResult
from schemas.events import Event
from schemas.request import CallRequest

GRACE_SECONDS = 30.0
"""How long a cancelled call may take to save what it has and stop its own children."""

_POLL_SECONDS = 0.2
_KEPT_LINES = 60

PASSED_ON = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "CUDA_VISIBLE_DEVICES",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HF_HUB_OFFLINE",
    "HF_ENDPOINT",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
)
"""Variables that a stage's process sees: where things are and how much it may use, no secrets."""


@contextmanager
def package_folder() -> Iterator[Path]:
    """Yield a private folder that holds exactly the packages ``schemas`` and ``pipeline``, as links."""
    with private_folder("packages") as folder:
        for package in (schemas, pipeline):
            source = Path(next(iter(package.__path__))).resolve()
            (folder / source.name).symlink_to(source, target_is_directory=True)
        yield folder


def child_environment(packages: Path) -> dict[str, str]:
    """Return the environment variables of a stage's process that finds hone in ``packages``."""
    kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {**kept, "PYTHONPATH": str(packages), "PYTHONNOUSERSITE": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def run_in_environment(
    name: str,
    request: CallRequest,
    *,
    on_event: Callable[[Event], None],
    cancelled: Callable[[], bool] = lambda: False,
) -> CallResult:
    """Send ``request`` to `pipeline.execute` in environment ``name`` and return its result.

    Events are handed on as they arrive. When ``cancelled`` answers true, or this call is interrupted, the process
    is asked to stop and killed with all its children after `GRACE_SECONDS`. It also dies with this process.

    Raises:
        EnvironmentMissing: the environment is not installed.
        InternalError: the process ended without a result; the detail is the end of what it printed.
        Cancelled: it was stopped before it could answer.
    """
    interpreter = python(name)
    with package_folder() as packages:
        text = request.model_dump_json()
        return run_module(interpreter, "pipeline.execute", text, packages, on_event=on_event, cancelled=cancelled)


def run_module(
    interpreter: Path,
    module: str,
    request: str,
    packages: Path,
    *,
    on_event: Callable[[Event], None],
    cancelled: Callable[[], bool] = lambda: False,
) -> CallResult:
    """Run ``module`` with ``interpreter`` on JSON text; see `run_in_environment`, which fixes both."""
    process = start_kept(
        [interpreter, "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        env=child_environment(packages),
        cwd=packages,
    )
    conversation = _Conversation(process, on_event)
    try:
        conversation.send(request)
        conversation.listen(cancelled)
    finally:
        status = stop_kept(process, GRACE_SECONDS)
        conversation.close()
    return conversation.outcome(status, stopped=cancelled())


class _Conversation:
    """The lines that a stage's process writes: events, the result, and whatever else it prints."""

    def __init__(self, process: subprocess.Popen[str], on_event: Callable[[Event], None]) -> None:
        self._process = process
        self._on_event = on_event
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._printed: deque[str] = deque(maxlen=_KEPT_LINES)
        self._result: CallResult | None = None
        assert process.stdout is not None and process.stderr is not None
        self._readers = (
            threading.Thread(target=self._read_answers, args=(process.stdout,), daemon=True),
            threading.Thread(target=self._printed.extend, args=(process.stderr,), daemon=True),
        )
        for reader in self._readers:
            reader.start()

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
        """Hand on events until the process has no more to say or somebody asks to stop."""
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
            reader.join(timeout=GRACE_SECONDS)
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
            if "event" in message:
                self._on_event(Event.model_validate(message["event"]))
                return
            self._result = CallResult.model_validate(message["result"])
        except (ValueError, TypeError, KeyError, ValidationError):
            self._printed.append(line)

    def outcome(self, status: int, *, stopped: bool) -> CallResult:
        """Return the result, or raise what its absence means."""
        if self._result is not None:
            return self._result
        if stopped:
            raise Cancelled("the run was cancelled", fix="run the same command again to go on")
        raise InternalError(
            f"the stage's process ended without a result: {describe_exit(status)}",
            fix="the detail is the end of what it printed; SIGKILL usually means that memory was used up",
            detail="".join(self._printed),
        )
