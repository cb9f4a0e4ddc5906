"""The gateway as an aiohttp application: routes, refusals in one shape, health."""

from __future__ import annotations

import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from aiohttp import web

from pipeline.service.gateway.access import Access
from pipeline.service.gateway.exchange import Path
from pipeline.service.gateway.refused import Refused
from pipeline.service.gateway.relay import Relay
from schemas.api import Health, ModelList, ModelObject

MAX_BODY_BYTES: Final = 4 << 20
"""As the service has it."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_log = logging.getLogger(__name__)

_PATHS: Final[tuple[Path, ...]] = ("chat/completions", "completions", "embeddings")


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


def gateway_app(relay: Relay, access: Access, ready: Callable[[], bool] = lambda: True) -> web.Application:
    """Return the application.

    Args:
        relay: answers requests to models.
        access: tells who asks.
        ready: whether what it needs is there.
    """
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    for path in _PATHS:
        app.router.add_post(f"/v1/{path}", answered(_to(relay, path)))

    async def models(request: web.Request) -> web.StreamResponse:
        await access.caller(request.headers.get("Authorization"), "infer")
        table = relay.table()
        names = [*table.champions, *table.versions]
        found = tuple(ModelObject(id=name, created=0, owned_by="hone") for name in names)
        return web.json_response(text=ModelList(data=found).model_dump_json())

    async def healthz(_request: web.Request) -> web.StreamResponse:
        return web.json_response(text=Health(status="ok").model_dump_json())

    async def readyz(_request: web.Request) -> web.StreamResponse:
        if not ready():
            raise Refused(503, "The store does not answer", headers={"Retry-After": "5"})
        return web.json_response(text=Health(status="ready").model_dump_json())

    async def nothing(request: web.Request) -> web.StreamResponse:
        raise Refused(404, f"Invalid URL ({request.method} {request.path[:200]})")

    async def close(_app: web.Application) -> AsyncIterator[None]:
        yield
        await relay.close()

    app.router.add_get("/v1/models", answered(models))
    app.router.add_get("/healthz", answered(healthz))
    app.router.add_get("/readyz", answered(readyz))
    app.router.add_route("*", "/{rest:.*}", answered(nothing))
    app.cleanup_ctx.append(close)
    return app


def _to(relay: Relay, path: Path) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return await relay.handle(request, path)

    return handle
