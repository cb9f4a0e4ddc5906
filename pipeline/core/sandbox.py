"""Running untrusted Python: without network, in read-only files, under limits, and gone when its time is over."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from pipeline.core import jail
from pipeline.core.errors import EnvironmentMissing

Outcome = Literal["finished", "failed", "timeout"]

_USERS = (1_900_000_000, 2_000_000_000)
"""User ids that nobody has: each program gets one of its own, so that programs share no limit on processes."""


@dataclass(frozen=True)
class Limits:
    """What a program may take.

    ``seconds`` is by the clock; ``cpu_seconds`` and ``memory_bytes`` are for each of its processes. ``file_bytes``
    bounds each file and all of them together; ``processes`` counts threads too.
    """

    seconds: float = 10.0
    cpu_seconds: int = 10
    memory_bytes: int = 1 << 30
    file_bytes: int = 16 << 20
    processes: int = 16
    open_files: int = 64


def run_sandboxed(program: str, limits: Limits = Limits()) -> Outcome:
    """Run a Python program with the standard library alone and say how it ended.

    ``finished`` means that it came to its last line; a program that leaves early by ``sys.exit`` or ``os._exit`` has
    failed, whatever its status. What it prints is not kept, and it gets none of this process's variables. It is
    isolated from the machine, not from the interpreter that runs it: one that searches its own interpreter's memory for
    how the end is told could claim it.

    Raises:
        EnvironmentMissing: this machine cannot isolate a program.
    """
    check_machine()
    return _run(program, limits)


@cache
def check_machine() -> None:
    """Refuse a machine on which no program can be isolated.

    Raises:
        EnvironmentMissing: it is one.
    """
    if sys.platform != "linux":
        raise EnvironmentMissing(
            "programs of a model are run on Linux only, where they can be isolated",
            where="code_execution",
            fix="evaluate on Linux, or with --on modal",
        )
    if _run("import math", Limits(seconds=30.0)) != "finished":
        raise EnvironmentMissing(
            "a program that does nothing does not run in isolation here",
            where="code_execution",
            fix="let every user read this Python's installation, or evaluate on another machine",
        )


def _run(program: str, limits: Limits) -> Outcome:
    nonce = secrets.token_hex(16)
    user = _USERS[0] + secrets.randbelow(_USERS[1] - _USERS[0])
    told: dict[str, object] = {**asdict(limits), "nonce": nonce, "user": user}
    if os.geteuid() != 0:  # the limit counts all processes of the user, who has some already
        told |= {"user": 0, "processes": limits.processes + _processes_of(os.getuid())}
    reader, writer = os.pipe()
    try:
        process = _start(writer)
    finally:
        os.close(writer)
    try:
        status, refusal = _wait(process, f"{json.dumps(told | {'report': writer})}\n{program}", limits.seconds)
        os.set_blocking(reader, False)
        said = _said(reader)
    finally:
        os.close(reader)
    if status == jail.REFUSED and refusal:
        raise EnvironmentMissing(
            f"this machine does not let a program be isolated ({refusal.strip()})",
            where="code_execution",
            fix="allow user, mount, process and network namespaces, or evaluate on a machine that does",
        )
    if status is None:
        return "timeout"
    return "finished" if said == nonce else "failed"


def _start(report: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-B", str(Path(jail.__file__))],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
        pass_fds=(report,),
        start_new_session=True,
    )


def _wait(process: subprocess.Popen[str], told: str, seconds: float) -> tuple[int | None, str]:
    try:
        _, refusal = process.communicate(told, timeout=seconds)
    except subprocess.TimeoutExpired:
        return None, ""
    finally:
        if process.poll() is None:  # also where this process is interrupted
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    return process.returncode, refusal


def _said(reader: int) -> str:
    try:
        return os.read(reader, 64).decode("ascii", "replace")
    except BlockingIOError:
        return ""


def _processes_of(user: int) -> int:
    import psutil

    return sum(
        found.info["num_threads"] or 1
        for found in psutil.process_iter(["uids", "num_threads"])
        if found.info["uids"] is not None and found.info["uids"].real == user
    )
