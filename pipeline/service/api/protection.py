"""The outermost layer: limits of bodies, headers that every answer has, and no answer with a traceback."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.service.api.errors import Refusal, unforeseen
from pipeline.service.api.rates import Rate
from pipeline.service.api.traffic import UNROUTED, Traffic

MAX_JSON_BYTES: Final = 4 << 20
"""Bytes of a body that is no upload: a run description has at most one MiB, and conversations may be long."""

HEADERS: Final = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
    "strict-transport-security": "max-age=31536000; includeSubDomains",
}

LEFT: Final = 499
"""The status of a request whose sender went away before its answer began, as nginx has it."""

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_LONGEST_LENGTH = 18
"""Digits of a content length that is worth reading as a number."""


class Protection:
    """ASGI middleware.

    Args:
        app: what it protects.
        limit: the most bytes of a body, by method and path.
        traffic: counts what passes.
    """

    def __init__(self, app: ASGIApp, limit: Callable[[str, str], int], traffic: Traffic) -> None:
        self._app = app
        self._limit = limit
        self._traffic = traffic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope = {**scope, "state": dict(scope.get("state", {}))}
        exchange = _Exchange(receive, send, self._limit(scope["method"], scope["path"]), scope)
        began = time.perf_counter()
        stated = Headers(scope=scope).get("content-length", "")
        try:
            if stated.isdecimal() and (len(stated) > _LONGEST_LENGTH or int(stated) > exchange.limit):
                raise exchange.too_large()
            await self._app(scope, exchange.receive, exchange.send)
        except Refusal as refused:
            await exchange.refuse(refused, scope)
        except Exception as error:  # noqa: BLE001 - the boundary: nothing of it reaches the sender
            await exchange.refuse(unforeseen(error), scope)
        finally:
            route = getattr(scope.get("route"), "path", UNROUTED)
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._traffic.note(method, route, exchange.status, time.perf_counter() - began)


class _Exchange:
    """One request and its answer."""

    def __init__(self, receive: Receive, send: Send, limit: int, scope: Scope) -> None:
        self._receive, self._send = receive, send
        self._scope = scope
        self.limit = limit
        self.status = LEFT
        self._read = 0
        self._answered = False

    async def receive(self) -> Message:
        """Pass the body on as far as it may go."""
        message = await self._receive()
        self._read += len(message.get("body", b""))
        if self._read > self.limit:
            raise self.too_large()
        return message

    async def send(self, message: Message) -> None:
        """Pass the answer on with the headers that all have."""
        if message["type"] == "http.response.start":
            self._answered = True
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            rate: Rate | None = self._scope["state"].get("rate")
            headers.update({} if rate is None else rate.headers())
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers["x-request-id"] = f"req_{uuid4().hex}"
        await self._send(message)

    def too_large(self) -> Refusal:
        """Return the refusal of a body that is too large; the connection ends, or its rest would be read as well."""
        message = f"The body has more than {self.limit} bytes"
        return Refusal(413, message, code="too_large", headers={"Connection": "close"})

    async def refuse(self, refused: Refusal, scope: Scope) -> None:
        """Answer with a refusal, unless an answer has begun: then the connection breaks off."""
        if self._answered:
            raise refused
        await refused.answer()(scope, self._receive, self.send)
