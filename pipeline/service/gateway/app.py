"""The gateway as an aiohttp application: routes, refusals in one shape, health."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

from aiohttp import web

from pipeline.monitor.partitions import Partitions
from pipeline.service.api.keys import Keyring
from pipeline.service.api.rates import Rates
from pipeline.service.gateway.access import Access, tell_rate
from pipeline.service.gateway.adapters import Adapters
from pipeline.service.gateway.catalogue import Catalogue, NoCatalogue
from pipeline.service.gateway.director import Director
from pipeline.service.gateway.exchange import Path as RequestPath
from pipeline.service.gateway.metrics import exposition
from pipeline.service.gateway.opening import begin, make_table
from pipeline.service.gateway.recorder import Recorder
from pipeline.service.gateway.refused import Refused
from pipeline.service.gateway.relay import Relay
from pipeline.service.gateway.remarks import Remarks, said
from pipeline.service.gateway.rollouts import Rollouts
from pipeline.service.gateway.rotation import Rotation
from pipeline.service.gateway.store import GatewayStore
from pipeline.service.gateway.upstream import session
from pipeline.service.store.records import Records
from schemas.api import Health, ModelList, ModelObject
from schemas.gateway import GatewayConfig
from schemas.rollout import RolloutEvent

MAX_BODY_BYTES: Final = 4 << 20
"""As the service has it."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_log = logging.getLogger(__name__)

_PATHS: Final[tuple[RequestPath, ...]] = ("chat/completions", "completions", "embeddings")


def gateway_app(
    config: GatewayConfig,
    records: Records,
    keyring: Keyring,
    secrets: Mapping[str, str],
    captured: Path,
    catalogue: Catalogue | None = None,
    rates: Rates | None = None,
) -> web.Application:
    """Return the application. It lives in one process and one event loop.

    Args:
        config: what it was told.
        records: the service's database, in which the gateway has tables of its own.
        keyring: tells whose a key is.
        secrets: environment variables with the engines' keys.
        captured: the folder of partitions of captured answers.
        catalogue: the registry.
        rates: how often keys may ask.

    Raises:
        ConfigError: see `make_table`.
    """
    catalogue = catalogue or NoCatalogue()
    store = GatewayStore(records.engine, records.outbox)
    rotation = Rotation(store, Partitions(captured), config.capture.retention_days)
    recorder = Recorder(store, config.capture, catalogue, rotation)
    adapters = Adapters()

    def tell(event: RolloutEvent) -> None:
        recorder.tell(event)
        adapters.follow(event)

    director = Director(make_table(config, catalogue, store, secrets), tell)
    recorder.follow(director)
    begin(config, director, store, catalogue)
    access = Access(keyring, rates)
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.on_response_prepare.append(tell_rate)

    async def live(app: web.Application) -> AsyncIterator[None]:
        async with session() as client:
            app[RELAY] = Relay(client, access, lambda: director.table, recorder.note)
            await adapters.open(client, director)
            writing = asyncio.get_running_loop().create_task(recorder.run())
            yield
            await app[RELAY].close()
            await adapters.close()
            recorder.stop()
            await writing
            await recorder.flush()  # what the last batch made the registry say

    app.cleanup_ctx.append(live)
    add_models(app)
    Remarks(access, store, recorder, director, catalogue).add_to(app, answered)
    Rollouts(access, store, recorder, director, catalogue).add_to(app, answered)
    _add_lists(app, access, recorder, director)
    app.router.add_route("*", "/{rest:.*}", answered(nothing))
    return app


RELAY: Final = web.AppKey("relay", Relay)


def answered(handler: Handler) -> Handler:
    """Return a handler whose every failure is answered in OpenAI's shape, and none with a traceback."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except Refused as refused:
            return refused.answer()
        except Exception as error:  # noqa: BLE001 - the boundary: nothing of it reaches the sender
            frame = traceback.extract_tb(error.__traceback__)[-1]
            _log.error("a request failed: %s at %s:%s", type(error).__name__, frame.filename, frame.lineno)
            return Refused(500, "The request could not be carried out. Try again; the gateway's log has more.").answer()

    return handle


def add_models(app: web.Application) -> None:
    """Add the routes that relay; ``app`` gets its `RELAY` when it is live."""
    for path in _PATHS:
        app.router.add_post(f"/v1/{path}", answered(_to(path)))


def _to(path: RequestPath) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return await request.app[RELAY].handle(request, path)

    return handle


def _add_lists(app: web.Application, access: Access, recorder: Recorder, director: Director) -> None:
    async def models(request: web.Request) -> web.StreamResponse:
        await access.caller(request, "infer")
        names = [*director.table.champions, *director.table.versions]
        return said(ModelList(data=tuple(ModelObject(id=name, created=0, owned_by="hone") for name in names)))

    async def healthz(_request: web.Request) -> web.StreamResponse:
        return said(Health(status="ok"))

    async def readyz(_request: web.Request) -> web.StreamResponse:
        if not recorder.is_writing:
            raise Refused(503, "The store does not answer", headers={"Retry-After": "5"})
        return said(Health(status="ready"))

    async def metrics(_request: web.Request) -> web.StreamResponse:
        return web.Response(text=exposition(recorder, director), content_type="text/plain")

    app.router.add_get("/v1/models", answered(models))
    app.router.add_get("/healthz", answered(healthz))
    app.router.add_get("/readyz", answered(readyz))
    app.router.add_get("/metrics", answered(metrics))


async def nothing(request: web.Request) -> web.StreamResponse:
    """Refuse a request that no route takes."""
    raise Refused(404, f"Invalid URL ({request.method} {request.path[:200]})")
