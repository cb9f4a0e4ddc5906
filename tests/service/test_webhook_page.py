"""What docs/webhook.md says to type, typed: against the application behind a real server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn

from local_runner.retraining import MOST_ROWS
from pipeline.core.spec import parse_mapping
from pipeline.service.deliveries import MemoryDeliveries
from pipeline.service.refusal import STATUS
from pipeline.service.retraining.gatherer import LONGEST_QUIETS
from pipeline.service.webhook import MAX_BYTES, PATH, webhook_app
from schemas.retraining import GatherPolicy, RetrainPolicy
from schemas.webhook import OVERRIDABLE, NewRows, RetrainRequest
from tests.service.support import SECRET, Starts, signed

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "webhook.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    """Return the page's code in a language."""
    (code,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(code)


@pytest.fixture(scope="module")
def starts() -> Starts:
    return Starts()


@pytest.fixture(scope="module")
def url(starts: Starts) -> Iterator[str]:
    """Serve the webhook on loopback."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(
            uvicorn.Config(webhook_app(SECRET, starts, MemoryDeliveries()), log_level="error", lifespan="off")
        )
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listening])), daemon=True)
        thread.start()
        deadline = time.monotonic() + 30
        while not server.started:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join(30)


def typed(command: list[str], url: str) -> str:
    environment = {**os.environ, "HONE_WEBHOOK_SECRET": SECRET, "HONE_WEBHOOK_URL": url, "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_python_of_the_page_starts_a_run(url: str, starts: Starts) -> None:
    assert typed([sys.executable, "-c", block("python")], url).startswith("202 ")
    assert starts.asked[-1].rows is not None


def test_the_curl_of_the_page_starts_a_run(url: str, starts: Starts) -> None:
    if missing := [tool for tool in ("bash", "curl", "openssl", "base64", "od") if shutil.which(tool) is None]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    assert '"status":"started"' in typed(["bash", "-euo", "pipefail", "-c", block("bash")], url)
    assert starts.asked[-1].data is not None


def test_a_body_that_never_ends_ends_the_connection(url: str) -> None:
    """The server closes while this side still sends: the answer may be lost on the way, the connection is."""
    deadline = time.monotonic() + 30

    def endless() -> Iterator[bytes]:
        while time.monotonic() < deadline:
            yield b"x" * 65536
        raise AssertionError("the server went on reading")

    with contextlib.suppress(httpx.TransportError):
        assert httpx.post(f"{url}{PATH}", content=endless(), headers=signed("")).status_code == 413
    assert httpx.get(f"{url}/healthz").json() == {"status": "ok"}


def test_the_pages_policy_is_one_with_every_key() -> None:
    policy = RetrainPolicy.model_validate(parse_mapping(block("yaml"), "the page", "policy"))
    assert policy.model_fields_set == set(RetrainPolicy.model_fields)
    assert policy.data.model_fields_set == set(GatherPolicy.model_fields)
    assert f"{MOST_ROWS:,} of a name" in PAGE and LONGEST_QUIETS == 12  # the page says it in a word


def test_the_page_has_every_key_and_every_code() -> None:
    for name in (
        *RetrainRequest.model_fields,
        *NewRows.model_fields,
        *STATUS,
        *map(str, STATUS.values()),
        *OVERRIDABLE,
    ):
        assert f"`{name}`" in PAGE or f" {name} " in PAGE or f" {name}," in PAGE, name
    assert f"{MAX_BYTES >> 20} MiB" in PAGE
