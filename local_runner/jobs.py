"""The service's jobs on this machine: each is a run in a process of its own, which dies with the service."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_runner.lines import converse
from local_runner.variables import NOTIFY_SECRET, SERVICE_DATABASE, SERVICE_KEY, WEBHOOK_SECRET
from pipeline.core.errors import Cancelled, InternalError
from pipeline.core.process import describe_exit, start_kept
from schemas.job import JobMessage, JobOrder, JobResult

GRACE_SECONDS = 60.0
"""How long a run may take to save what it has."""

_HOME = Path(__file__).resolve().parent.parent
_OF_THE_SERVICE = (SERVICE_KEY, SERVICE_DATABASE, WEBHOOK_SECRET, NOTIFY_SECRET)
"""Variables that are no business of a run."""


@dataclass(frozen=True)
class LocalJobs:
    """See `pipeline.service.jobs.runner.JobRunner`."""

    def carry_out(self, order: JobOrder, tell: Callable[[JobMessage], None], stopped: Callable[[], bool]) -> JobResult:
        """Have ``local_runner.job_process`` carry it out, and hand on what it tells."""
        process = start_kept(
            [sys.executable, "-P", "-m", "local_runner.job_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            env=_environment(),
        )
        answer = _Answer(tell)
        ended = converse(process, order.model_dump_json(), answer.take, stopped, GRACE_SECONDS)
        if answer.result is not None:
            return answer.result
        if stopped():
            raise Cancelled("the job was stopped before it had anything to save", fix="resume it")
        raise InternalError(
            f"the job's process ended without a result: {describe_exit(ended.status)}",
            fix="SIGKILL usually means that memory was used up; the service's log has what it printed",
            detail=ended.printed,
        )


@dataclass
class _Answer:
    tell: Callable[[JobMessage], None]
    result: JobResult | None = None

    def take(self, line: dict[str, Any]) -> None:
        message = JobMessage.model_validate(line)
        if message.result is not None:
            self.result = message.result
        else:
            self.tell(message)


def _environment() -> dict[str, str]:
    """Return this process's variables without those of the service; the child finds the same packages."""
    kept = {name: value for name, value in os.environ.items() if name not in _OF_THE_SERVICE}
    path = os.pathsep.join([str(_HOME), *filter(None, [kept.get("PYTHONPATH")])])
    return {**kept, "PYTHONPATH": path, "TQDM_DISABLE": "1", "OMP_WAIT_POLICY": kept.get("OMP_WAIT_POLICY", "PASSIVE")}
