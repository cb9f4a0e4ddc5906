"""The webhooks that come in, as an ASGI application: a signed POST starts a run, or brings rows for one, once.

What is refused is refused as early as it can be told: by the headers, by the size while the body is read, by the
signature, by the body's form, and only then by the id, so that a delivery that was never valid takes no id.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from pipeline.core.errors import ConfigError, DataError, HoneError, RegistryError
from pipeline.core.json_text import read_json
from pipeline.core.spec import describe_error
from pipeline.service.deliveries import Deliveries
from pipeline.service.refusal import Refused
from pipeline.service.signature import Verifier, read_signature
from schemas.base import Schema
from schemas.webhook import NewRows, NewRowsAnswer, RetrainAnswer, RetrainRequest, WebhookErrorCode

MAX_BYTES = 8 << 20
"""Bytes that a body may have: about 50,000 short rows. Larger data is uploaded and named."""

PATH = "/v1/webhooks/retrain"
DATA_PATH = "/v1/webhooks/data"

Start = Callable[[RetrainRequest], str]
"""Prepares and starts the retraining that a request asks for and returns its run's id; the run goes on elsewhere."""

Accept = Callable[[NewRows, str], NewRowsAnswer]
"""Keeps the rows of a delivery, by its id, until they are enough for a run."""

T = TypeVar("T", bound=Schema)

_SENDERS = (ConfigError, DataError, RegistryError)
"""Errors that are in what was asked for: trying again does not help."""

_LONGEST_LENGTH = 18
"""Digits of a content length that is worth reading as a number."""

_SHOWN_ERRORS = 5
_SHOWN_CHARACTERS = 300

_log = logging.getLogger(__name__)


def webhook_app(secret: str, start: Start, deliveries: Deliveries, *, max_bytes: int = MAX_BYTES) -> FastAPI:
    """Return the application: ``POST /v1/webhooks/retrain`` and ``GET /healthz``.

    Args:
        secret: ``whsec_`` and base64 of at least 24 random bytes.
        start: called in a thread, for one request at a time per id.
        deliveries: remembers ids; shared by all processes that answer under one address.
        max_bytes: the most that a body may have.

    Raises:
        ConfigError: the secret is weak.
    """
    app = FastAPI(title="hone", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    add_webhook(app, secret, start, deliveries, max_bytes=max_bytes)
    app.add_api_route("/healthz", _healthz, methods=["GET"])
    app.add_exception_handler(HTTPException, _no_such_route)
    return app


def add_webhook(
    app: FastAPI,
    secret: str,
    start: Start,
    deliveries: Deliveries,
    *,
    accept: Accept | None = None,
    max_bytes: int = MAX_BYTES,
) -> None:
    """Add the routes to an application; see `webhook_app`. Where nobody accepts rows, there is no route for them."""
    verifier = Verifier(secret)

    def retrain(asked: RetrainRequest, delivery: str) -> RetrainAnswer:
        run = start(asked)
        _log.info("delivery %s started run %s", delivery, run)
        return RetrainAnswer(run=run)

    receiver = _Receiver(verifier, RetrainRequest, retrain, deliveries, max_bytes)
    app.add_api_route(PATH, receiver.receive, methods=["POST"], include_in_schema=False)
    if accept is not None:
        rows = _Receiver(verifier, NewRows, accept, deliveries, max_bytes)
        app.add_api_route(DATA_PATH, rows.receive, methods=["POST"], include_in_schema=False)


async def _healthz() -> JSONResponse:
    return JSONResponse({"status": "ok"})


async def _no_such_route(_request: Request, error: Exception) -> JSONResponse:
    """Answer what the router refuses in the form of all errors here."""
    if isinstance(error, HTTPException) and error.status_code == 405:
        return Refused("method", "this path does not take that method", fix=f"POST to {PATH}").answer()
    return Refused("not_found", "there is nothing at this path", fix=f"POST to {PATH}").answer()


@dataclass(frozen=True)
class _Receiver(Generic[T]):
    """One route: bodies are of ``kind``, and ``take`` does what one asks for, given the delivery's id."""

    verifier: Verifier = field(repr=False)
    kind: type[T]
    take: Callable[[T, str], Schema]
    deliveries: Deliveries
    max_bytes: int

    async def receive(self, request: Request) -> JSONResponse:
        """Answer one delivery."""
        try:
            signed = read_signature(request.headers, time.time())
            body = await self._read(request)
            text = self.verifier.verify(body, signed)
            done = await run_in_threadpool(self._take, signed.id, text)
        except Refused as refused:
            _log.warning("a delivery is refused: %s", refused.error.code)
            return refused.answer()
        except ClientDisconnect:
            return Refused("malformed", "the body ended early", where="the body").answer()
        return JSONResponse(done.model_dump(mode="json"), 202)

    async def _read(self, request: Request) -> bytes:
        """Return the body; reading stops where it has more than may be."""
        stated = request.headers.get("content-length", "")
        if stated.isdecimal() and (len(stated) > _LONGEST_LENGTH or int(stated) > self.max_bytes):
            raise self._too_large()
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > self.max_bytes:
                raise self._too_large()
        return bytes(body)

    def _too_large(self) -> Refused:
        return Refused(
            "too_large",
            f"the body has more than {self.max_bytes} bytes",
            where="the body",
            fix="upload the rows and name them in data.path" if self.kind is RetrainRequest else "send fewer at once",
        )

    def _take(self, delivery: str, text: str) -> Schema:
        """Do what a signed body asks for, unless its id was taken; return the answer."""
        asked = parse_body(text, self.kind)
        try:
            taken = self.deliveries.claim(delivery, time.time())
        except Exception as error:
            raise _failed(delivery, error) from error
        if not taken:
            raise Refused(
                "repeated",
                "a delivery with this id was taken before",
                where="webhook-id",
                fix="none is needed; another delivery needs another id",
            )
        try:
            done = self.take(asked, delivery)
        except Exception as error:
            self._note(delivery, lambda: self.deliveries.release(delivery))
            raise error if isinstance(error, Refused) else _failed(delivery, error) from error
        self._note(delivery, lambda: self.deliveries.settle(delivery, time.time()))
        return done

    def _note(self, delivery: str, write: Callable[[], None]) -> None:
        """Write down how a delivery went; where that fails its claim ends by itself, and the answer stays."""
        try:
            write()
        except Exception as error:  # noqa: BLE001 - whatever the store raises
            _log.error("what became of delivery %s could not be kept: %s", delivery, _told(error))


def parse_body(text: str, kind: type[T]) -> T:
    """Return the request that a body holds.

    Raises:
        Refused: it is no JSON (``malformed``), or not such a request (``invalid``, with the path of the first key).
    """
    try:
        read_json(text)
    except ValueError as error:
        raise Refused("malformed", f"not JSON: {error}", where="the body") from None
    try:
        return kind.model_validate_json(text, strict=True)
    except ValidationError as error:
        items = error.errors(include_url=False)
    if any(item["type"] == "json_invalid" for item in items):  # half a surrogate pair: no text that could be written
        raise Refused("malformed", "not JSON: a string holds an escape that is no character", where="the body")
    lines = [describe_error(dict(item), kind)[:_SHOWN_CHARACTERS] for item in items[:_SHOWN_ERRORS]]
    more = [f"and {len(items) - _SHOWN_ERRORS} more"] if len(items) > _SHOWN_ERRORS else []
    message = "; ".join([*lines, *more]).removeprefix("the description: ")
    where = ".".join(str(part) for part in items[0]["loc"])[:_SHOWN_CHARACTERS] or "the body"
    raise Refused("invalid", message, where=where, fix="see docs/webhook.md for the body's keys")


def _failed(delivery: str, error: Exception) -> Refused:
    """Return the refusal for what could not be started; only errors that were written for people are shown."""
    _log.error("delivery %s could not be started: %s", delivery, _told(error))
    if not isinstance(error, HoneError):
        return Refused("unavailable", "the run could not be started", fix="send the delivery again later")
    code: WebhookErrorCode = "invalid" if isinstance(error, _SENDERS) else "unavailable"
    return Refused(code, error.message, where=error.where, fix=error.fix)


def _told(error: Exception) -> str:
    """Return what a log may say of an error: the message of another library's may hold anything, its place does not."""
    if isinstance(error, HoneError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} at {frames[-1].filename}:{frames[-1].lineno}" if frames else type(error).__name__
