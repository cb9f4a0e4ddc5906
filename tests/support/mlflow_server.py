"""A real ``mlflow server`` on this machine behind a door that asks for a user and a password."""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx

USER, PASSWORD = "trainer", "not-for-logs-7c41f7cd"
CREDENTIALS = {"MLFLOW_TRACKING_USERNAME": USER, "MLFLOW_TRACKING_PASSWORD": PASSWORD}
SECONDS = 180.0
"""How long it may take to start on a machine that does other work as well."""


@dataclass
class TrackingServer:
    """``uri`` asks for the credentials, ``inside`` for none. ``requests``: methods and paths that came by ``uri``."""

    uri: str
    inside: str
    requests: list[str] = field(default_factory=list)


def _door(server: TrackingServer) -> type[BaseHTTPRequestHandler]:
    expected = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

    class Door(BaseHTTPRequestHandler):
        def respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.headers.get("Authorization") != expected:
                self._answer(401, b"<html>who are you?</html>", "text/html")
                return
            server.requests.append(f"{self.command} {self.path.split('?')[0]}")
            kind = {"Content-Type": self.headers.get("Content-Type", "application/json")}
            found = httpx.request(self.command, server.inside + self.path, content=body, headers=kind, timeout=60.0)
            self._answer(found.status_code, found.content, found.headers["Content-Type"])

        def _answer(self, status: int, content: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def __getattr__(self, name: str) -> Callable[[], None]:
            if name.startswith("do_"):
                return self.respond
            raise AttributeError(name)

        def log_message(self, *arguments: object) -> None:
            """Stay silent."""

    return Door


@contextmanager
def serve_mlflow(folder: Path) -> Iterator[TrackingServer]:
    """Yield a server whose database lies in ``folder``."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    inside = f"http://127.0.0.1:{port}"
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{folder / 'server.db'}", "--no-serve-artifacts",
    ]  # fmt: skip
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONWARNINGS": "ignore"}
    with (
        (folder / "server.log").open("w") as log,
        subprocess.Popen(
            command, stdout=log, stderr=log, cwd=folder, env=environment, start_new_session=True
        ) as process,
    ):
        try:
            _wait(inside, process, folder / "server.log")
            found = TrackingServer("", inside)
            door = ThreadingHTTPServer(("127.0.0.1", 0), _door(found))
            door.daemon_threads = True
            found.uri = f"http://127.0.0.1:{door.server_address[1]}"
            threading.Thread(target=door.serve_forever, args=(0.05,), daemon=True).start()
            yield found
            door.shutdown()
            door.server_close()
        finally:
            os.killpg(process.pid, 15)  # its workers too


def _wait(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while True:
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()[-3000:]
        try:
            if httpx.get(f"{address}/health", timeout=5.0).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.2)
