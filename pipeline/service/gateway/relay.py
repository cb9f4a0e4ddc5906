"""A request passes to the engine of the version that its name or a split chose, and its answer back as it comes."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

import aiohttp
from aiohttp import web

from pipeline.service.gateway.access import Access
from pipeline.service.gateway.exchange import Exchange, Path
from pipeline.service.gateway.refused import HEADERS, Refused, as_error, unavailable
from pipeline.service.gateway.table import ASKER_HEADERS, Choice, Served, Table
from pipeline.service.gateway.upstream import LOST, Unreachable, answering, ask, in_order

VERSION_HEADER: Final = "x-hone-version"
"""Which version answered."""

ID_HEADER: Final = "x-request-id"

MOST_SHADOWS: Final = 64
"""Copies under way at once; more are left out."""

_BROKEN = (
    b'data: {"error": {"message": "The engine broke off", "type": "server_error", "param": null, "code": "engine"}}'
)
_STREAM = "text/event-stream"


class _Failed(Exception):
    """The engine failed before anything of its answer was passed on."""


@dataclass
class Relay:
    """Handles requests to models.

    Args:
        client: reaches engines.
        access: tells who asks.
        table: returns who answers now.
        note: takes every exchange that is over; it may do no more than put it aside.
    """

    client: aiohttp.ClientSession
    access: Access
    table: Callable[[], Table]
    note: Callable[[Exchange], None]
    _shadows: set[asyncio.Task[None]] = field(default_factory=set)

    async def handle(self, request: web.Request, path: Path) -> web.StreamResponse:
        """Answer one request.

        Raises:
            Refused: nobody may ask so, the body is no request, or nothing answers.
        """
        began = time.perf_counter()
        caller = await self.access.caller(request, "infer")
        body = await _read(request)
        choice = self.table().choose(body["model"], body, request.headers, caller.id)
        told = {name: request.headers[name] for name in ASKER_HEADERS if name in request.headers}

        def exchange(served: Served, *, shadowed: bool = False) -> Exchange:
            return Exchange(
                uuid4().hex,
                path,
                served.version,
                caller.id,
                body,
                began,
                choice.rollout,
                choice.arm,
                shadowed,
                told=told,
            )

        if choice.shadow is not None:
            self._shadow(choice.shadow, exchange(choice.shadow, shadowed=True))
        return await self._answer(request, choice, exchange)

    async def _answer(
        self, request: web.Request, choice: Choice, exchange: Callable[[Served], Exchange]
    ) -> web.StreamResponse:
        """Have the chosen version answer, or else its fallback, of which no split counts the answer."""
        try:
            return await self._deliver(request, choice.served, exchange(choice.served), choice.fallback is None)
        except _Failed:
            assert choice.fallback is not None
        instead = exchange(choice.fallback)
        instead.rollout = instead.arm = None
        return await self._deliver(request, choice.fallback, instead, True)

    async def _deliver(
        self, request: web.Request, served: Served, exchange: Exchange, is_last: bool
    ) -> web.StreamResponse:
        try:
            for target in in_order(served):
                with answering(target):
                    try:
                        answer = await ask(self.client, target, exchange.path, exchange.request, exchange.id)
                    except Unreachable:
                        continue
                    try:
                        exchange.status = answer.status
                        if exchange.failed and not is_last:
                            raise _Failed
                        return await self._pass_on(request, answer, exchange, is_last)
                    finally:
                        if exchange.ended is None or exchange.broken:
                            answer.close()
            if not is_last:
                raise _Failed
            raise unavailable("The engine does not answer; try again")
        except asyncio.CancelledError:
            exchange.left = True
            raise
        finally:
            self.note(exchange)

    async def _pass_on(
        self, request: web.Request, answer: aiohttp.ClientResponse, exchange: Exchange, is_last: bool
    ) -> web.StreamResponse:
        kind = answer.content_type
        if kind == _STREAM and answer.status < 300:
            return await self._stream(request, answer, exchange, is_last)
        try:
            content = await answer.read()
        except LOST:
            exchange.broken = True
            if not is_last:
                raise _Failed from None
            raise unavailable("The engine broke off; try again") from None
        exchange.keep(content)
        exchange.ended = exchange.first
        headers = _headers(exchange)
        if answer.status < 300:
            return web.Response(body=content, headers=headers, content_type=kind)
        status = 503 if answer.status == 404 else answer.status  # the engine does not know it; who asked does
        return web.Response(
            body=as_error(content, answer.status), status=status, headers=headers, content_type="application/json"
        )

    async def _stream(
        self, request: web.Request, answer: aiohttp.ClientResponse, exchange: Exchange, is_last: bool
    ) -> web.StreamResponse:
        exchange.streamed = True
        read = answer.content.readany
        try:
            piece = await read()
        except LOST:
            exchange.broken = True
            if not is_last:
                raise _Failed from None
            raise unavailable("The engine broke off; try again") from None
        response = web.StreamResponse(headers={**_headers(exchange), "Content-Type": _STREAM})
        try:
            await response.prepare(request)
            while piece:
                exchange.keep(piece)
                await response.write(piece)
                try:
                    piece = await read()
                except LOST:
                    exchange.broken = True
                    await response.write(_BROKEN + b"\n\n")
                    break
            exchange.ended = time.perf_counter()
            await response.write_eof()
        except ConnectionError:
            exchange.left = True
        return response

    def _shadow(self, served: Served, exchange: Exchange) -> None:
        """Send a copy of a request, whose answer is read and passed to nobody."""
        if len(self._shadows) < MOST_SHADOWS:
            task = asyncio.get_running_loop().create_task(self._copy(served, exchange))
            self._shadows.add(task)
            task.add_done_callback(self._shadows.discard)

    async def _copy(self, served: Served, exchange: Exchange) -> None:
        target = next(iter(in_order(served)), None)
        if target is None:
            return
        with answering(target):
            try:
                answer = await ask(self.client, target, exchange.path, exchange.request, exchange.id)
            except Unreachable:
                self.note(exchange)
                return
            exchange.status, exchange.streamed = answer.status, answer.content_type == _STREAM
            try:
                while piece := await answer.content.readany():
                    exchange.keep(piece)
                exchange.ended = time.perf_counter()
            except LOST:
                exchange.broken = True
            finally:
                answer.close()
        self.note(exchange)

    async def close(self) -> None:
        """End copies under way."""
        for task in self._shadows:
            task.cancel()
        await asyncio.gather(*self._shadows, return_exceptions=True)


def _headers(exchange: Exchange) -> dict[str, str]:
    return {**HEADERS, VERSION_HEADER: exchange.version, ID_HEADER: exchange.id}


async def _read(request: web.Request) -> dict[str, Any]:
    """Return the body of a request to a model.

    Raises:
        Refused: it is too large, no JSON object, or names no model.
    """
    return asked(await read_body(request))


async def read_body(request: web.Request) -> dict[str, Any]:
    """Return a body that is a JSON object.

    Raises:
        Refused: it is too large, or none.
    """
    try:
        body = json.loads(await request.read())
    except web.HTTPRequestEntityTooLarge as error:
        message = f"The body has more than {error.text or 'the allowed number of'} bytes"
        raise Refused(413, message, code="too_large") from None
    except (ValueError, RecursionError):
        raise Refused(400, "The body is not JSON") from None
    if not isinstance(body, dict):
        raise Refused(400, "The body is not a JSON object")
    return body


def asked(body: dict[str, Any]) -> dict[str, Any]:
    """Return a body that names a model. Raises Refused where it does not."""
    model = body.get("model")
    if not isinstance(model, str) or not 1 <= len(model) <= 512:
        raise Refused(400, "model: name the model that is asked", param="model")
    return body
