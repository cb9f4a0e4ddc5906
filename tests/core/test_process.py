"""Kept processes: they end as their command does, and nothing of theirs is left."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pipeline.core.process import describe_exit, start_kept, stop_kept
from tests.support.processes import wait_until_gone

FAMILY = """
import subprocess, sys, time
far = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
near = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(far.pid, near.pid, flush=True)
"""
"""Two children: one in a session of its own, which a signal to the process group would miss."""


def _start(code: str) -> subprocess.Popen[str]:
    return start_kept([sys.executable, "-c", code], stdout=subprocess.PIPE)


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def _close(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    process.stdout.close()


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("pass", 0),
        ("raise SystemExit(7)", 7),
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", -signal.SIGILL),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
    ],
)
def test_it_ends_as_its_command_does(code: str, status: int) -> None:
    process = _start(code)
    assert process.wait(timeout=10) == status
    _close(process)


def test_what_a_command_leaves_behind_is_killed() -> None:
    process = _start(FAMILY)
    pids = [int(word) for word in _line(process).split()]
    assert process.wait(timeout=10) == 0
    wait_until_gone(pids)
    _close(process)


def test_a_command_may_finish_when_asked_to_end() -> None:
    process = _start(
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.3), exit(5)))\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)"
    )
    assert _line(process) == "ready"
    assert stop_kept(process, grace=10) == 5
    _close(process)


def test_a_command_that_does_not_end_is_killed_with_all_its_own() -> None:
    process = _start(f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n{FAMILY}\ntime.sleep(60)")
    pids = [int(word) for word in _line(process).split()]
    started = time.monotonic()
    assert stop_kept(process, grace=0.2) == -signal.SIGKILL
    assert time.monotonic() - started < 5
    wait_until_gone(pids)
    _close(process)


def test_stopping_at_once_does_not_wait_for_the_command() -> None:
    process = _start("import time; time.sleep(60)")
    started = time.monotonic()
    assert stop_kept(process, grace=10) != 0
    assert time.monotonic() - started < 5
    _close(process)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_outlives_a_parent_however_it_dies(tmp_path: Path, number: signal.Signals) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import sys, time\n"
        "from pipeline.core.process import start_kept\n"
        f"start_kept([sys.executable, '-c', {FAMILY + 'time.sleep(60)'!r}])\n"
        "time.sleep(60)\n",
        encoding="utf-8",
    )
    root = Path(__file__).resolve().parents[2]
    parent = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(root)}
    )
    pids = [int(word) for word in _line(parent).split()]
    kept = [child.pid for child in psutil.Process(parent.pid).children(recursive=True)]
    assert set(pids) < set(kept)
    os.kill(parent.pid, number)
    parent.wait(timeout=10)
    wait_until_gone(kept)
    _close(parent)


def test_the_time_of_killed_grandchildren_is_counted() -> None:
    """The grandchild works for half a second and is then killed; its parent never waits for it."""
    spin = "import time\nwhile time.process_time() < 0.5: pass\nprint('done', flush=True)\ntime.sleep(60)"
    process = _start(
        f"import subprocess, sys, time\nsubprocess.Popen([sys.executable, '-c', {spin!r}])\ntime.sleep(60)"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert _line(process) == "done"
    stop_kept(process, grace=0.5)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime > 0.45
    _close(process)


@pytest.mark.parametrize(
    ("status", "words"),
    [(0, "exit status 0"), (2, "exit status 2"), (-4, "killed by SIGILL"), (-99, "killed by signal 99")],
)
def test_ends_in_words(status: int, words: str) -> None:
    assert describe_exit(status) == words
