"""A server that speaks just enough of the chat API to test how engines are handled, in a tenth of a second."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from pipeline.core.models import ModelFiles
from pipeline.serve.launch import Places
from pipeline.serve.process import LOOPBACK, free_port
from schemas.serve import LaunchDescription

PARROT = """
import json, os, signal, subprocess, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print("child", child.pid, flush=True)


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        last = request["messages"][-1]["content"]
        if last == "die":
            os.kill(os.getpid(), signal.SIGILL)
            time.sleep(60)
        if last == "slow":
            time.sleep(1.0)
        key = os.environ.get("VLLM_API_KEY")
        status = 401 if key and self.headers.get("Authorization") != f"Bearer {key}" else 200
        body = {"choices": [{"message": {"content": last.upper()}, "finish_reason": "stop"}]}
        if request.get("return_token_ids"):
            body["prompt_token_ids"] = [ord(letter) for letter in last]
        body = {"nothing": "else"} if last == "odd" else body
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
server.daemon_threads = False
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever()
server.server_close()
"""


def parrot(folder: Path, first: str = "hello") -> LaunchDescription:
    """Return a description of a server that answers in capitals; ``die``, ``slow`` and ``odd`` are what they say."""
    (folder / "parrot.py").write_text(PARROT, encoding="utf-8")
    return described("parrot", ["{port}"], {"PYTHONPATH": str(folder)}, first)


def described(
    module: str, arguments: list[str], environment: dict[str, str] | None = None, first: str = "hello"
) -> LaunchDescription:
    return LaunchDescription(
        engine="vllm",
        engine_version="0",
        module=module,
        arguments=tuple(arguments),
        environment=environment or {},
        served_model_name="m",
        adapter=False,
        smoke_request={"model": "m", "messages": [{"role": "user", "content": first}]},
    )


def places(folder: Path, port: int | None = None) -> Places:
    files = ModelFiles(str(folder), None, None, str(folder), False)
    return Places(files, folder, LOOPBACK, port or free_port())


def unchecked() -> None:
    """Never stop."""


PYTHON = sys.executable
Check = Callable[[], None]
