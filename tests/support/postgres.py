"""A PostgreSQL server of Debian's package on loopback, for as long as a test needs it."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.serve.process import free_port

DRIVER = "psycopg"


def _program(name: str) -> str:
    found = shutil.which(name) or next(
        (str(path) for path in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)), None
    )
    if found is None:
        pytest.skip(f"PostgreSQL is not installed: there is no {name} (apt-get install postgresql)")
    return found


@contextmanager
def postgres() -> Iterator[str]:
    """Yield the address of a new server, without a database. Skips where server or driver are missing."""
    if importlib.util.find_spec(DRIVER) is None:
        pytest.skip(f"the driver {DRIVER} is not installed: pip install {DRIVER}[binary]")
    initdb, server = _program("initdb"), _program("postgres")
    user = "postgres" if os.geteuid() == 0 else None  # the server refuses to be root's
    with tempfile.TemporaryDirectory(prefix="hone-postgres-") as name:
        folder, port = Path(name), free_port()
        if user is not None:
            os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
        data = folder / "data"
        made = [initdb, "-D", str(data), "-U", "hone", "--auth=trust", "--no-sync"]
        subprocess.run(made, check=True, capture_output=True, user=user, cwd=folder)
        options = ["-D", str(data), "-h", "127.0.0.1", "-p", str(port), "-k", str(folder)]
        with (folder / "log").open("w") as log:
            process = subprocess.Popen([server, *options], stdout=log, stderr=log, user=user, cwd=folder)
        try:
            _wait(process, port, user)
            yield f"postgresql+psycopg://hone@127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGINT)  # its fast shutdown, which writes all databases out
            process.wait(120)


def _wait(process: subprocess.Popen[bytes], port: int, user: str | None) -> None:
    ready = [_program("pg_isready"), "-h", "127.0.0.1", "-p", str(port), "-t", "30"]
    for _ in range(100):
        assert process.poll() is None, "the server ended"
        if subprocess.run(ready, capture_output=True, check=False, user=user, cwd="/").returncode == 0:
            return
        time.sleep(0.1)
    raise AssertionError("the server does not answer")
