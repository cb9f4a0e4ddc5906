"""The service as an application in this process: its store and shelf are real, and nobody works on accepted jobs."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import create_engine, text
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.testclient import TestClient

from pipeline.core.errors import Cancelled, ConfigError, HoneError, RegistryError
from pipeline.service.api.keys import Keyring, create_key
from pipeline.service.app import Parts, service_app
from pipeline.service.files.shelf import Shelf
from pipeline.service.jobs.supervisor import Supervisor
from pipeline.service.models.engines import Lent, Registered, Target
from pipeline.service.store.database import sqlite_url
from pipeline.service.store.records import Records
from schemas.api import Scope
from schemas.job import JobMessage, JobOrder, JobResult

MAX_FILE_BYTES = 200_000

POSTGRES = "HONE_TEST_POSTGRES"
"""The variable with the address of a PostgreSQL server, without a database, on which these tests run as well."""

ROWS = b'{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]}\n'


@dataclass
class Script:
    """A runner that does what a test says; what it was asked is kept. By default it waits until it is stopped."""

    does: Callable[[JobOrder, Callable[[JobMessage], None], Callable[[], bool]], JobResult] | None = None

    def __post_init__(self) -> None:
        self.asked: list[JobOrder] = []

    def carry_out(self, order: JobOrder, tell: Callable[[JobMessage], None], stopped: Callable[[], bool]) -> JobResult:
        self.asked.append(order)
        return (self.does or wait_for_stop)(order, tell, stopped)


def wait_for_stop(order: JobOrder, tell: Callable[[JobMessage], None], stopped: Callable[[], bool]) -> JobResult:
    while not stopped():
        time.sleep(0.01)
    return JobResult(error=Cancelled("stopped").record())


class Echo:
    """Engines that all lead to one small application in this process; what was lent is kept."""

    def __init__(self) -> None:
        self.versions = [Registered("triage@1", ()), Registered("triage@2", ("champion", "candidate"))]
        self.lent: list[Lent] = []
        self.asked: list[Target] = []
        self.error: HoneError | None = None
        self.closed = False

    def registered(self) -> list[Registered]:
        return self.versions

    def lend(self, target: Target) -> Lent:
        self.asked.append(target)
        if self.error is not None:
            raise self.error
        if target.version not in ("triage", "triage@1", "triage@2", "triage@champion"):
            raise RegistryError("no such version")
        self.lent.append(Lent("http://engine/v1", "served", "triage@2"))
        return self.lent[-1]

    def give_back(self, lent: Lent) -> None:
        self.lent.remove(lent)

    def close(self) -> None:
        self.closed = True


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer as an engine would: with what was asked, streamed or not, or with an error of one of several shapes."""
    request = Request(scope, receive)
    asked = await request.json()
    last = asked["messages"][-1]["content"] if "messages" in asked else asked.get("prompt", asked.get("input"))
    if asked.get("stream"):
        pieces = [f"data: {json.dumps({'said': letter})}\n\n" for letter in last] + ["data: [DONE]\n\n"]
        answer: Response = StreamingResponse(iter(pieces), media_type="text/event-stream")
    elif last == "no such path":
        answer = JSONResponse({"detail": "Not Found"}, 404)
    elif last == "too long":
        answer = JSONResponse({"error": {"message": "context", "type": "x", "param": None, "code": 400}}, 400)
    elif last == "odd":
        answer = JSONResponse({"detail": "no such thing"}, 422)
    elif last == "broken":
        answer = Response("<html>", 500)
    else:
        answer = JSONResponse({"path": request.url.path, "asked": asked})
    await answer(scope, receive, send)


def database_of(root: Path) -> str:
    """Return the address of a folder's database: SQLite there, or one on the server that `POSTGRES` names."""
    server = os.environ.get(POSTGRES)
    if server is None:
        return sqlite_url(root / "service" / "service.db")
    name = f"hone_{hashlib.sha256(str(root).encode()).hexdigest()[:16]}"
    engine = create_engine(f"{server}/postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        if connection.execute(text(f"SELECT 1 FROM pg_database WHERE datname = '{name}'")).scalar() is None:
            connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return f"{server}/{name}"


class Service:
    """The application over a folder; opened again, it finds what was there."""

    def __init__(
        self, root: Path, runner: Script | None = None, operator: str | None = None, told: Sequence[str] = ()
    ) -> None:
        self.root = root
        (root / "service").mkdir(parents=True, exist_ok=True)
        self.records = Records.open(database_of(root), told)
        self.shelf = Shelf(root / "service" / "files").open()
        self.runner = runner or Script()
        self.supervisor = Supervisor(self.records, self.shelf, self.runner, root, "acme")
        try:
            self.keyring = Keyring(self.records.keys, operator)
        except ConfigError:
            self.records.close()
            raise
        self.engines = Echo()
        transport = httpx.ASGITransport(echo)
        self.parts = Parts(
            self.records, self.shelf, self.keyring, self.supervisor, self.engines, MAX_FILE_BYTES, transport
        )
        self.app = service_app(self.parts)

    def key(self, *scopes: Scope) -> str:
        return create_key(self.records.keys, "test", scopes or ("train", "infer"))[1]

    def client(self, key: str | None = None) -> TestClient:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return TestClient(self.app, base_url="http://hone", headers=headers, raise_server_exceptions=False)

    def close(self) -> None:
        self.supervisor.stop()
        self.records.close()


def upload(client: TestClient, content: bytes = ROWS, name: str = "rows.jsonl", **fields: str) -> Any:
    """Upload a file and return the answer."""
    return client.post("/v1/files", files={"file": (name, content)}, data={"purpose": "fine-tune", **fields})


def order(client: TestClient, **changes: Any) -> Any:
    """Upload rows, order a job on them, and return the answer."""
    file = upload(client).json()["id"]
    return client.post("/v1/fine_tuning/jobs", json={"model": "hone:tiny", "training_file": file, **changes})


def told(client: TestClient, job: str) -> list[str]:
    """Return the messages of a job's events, the oldest first."""
    found = client.get(f"/v1/fine_tuning/jobs/{job}/events", params={"limit": 100}).json()["data"]
    return [event["message"] for event in reversed(found)]


def streamed(text: str) -> list[Any]:
    """Return what server-sent events carry."""
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]
