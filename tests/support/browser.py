"""Headless Chromium, driven through chromedriver by the WebDriver protocol (W3C Recommendation, 2018)."""

from __future__ import annotations

import base64
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-color-profile=srgb",
)


def missing() -> list[str]:
    """Return which of Debian's two programs this machine does not have."""
    return [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]


@dataclass(frozen=True)
class Page:
    """A loaded page in a window of a given width."""

    client: httpx.Client
    session: str

    def run(self, script: str) -> Any:
        """Return what the body of a JavaScript function returns."""
        return self._post("execute/sync", {"script": script, "args": []})

    def devtools(self, command: str, **parameters: Any) -> Any:
        """Carry out a command of Chromium's DevTools protocol."""
        return self._post("goog/cdp/execute", {"cmd": command, "params": parameters})

    def show(self, path: Path, width: int, *, dark: bool = False, media: str = "screen") -> None:
        """Load a file in a window ``width`` CSS pixels wide, as a phone of that width would."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.devtools("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self.devtools(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
        )
        self._post("url", {"url": path.absolute().as_uri()})

    def picture(self) -> bytes:
        """Return what the window shows, as PNG."""
        return base64.b64decode(self.devtools("Page.captureScreenshot", format="png")["data"])

    def _post(self, command: str, body: dict[str, Any]) -> Any:
        answer = self.client.post(f"/session/{self.session}/{command}", json=body)
        value = answer.json()["value"]
        assert answer.is_success, value
        return value


@contextmanager
def open_browser(folder: Path) -> Iterator[Page]:
    """Yield a browser with a fresh profile in ``folder``."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    driver = subprocess.Popen(
        ["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60.0, trust_env=False) as client:
            _wait(client, driver)
            arguments = [*_FLAGS, f"--user-data-dir={folder / 'profile'}"]
            wanted = {"alwaysMatch": {"goog:chromeOptions": {"args": arguments}}}
            answer = client.post("/session", json={"capabilities": wanted}).json()["value"]
            assert "sessionId" in answer, answer
            yield Page(client, answer["sessionId"])
            client.delete(f"/session/{answer['sessionId']}")
    finally:
        driver.terminate()
        driver.wait()


def _wait(client: httpx.Client, driver: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30.0
    while time.monotonic() < deadline:
        assert driver.poll() is None, "chromedriver ended"
        try:
            if client.get("/status").json()["value"]["ready"]:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError("chromedriver was not ready in 30 s")
