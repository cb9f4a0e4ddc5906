"""The process that carries one of the service's jobs out: an order on standard input, JSON lines on standard output."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from local_runner.caller import LocalCaller
from local_runner.cli.common import registry
from pipeline.control.jobs import carry_out_job
from pipeline.control.session import Session
from pipeline.core.errors import as_hone_error
from pipeline.core.secrets import visible_secrets
from schemas.job import JobMessage, JobOrder, JobResult


def main() -> int:
    """Carry the order out; whatever libraries print goes to standard error."""
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    stop = {"requested": False}

    def request_stop(_signal: int, _frame: object) -> None:
        stop["requested"] = True

    signal.signal(signal.SIGINT, request_stop)
    signal.signal(signal.SIGTERM, request_stop)

    def tell(message: JobMessage) -> None:
        lines.write(message.model_dump_json(exclude_none=True) + "\n")

    try:
        order = JobOrder.model_validate_json(sys.stdin.read())
        result = carry_out_job(_session(order.root), order, tell, lambda: stop["requested"])
    except Exception as error:  # noqa: BLE001 - the boundary: whatever a library raises becomes an answer
        result = JobResult(error=as_hone_error(error).record())
    tell(JobMessage(result=result))
    return 0


def _session(root: Path) -> Session:
    return Session(root, lambda: registry(root), LocalCaller(), visible_secrets())


if __name__ == "__main__":
    sys.exit(main())
