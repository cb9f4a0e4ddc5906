"""What an untrusted program can do in the sandbox, and what it cannot."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from pipeline.core.errors import EnvironmentMissing
from pipeline.core.sandbox import Limits, run_sandboxed

SHORT = Limits(seconds=3.0, cpu_seconds=2, memory_bytes=256 << 20, processes=16)


@pytest.fixture(scope="module", autouse=True)
def machine() -> None:
    try:
        run_sandboxed("pass")
    except EnvironmentMissing as error:
        pytest.skip(f"NO SANDBOX HERE: {error}")


@pytest.mark.parametrize(
    "program",
    [
        "import math, json, collections; assert math.gcd(12, 18) == 6",
        "open('note.txt', 'w').write('x'); assert open('note.txt').read() == 'x'",
        "import os; assert os.getppid() == 1 and set(os.environ) <= {'PATH', 'LANG', 'LC_CTYPE'}",
        "import pickle\nclass A: pass\nassert type(pickle.loads(pickle.dumps(A()))) is A",
        "import unittest\nassert unittest.main(argv=['x'], exit=False).result.testsRun == 0",
        "import multiprocessing as m\nwith m.get_context('fork').Pool(2) as p: assert p.map(abs, [-1]) == [1]",
        "import os; assert 'etc' not in os.listdir('/') and 'run' not in os.listdir('/')",
        "import os; assert os.listdir('.') == [] and os.getuid() == os.geteuid()",
        "import threading; t = threading.Thread(target=print); t.start(); t.join()",
        "print('x' * 10_000_000)",
        "import sys; assert len(sys.argv) == 1 and sys.stdin.read() == ''",
    ],
)
def test_what_it_can_do(program: str) -> None:
    assert run_sandboxed(program, SHORT) == "finished"


@pytest.mark.parametrize(
    "program",
    [
        "assert 1 + 1 == 3",
        "def f(:",
        "raise SystemExit(0)",
        "import os; os._exit(0)",
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL); os._exit(0)",
        "x = bytearray(1 << 30)",
        "open('big', 'wb').write(b'x' * (20 << 20))",
        "[open('f%d' % n, 'wb').write(b'x' * (4 << 20)) for n in range(9)]",
        "for folder in '/home', '/tmp', '/dev/shm': open(folder + '/f', 'wb').write(b'x' * (7 << 20))",
        "import ctypes; assert ctypes.CDLL(None).shmget(0, 1 << 20, 0o1600) >= 0",
        "import ctypes; assert ctypes.CDLL(None).msgget(0, 0o1600) >= 0",
        "import socket; socket.create_connection(('127.0.0.1', 22), timeout=1)",
        "import socket; socket.getaddrinfo('example.org', 80)",
        "import hypothesis",
        "import pipeline",
        "import ctypes; assert ctypes.CDLL(None).mount(None, b'/', None, 32 | 4096, None) == 0",
        "import ctypes; assert ctypes.CDLL(None).unshare(0x10000000 | 0x20000) == 0",
        "import os; os.chroot('.')",
        "import subprocess; subprocess.run(['mount', '-o', 'remount,rw', '/'], check=True)",
        "import os; os.listdir('/proc')",
        "import os; os.fork() and os._exit(0) or os._exit(0)",
    ],
)
def test_what_it_cannot_do(program: str) -> None:
    assert run_sandboxed(program, SHORT) == "failed"


def test_nothing_outside_its_folder_is_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    for place in (tmp_path, Path.home(), Path("/dev/shm"), Path(__file__).parent):
        path = place / f"from-the-sandbox-{os.getpid()}"
        run_sandboxed(f"open({str(path)!r}, 'w').write('x')", SHORT)
        assert not path.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "program",
    [
        "while True: pass",
        "import time; time.sleep(60)",
        "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(600)\ntime.sleep(600)",
        "import os, time\nos.setsid()\ntime.sleep(600)",
        "import os, time\nos.setsid()\nos.closerange(3, 64)\ntime.sleep(600)",
    ],
)
def test_what_does_not_end_is_ended_with_all_that_it_started(program: str) -> None:
    marker = f"# {time.time_ns()}"
    began = time.monotonic()
    limits = Limits(seconds=1.0, cpu_seconds=30, memory_bytes=256 << 20, processes=16)
    assert run_sandboxed(f"{program}\n{marker}", limits) == "timeout"
    assert time.monotonic() - began < 15.0
    assert jailed() == []


def test_what_it_leaves_behind_ends_with_it() -> None:
    program = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(600)"
    assert run_sandboxed(program, SHORT) == "finished"
    assert jailed() == []


def jailed() -> list[int]:
    """Return this process's jails, and those that nobody waits for, after a moment for the kernel."""
    import psutil

    for _ in range(50):
        found = [
            one.pid
            for one in psutil.process_iter(["pid", "ppid", "cmdline", "status"])
            if any("jail.py" in word for word in one.info["cmdline"] or ())
            and one.info["status"] != psutil.STATUS_ZOMBIE
            and one.info["ppid"] in (1, os.getpid())
        ]
        if not found:
            return []
        time.sleep(0.1)
    return found
