"""The service as an ASGI application: what every runner hosts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import PlainTextResponse, Response
from sqlalchemy.exc import SQLAlchemyError

from pipeline.core.version import CODE_VERSION
from pipeline.service.api.access import Door
from pipeline.service.api.described import answers
from pipeline.service.api.errors import Refusal, add_handlers
from pipeline.service.api.exposition import CONTENT_TYPE
from pipeline.service.api.keys import Keyring
from pipeline.service.api.protection import MAX_JSON_BYTES, Protection
from pipeline.service.api.rates import Rates
from pipeline.service.api.traffic import Traffic
from pipeline.service.files.multipart import MAX_FIELD_BYTES
from pipeline.service.files.routes import expire, file_routes
from pipeline.service.files.shelf import Shelf
from pipeline.service.jobs.routes import job_routes
from pipeline.service.jobs.supervisor import Supervisor
from pipeline.service.metrics import exposition
from pipeline.service.models.engines import Engines
from pipeline.service.models.relay import upstream
from pipeline.service.models.routes import model_routes
from pipeline.service.outgoing.courier import Courier
from pipeline.service.retraining.gatherer import Gatherer
from pipeline.service.store.deliveries import DeliveryStore
from pipeline.service.store.records import Records
from pipeline.service.webhook import DATA_PATH, MAX_BYTES, PATH, Accept, Start, add_webhook
from schemas.api import Health

DEFAULT_MAX_FILE_BYTES = 512 << 20
"""As OpenAI has it."""

_FORM_BYTES = 2 * MAX_FIELD_BYTES
"""What a form has besides its file."""


@dataclass(frozen=True)
class Webhook:
    """The webhooks that come in: the secret that deliveries are signed with, and what starts a retraining.

    With ``accept`` and ``gatherer`` rows may come that wait for one.
    """

    secret: str = field(repr=False)
    start: Start
    accept: Accept | None = None
    gatherer: Gatherer | None = None


@dataclass(frozen=True)
class Parts:
    """What the application is made of. The supervisor, the courier and the engines end with it.

    Without ``webhook`` there is none, and without ``courier`` no webhooks are sent. ``transport`` is how engines are
    reached, where it is not by their addresses. ``rates``: how often keys may ask.
    """

    records: Records
    shelf: Shelf
    keyring: Keyring
    supervisor: Supervisor
    engines: Engines
    max_file_bytes: int = DEFAULT_MAX_FILE_BYTES
    transport: httpx.AsyncBaseTransport | None = None
    webhook: Webhook | None = None
    courier: Courier | None = None
    rates: Rates = field(default_factory=Rates)


class _Described(FastAPI):
    """Describes its routes as they answer: what does not fit is a 400 here, not FastAPI's 422."""

    def openapi(self) -> dict[str, Any]:
        """Return the description, made when it is first asked for."""
        if self.openapi_schema is None:
            described = super().openapi()
            for operations in described["paths"].values():
                for operation in operations.values():
                    operation["responses"].pop("422", None)
            for name in ("HTTPValidationError", "ValidationError"):
                described["components"]["schemas"].pop(name, None)
        return super().openapi()


def service_app(parts: Parts) -> FastAPI:
    """Return the application."""
    client, traffic, door = upstream(parts.transport), Traffic(), Door(parts.keyring, parts.rates)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(_open, parts)
        yield
        await client.aclose()
        await run_in_threadpool(_close, parts)

    app = _Described(
        title="hone",
        version=CODE_VERSION,
        summary="Fine-tuning in OpenAI's shapes",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.include_router(file_routes(parts.records, parts.shelf, door, parts.max_file_bytes))
    organization, wake = parts.supervisor.organization, parts.supervisor.wake
    app.include_router(job_routes(parts.records, door, organization, wake))
    app.include_router(model_routes(parts.records, parts.engines, door, organization, client))
    if parts.webhook is not None:
        deliveries = DeliveryStore(parts.records.engine)
        add_webhook(app, parts.webhook.secret, parts.webhook.start, deliveries, accept=parts.webhook.accept)
    _add_health(app, parts.records, traffic)
    add_handlers(app)
    app.add_middleware(Protection, limit=_limit(parts.max_file_bytes), traffic=traffic)
    return app


def _open(parts: Parts) -> None:
    parts.shelf.open()
    expire(parts.records, parts.shelf)
    parts.supervisor.start()
    for part in _helpers(parts):
        part.start()


def _close(parts: Parts) -> None:
    parts.supervisor.stop()
    for part in _helpers(parts):
        part.stop()
    parts.engines.close()


def _helpers(parts: Parts) -> list[Courier | Gatherer]:
    gatherer = None if parts.webhook is None else parts.webhook.gatherer
    return [part for part in (gatherer, parts.courier) if part is not None]


def _add_health(app: FastAPI, records: Records, traffic: Traffic) -> None:
    @app.get("/healthz", tags=["health"], operation_id="healthz")
    def healthz() -> Health:
        """Tell that the process answers."""
        return Health(status="ok")

    @app.get("/readyz", tags=["health"], operation_id="readyz", responses={503: answers(503)[503]})
    def readyz() -> Health:
        """Tell whether requests can be carried out: the store answers."""
        try:
            records.ping()
        except SQLAlchemyError:
            raise Refusal(503, "The store does not answer", headers={"Retry-After": "5"}) from None
        return Health(status="ready")

    @app.get("/metrics", tags=["health"], operation_id="metrics", response_class=PlainTextResponse)
    def metrics() -> Response:
        """Tell Prometheus how much is asked, done and waiting."""
        return Response(exposition(records, traffic), media_type=CONTENT_TYPE)


def _limit(max_file_bytes: int) -> Callable[[str, str], int]:
    """Return the most bytes that a body may have, by method and path."""
    upload = max_file_bytes + _FORM_BYTES
    larger = {("POST", "/v1/files"): upload, ("POST", PATH): MAX_BYTES, ("POST", DATA_PATH): MAX_BYTES}
    return lambda method, path: larger.get((method, path), MAX_JSON_BYTES)
