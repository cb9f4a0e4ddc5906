"""Requests to engines: the least busy one that serves a version is asked, and another where it is not there."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import aiohttp

from pipeline.service.gateway.table import Served, Target

ANSWER_SECONDS: Final = 600.0
CONNECT_SECONDS: Final = 5.0

DOWN_SECONDS: Final = 2.0
"""How long an engine that was not there is asked last."""

_AT_ONCE = 1 << 16

LOST: Final = (aiohttp.ClientError, TimeoutError, ConnectionError)
"""What it looks like where an engine does not answer, or stops."""


def session() -> aiohttp.ClientSession:
    """Return a client for engines: as many connections as there are requests, and patience for a long answer."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30.0),
        timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS, sock_connect=CONNECT_SECONDS),
        skip_auto_headers=("Accept-Encoding", "User-Agent"),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
    )


class Unreachable(Exception):
    """An engine does not answer."""


def in_order(served: Served) -> list[Target]:
    """Return the engines that have a version, those first that are there and have least to do."""
    fresh = [target for target in served.targets if target.is_fresh]
    if len(fresh) <= 1:
        return fresh
    now = time.monotonic()
    return sorted(fresh, key=lambda target: (target.down_until > now, target.busy))


async def ask(
    client: aiohttp.ClientSession, target: Target, path: str, body: dict[str, Any], request_id: str
) -> aiohttp.ClientResponse:
    """Return the beginning of an answer.

    A connection that an engine closed while nobody used it breaks when it is next used, so it is asked twice.

    Raises:
        Unreachable: it does not answer.
    """
    payload = json.dumps({**body, "model": target.model}).encode()
    headers = {**target.headers, "Content-Type": "application/json", "X-Request-Id": request_id}
    for last in (False, True):
        try:
            data = payload if len(payload) < _AT_ONCE else io.BytesIO(payload)  # aiohttp sends those piece by piece
            answer = await client.post(f"{target.base_url}/{path}", data=data, headers=headers)
        except aiohttp.ServerDisconnectedError:
            if not last:
                continue
        except LOST:
            pass
        else:
            target.down_until = 0.0
            return answer
        break
    target.down_until = time.monotonic() + DOWN_SECONDS
    raise Unreachable(target.engine)


@contextmanager
def answering(target: Target) -> Iterator[None]:
    """Count an answer while it is asked for and given."""
    target.busy += 1
    try:
        yield
    finally:
        target.busy -= 1
