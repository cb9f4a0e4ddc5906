"""A request goes to the engine and its answer comes back as it comes, streamed or not."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, Final

import httpx
from fastapi import Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, StreamingResponse

from pipeline.service.api.errors import INVALID, Refusal
from pipeline.service.models.engines import Engines, Lent
from schemas.api import ApiError, ErrorAnswer

VERSION_HEADER: Final = "x-hone-version"
"""Which version answered."""

ANSWER_SECONDS: Final = 600.0
_SHOWN: Final = 500
_NO_SUCH_PATH: Final = frozenset({404, 405})
"""What an engine answers where it cannot do a thing at all: the model's name is its own."""


def upstream(transport: httpx.AsyncBaseTransport | None = None) -> httpx.AsyncClient:
    """Return a client for engines on this machine: no proxy, and patience for a long answer."""
    timeout = httpx.Timeout(ANSWER_SECONDS, connect=10.0)
    limits = httpx.Limits(max_connections=1000, max_keepalive_connections=100)
    return httpx.AsyncClient(timeout=timeout, limits=limits, trust_env=False, transport=transport)


async def relay(client: httpx.AsyncClient, engines: Engines, lent: Lent, path: str, body: dict[str, Any]) -> Response:
    """Have an engine answer; it is given back when the answer is complete.

    Raises:
        Refusal: the engine does not answer.
    """
    request = client.build_request("POST", f"{lent.base_url}/{path}", json={**body, "model": lent.model})
    try:
        answer = await client.send(request, stream=True)
    except BaseException as error:
        await run_in_threadpool(engines.give_back, lent)
        if isinstance(error, httpx.HTTPError):
            raise _silent() from error
        raise
    kind = answer.headers.get("content-type", "application/json")
    headers = {VERSION_HEADER: lent.version}
    if answer.is_success and kind.startswith("text/event-stream"):
        return StreamingResponse(_pieces(answer, engines, lent), media_type="text/event-stream", headers=headers)
    try:
        content = await answer.aread()
    except httpx.HTTPError as error:
        raise _silent() from error
    finally:
        await answer.aclose()
        await run_in_threadpool(engines.give_back, lent)
    if answer.is_success:
        return Response(content, answer.status_code, headers, kind)
    if answer.status_code in _NO_SUCH_PATH:
        message = f"The engine of {lent.version} has no /v1/{path}"
        raise Refusal(404, message, param="model", code="engine", headers=headers)
    return JSONResponse(_as_error(content, answer.status_code), answer.status_code, headers)


async def _pieces(answer: httpx.Response, engines: Engines, lent: Lent) -> AsyncIterator[bytes]:
    try:
        async for piece in answer.aiter_bytes():
            yield piece
    finally:
        await answer.aclose()
        engines.give_back(lent)  # at once: whoever went away has cancelled everything that could be waited for


def _silent() -> Refusal:
    return Refusal(503, "The engine does not answer; try again", code="engine", headers={"Retry-After": "5"})


def _as_error(content: bytes, status: int) -> dict[str, Any]:
    """Return an engine's error in OpenAI's shape; some have it, others another."""
    try:
        told = json.loads(content)
    except ValueError:
        told = None
    if isinstance(told, dict) and isinstance(told.get("error"), dict) and "message" in told["error"]:
        return told
    detail = told.get("message") or told.get("detail") if isinstance(told, dict) else None
    message = str(detail or "The engine refused the request")[:_SHOWN]
    kind = INVALID if status < 500 else "server_error"
    return ErrorAnswer(error=ApiError(message=message, type=kind, code="engine")).model_dump(mode="json")
