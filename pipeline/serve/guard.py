"""What stands before an engine that has a key: without it there is nothing to be had but whether the engine lives.

vLLM's own check covers paths that begin with ``/v1``, ``/v2``, ``/inference`` and ``/cohere`` (release 0.32). The same
server generates at ``/invocations``, scores at ``/generative_scoring`` and more, for whoever asks. This middleware
covers all paths. This file is copied to where the engine runs, whose environment has no hone, and needs the standard
library alone.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

KEY_VARIABLE = "VLLM_API_KEY"

OPEN = frozenset({"/health"})
"""Paths that need no key."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

_BODY = b'{"error": {"message": "a key is needed: Authorization: Bearer <key>", "type": "invalid_request_error"}}'


class Guard:
    """ASGI middleware that lets requests with the key pass.

    Args:
        app: what comes behind it.

    Raises:
        RuntimeError: there is no key, so nobody could be let in.
    """

    def __init__(self, app: Application) -> None:
        self._app = app
        key = os.environ.get(KEY_VARIABLE, "")
        if not key:
            raise RuntimeError(f"{KEY_VARIABLE} is not set")
        self._digest = _digest(key.encode())

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 401; a websocket without the key is closed before it opens."""
        kind = scope["type"]
        if kind == "http":
            asks_only = scope["method"] == "OPTIONS"  # a browser before its request, without that one's headers
            if asks_only or scope["path"] in OPEN or self._knows_the_key(scope["headers"]):
                await self._app(scope, receive, send)
            else:
                await _refuse(send)
        elif kind == "websocket" and not self._knows_the_key(scope["headers"]):
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._app(scope, receive, send)

    def _knows_the_key(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        for name, value in headers:
            scheme, _, key = value.partition(b" ")
            if name.lower() == b"authorization" and scheme.lower() == b"bearer":
                return secrets.compare_digest(_digest(key), self._digest)
        return False


def _digest(key: bytes) -> bytes:
    """Return a value of fixed length, so that comparing takes the same time for every key."""
    return hashlib.sha256(key).digest()


async def _refuse(send: Send) -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(_BODY)).encode()),
        (b"www-authenticate", b"Bearer"),
    ]
    await send({"type": "http.response.start", "status": 401, "headers": headers})
    await send({"type": "http.response.body", "body": _BODY})
