"""An OpenAI-compatible engine over real sockets whose models do what a test says, and the gateway before it."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from sqlalchemy import text

from pipeline.monitor.partitions import FOLDER
from pipeline.service.api.keys import Keyring, create_key
from pipeline.service.api.rates import Rates
from pipeline.service.gateway.access import Access
from pipeline.service.gateway.app import MAX_BODY_BYTES, RELAY, add_models, answered, gateway_app, nothing
from pipeline.service.gateway.catalogue import Catalogue
from pipeline.service.gateway.exchange import Exchange
from pipeline.service.gateway.relay import Relay
from pipeline.service.gateway.table import Served, Table, Target
from pipeline.service.gateway.upstream import session
from pipeline.service.store.records import Records
from schemas.api import Scope
from schemas.gateway import GatewayConfig
from tests.support.service import database_of


@dataclass
class Model:
    """How a model answers. ``breaks``: the connection ends in the middle of an answer."""

    text: str = "all is well"
    fails: float = 0.0
    status: int = 500
    delay: float = 0.0
    breaks: bool = False
    closes: bool = False


@dataclass
class Engine:
    """An engine. ``asked`` has every request that reached it."""

    models: dict[str, Model] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    adapters: dict[str, str] = field(default_factory=dict)
    unloaded: list[str] = field(default_factory=list)
    seed: int = 0

    def __post_init__(self) -> None:
        self._draws = random.Random(self.seed)
        self._numbers = itertools.count(1)

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self.chat)
        app.router.add_post("/v1/completions", self.chat)
        app.router.add_get("/v1/models", self.list)
        app.router.add_post("/v1/load_lora_adapter", self.load)
        app.router.add_post("/v1/unload_lora_adapter", self.unload)
        return app

    async def list(self, _request: web.Request) -> web.StreamResponse:
        """Name what is loaded, as vLLM does: an adapter's ``root`` is its folder."""
        return web.json_response({"data": [{"id": name, "root": root} for name, root in self.adapters.items()]})

    async def load(self, request: web.Request) -> web.StreamResponse:
        """Read an adapter, whose weights here are a text that it then says; a duplicate is a 400."""
        body = await request.json()
        if body["lora_name"] in self.adapters:
            return web.json_response({"error": {"message": "already loaded"}}, status=400)
        self.adapters[body["lora_name"]] = body["lora_path"]
        text = (Path(body["lora_path"]) / "adapter_model.safetensors").read_text()
        self.models[body["lora_name"]] = Model(text)
        return web.Response(text="Success")

    async def unload(self, request: web.Request) -> web.StreamResponse:
        name = (await request.json())["lora_name"]
        self.adapters.pop(name), self.models.pop(name)
        self.unloaded.append(name)
        return web.Response(text="Success")

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.asked.append(body)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        model = self.models.get(body["model"])
        if model is None:
            return web.json_response({"error": {"message": f"no {body['model']}", "type": "NotFound"}}, status=404)
        await asyncio.sleep(model.delay)
        if self._draws.random() < model.fails:
            return web.Response(text="<html>", status=model.status)
        id_ = f"chatcmpl-{next(self._numbers)}"
        if body.get("stream"):
            return await self._stream(request, id_, body["model"], model)
        if model.breaks:
            assert request.transport is not None
            request.transport.close()
        message = {"role": "assistant", "content": model.text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return web.json_response({"id": id_, "object": "chat.completion", "model": body["model"], "choices": [choice]})

    async def _stream(self, request: web.Request, id_: str, name: str, model: Model) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for number, word in enumerate(model.text.split(" ")):
            delta = {"content": word if number == 0 else f" {word}"}
            piece = {"id": id_, "model": name, "choices": [{"index": 0, "delta": delta}]}
            await response.write(f"data: {json.dumps(piece)}\n\n".encode())
            if model.breaks and number == 1:
                assert request.transport is not None
                request.transport.close()
                return response
            await asyncio.sleep(0.001)
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response


@dataclass
class Asking:
    """A gateway before engines, and a client of it."""

    records: Records
    server: TestServer
    client: ClientSession
    headers: dict[str, str]

    async def chat(self, model: str, text: str = "hi", **more: Any) -> tuple[int, dict[str, str], Any]:
        """Ask; return status, headers and body: of a stream, what its events carry."""
        body = {"model": model, "messages": [{"role": "user", "content": text}], **more}
        return await self.post("/v1/chat/completions", body)

    async def get(self, path: str, **headers: str) -> tuple[int, Any]:
        async with self.client.get(self.server.make_url(path), headers={**self.headers, **headers}) as got:
            return got.status, await (got.json() if got.content_type == "application/json" else got.text())

    async def post(self, path: str, body: Any, **headers: str) -> tuple[int, dict[str, str], Any]:
        data = io.BytesIO(body if isinstance(body, bytes) else json.dumps(body).encode())
        async with self.client.post(self.server.make_url(path), data=data, headers={**self.headers, **headers}) as got:
            told = {name.lower(): value for name, value in got.headers.items()}
            text = await got.text()
            if got.content_type == "text/event-stream":
                lines = [line.removeprefix("data: ") for line in text.splitlines() if line]
                return got.status, told, [line if line == "[DONE]" else json.loads(line) for line in lines]
            return got.status, told, json.loads(text)


@dataclass
class Harness(Asking):
    """A gateway that does nothing but relay. ``noted`` has every exchange that ended."""

    relay: Relay
    table: Table
    noted: list[Exchange]


def open_records(root: Path) -> Records:
    """Return records in a folder, or on the server that `POSTGRES` names."""
    (root / "service").mkdir(exist_ok=True)
    return Records.open(database_of(root))


def rows(records: Records, query: str) -> list[tuple[Any, ...]]:
    """Return what a query finds in the gateway's tables."""
    with records.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def key_of(records: Records, *scopes: Scope) -> dict[str, str]:
    """Return the header of a new key."""
    return {"Authorization": f"Bearer {create_key(records.keys, 'test', scopes or ('infer',))[1]}"}


@asynccontextmanager
async def engines(*made: Engine) -> AsyncIterator[list[TestServer]]:
    """Bring engines up."""
    servers = [TestServer(engine.app()) for engine in made]
    for server in servers:
        await server.start_server()
    try:
        yield servers
    finally:
        for server in servers:
            await server.close()


def served(version: str, model: str, *servers: TestServer, **headers: str) -> Served:
    """Return a version at engines."""
    targets = [
        Target(f"engine-{number}", f"http://127.0.0.1:{server.port}/v1", model, headers)
        for number, server in enumerate(servers)
    ]
    return Served(version, tuple(targets))


@asynccontextmanager
async def gateway(root: Path, table: Table) -> AsyncIterator[Harness]:
    """Bring a gateway up that does nothing but relay."""
    records = open_records(root)
    noted: list[Exchange] = []
    async with session() as upstream, ClientSession() as client:
        access = Access(Keyring(records.keys))
        relay = Relay(upstream, access, lambda: harness.table, noted.append)
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app[RELAY] = relay
        add_models(app)
        app.router.add_route("*", "/{rest:.*}", answered(nothing))
        server = TestServer(app)
        await server.start_server(lingering_time=0.1)
        harness = Harness(records, server, client, key_of(records), relay, table, noted)
        try:
            yield harness
        finally:
            await server.close()
            records.close()


@asynccontextmanager
async def whole_gateway(
    root: Path, config: dict[str, Any], catalogue: Catalogue | None = None, rates: Rates | None = None
) -> AsyncIterator[tuple[Asking, dict[str, str]]]:
    """Bring a whole gateway up; yield a client of it, and the header of an admin's key."""
    records = open_records(root)
    async with ClientSession() as client:
        try:
            declared, keyring = GatewayConfig.model_validate(config), Keyring(records.keys)
            app = gateway_app(declared, records, keyring, {}, root / FOLDER, catalogue, rates)
            server = TestServer(app)
            await server.start_server(lingering_time=0.1)
            try:
                yield Asking(records, server, client, key_of(records)), key_of(records, "admin")
            finally:
                await server.close()
        finally:
            records.close()
