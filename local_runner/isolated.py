"""Run one stage call in an environment of its own: JSON in, JSON lines out, nothing of this one leaks."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pipeline
import schemas
from local_runner.environments import python
from local_runner.lines import converse
from pipeline.core.errors import Cancelled, InternalError
from pipeline.core.process import describe_exit, start_kept
from pipeline.core.temporary import private_folder
from schemas.artifacts import CallResult
from schemas.events import Event
from schemas.request import CallRequest

GRACE_SECONDS = 30.0
"""How long a cancelled call may take to save what it has and stop its own children."""

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
    answer = _Answer(on_event)
    ended = converse(process, request, answer.take, cancelled, GRACE_SECONDS)
    if answer.result is not None:
        return answer.result
    if cancelled():
        raise Cancelled("the run was cancelled", fix="run the same command again to go on")
    raise InternalError(
        f"the stage's process ended without a result: {describe_exit(ended.status)}",
        fix="the detail is the end of what it printed; SIGKILL usually means that memory was used up",
        detail=ended.printed,
    )


@dataclass
class _Answer:
    """What a stage's process says: events, then the result."""

    on_event: Callable[[Event], None]
    result: CallResult | None = None

    def take(self, message: dict[str, Any]) -> None:
        if "event" in message:
            self.on_event(Event.model_validate(message["event"]))
        elif "result" in message:
            self.result = CallResult.model_validate(message["result"])
        else:
            raise ValueError("neither an event nor a result")
