"""Web functions and servers at their addresses: start on request, keys, streaming, readiness, scaling to zero."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import httpx
import pytest

from tests.modal_plane.conftest import Write
from tests.modal_plane.server import Plane

pytestmark = pytest.mark.modal


@pytest.fixture
def port() -> int:
    """Return a port that is free now: containers share the machine's network."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


WEB = """
    import os, modal

    app = modal.App("web")

    @app.function(secrets=[modal.Secret.from_name("keys")])
    @modal.asgi_app()
    def asgi():
        async def answer(scope, receive, send):
            if scope["type"] == "lifespan":
                raise RuntimeError("no lifespan")
            body = (await receive())["body"]
            start = {"type": "http.response.start", "status": 202, "headers": [(b"x-path", scope["path"].encode())]}
            await send(start)
            for piece in (body, b" ", os.environ["TOKEN"].encode()):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body"})
        return answer

    @app.function()
    @modal.fastapi_endpoint(method="POST", requires_proxy_auth=True)
    def hook(data: dict):
        return {"next": data["n"] + 1}

    @app.function()
    @modal.fastapi_endpoint()
    def broken():
        raise OSError("not for the caller")
"""


def test_web_functions_answer_at_their_addresses(start_plane: Callable[..., Plane], write: Write) -> None:
    plane = start_plane(secrets={"keys": {"TOKEN": "open sesame"}})
    done = plane.modal("deploy", str(write(WEB)))
    assert done.returncode == 0, done.stdout
    functions = plane.functions
    assert functions["asgi"].url in done.stdout

    answer = httpx.post(functions["asgi"].url + "/some/path?q=1", content=b"x" * 3_000_000, timeout=30)
    assert (answer.status_code, answer.headers["x-path"]) == (202, "/some/path")
    assert answer.content == b"x" * 3_000_000 + b" open sesame"

    url = functions["hook"].url
    assert httpx.post(url, json={"n": 1}).status_code == 401
    assert httpx.post(url, json={"n": 1}, headers=plane.proxy_headers, timeout=30).json() == {"next": 2}
    assert httpx.post(url, json=[], headers=plane.proxy_headers, timeout=30).status_code == 422
    assert httpx.get(functions["broken"].url, timeout=30).status_code == 500
    assert plane.modal("app", "stop", "web", "--yes").returncode == 0
    with pytest.raises(httpx.TransportError):
        for _ in range(100):
            httpx.get(functions["broken"].url)
            time.sleep(0.1)


SERVER = """
    import json, subprocess, sys, threading, time, urllib.request
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    import modal

    app = modal.App("servers")

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            for part in range(3):
                self.wfile.write(f"part {{part}}\\n".encode())
                self.wfile.flush()
                time.sleep(0.2)

    @app.server(port={port}, unauthenticated={open}, startup_timeout=30, exit_grace_period=1, scaledown_window=2)
    class Engine:
        @modal.enter()
        def start(self):
            self.server = ThreadingHTTPServer(("0.0.0.0", {port}), Answer)
            threading.Thread(target=self.server.serve_forever, daemon=True).start()

        @modal.exit()
        def stop(self):
            print("drained", flush=True)
            self.server.shutdown()
"""


def test_a_server_starts_on_request_streams_and_scales_to_zero(modal_plane: Plane, write: Write, port: int) -> None:
    done = modal_plane.modal("deploy", str(write(SERVER.format(port=port, open=True))))
    assert done.returncode == 0, done.stdout
    engine = modal_plane.functions["Engine"]
    assert modal_plane.running == []
    with httpx.stream("GET", engine.url, timeout=30) as answer:
        pieces = [(time.monotonic(), piece) for piece in answer.iter_bytes()]
    assert b"".join(piece for _, piece in pieces) == b"part 0\npart 1\npart 2\n"
    assert pieces[-1][0] - pieces[0][0] > 0.3  # passed on as it came
    (container,) = modal_plane.containers
    deadline = time.monotonic() + 15
    while not container.ended and time.monotonic() < deadline:
        time.sleep(0.1)
    assert container.status == 0
    assert "drained" in modal_plane.app("servers").logs.text
    assert httpx.get(engine.url, timeout=30).status_code == 200
    modal_plane.kill(modal_plane.running[0])
    assert httpx.get(engine.url, timeout=30).status_code in (200, 502)
    assert len(modal_plane.containers) in (2, 3)


def test_a_server_wants_the_proxy_token_and_a_port_of_its_own(modal_plane: Plane, write: Write, port: int) -> None:
    assert modal_plane.modal("deploy", str(write(SERVER.format(port=port, open=False)))).returncode == 0
    url = modal_plane.functions["Engine"].url
    assert httpx.get(url).status_code == 401
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("0.0.0.0", port))
        other.listen()
        assert httpx.get(url, headers=modal_plane.proxy_headers, timeout=30).status_code == 503
    assert f"cannot have port {port}" in modal_plane.app("servers").logs.text
    assert httpx.get(url, headers=modal_plane.proxy_headers, timeout=30).status_code == 200


def test_a_web_server_is_reached_through_the_external_interface(modal_plane: Plane, write: Write, port: int) -> None:
    if not any(name == "eth0" for _, name in socket.if_nameindex()):
        pytest.skip("Modal's client asks for the address of eth0, which this machine does not have")
    path = write(f"""
        import subprocess, sys, modal

        app = modal.App("web-server")

        @app.function()
        @modal.web_server({port})
        def listing():
            subprocess.Popen([sys.executable, "-m", "http.server", "{port}", "--directory", "/root"])
    """)
    assert modal_plane.modal("deploy", str(path)).returncode == 0
    assert "subject.py" in httpx.get(modal_plane.functions["listing"].url, timeout=30).text
