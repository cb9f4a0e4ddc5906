"""`hone service` in a process of its own, and OpenAI's own client in front of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from local_runner.service import open_records
from pipeline.service.api.keys import create_key
from tests.support.processes import wait_until_gone

ANSWER_SECONDS = 240.0
"""The first question to a model waits for its engine, on a busy machine too."""


@dataclass
class LiveService:
    """A service over ``root``; after `kill` it can be started again, elsewhere."""

    root: Path
    process: subprocess.Popen[str] | None = None
    base_url: str = ""
    key: str = ""
    starts: int = 0
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        self.log = self.root.parent / "service.log"
        records = open_records(self.root, None)
        self.key = create_key(records.keys, "test", ("train", "infer"))[1]
        records.close()

    def start(self) -> Any:
        """Start it, and return a client."""
        hone = [sys.executable, "-m", "local_runner.main", "service"]
        command = [*hone, "-w", str(self.root), "--port", "0", "--engine", "transformers", "--json"]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=os.environ)
        assert self.process.stdout is not None
        told = "".join(iter(self.process.stdout.readline, "}\n")) + "}"
        self.base_url = json.loads(told)["base_url"]
        self.starts += 1
        return self.client()

    def client(self) -> Any:
        from openai import OpenAI

        return OpenAI(base_url=self.base_url, api_key=self.key, max_retries=0, timeout=ANSWER_SECONDS)

    def kill(self) -> None:
        """End it as the kernel would, and see that nothing of it lives on."""
        assert self.process is not None
        children = [child.pid for child in psutil.Process(self.process.pid).children(recursive=True)]
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self._close()
        wait_until_gone(children)

    def stop(self) -> int:
        """Ask it to end, and return its exit code."""
        assert self.process is not None
        self.process.terminate()
        code = self.process.wait(90)
        self._close()
        return code

    def _close(self) -> None:
        assert self.process is not None and self.process.stdout is not None
        self.process.stdout.close()
        self.process = None


@contextmanager
def live_service(root: Path) -> Iterator[LiveService]:
    """Yield a service that is not started yet; it is gone at the end."""
    service = LiveService(root)
    try:
        yield service
    finally:
        if service.process is not None:
            service.kill()


def wait_for(found: Callable[[], bool], what: str, seconds: float = 240.0) -> None:
    """Return when ``found`` answers true."""
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline, f"no {what} within {seconds:.0f} s"
        time.sleep(0.1)
