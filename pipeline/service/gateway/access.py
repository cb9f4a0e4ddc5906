"""Who asks: the service's keys, remembered for a moment so that a request need not wait for the database."""

from __future__ import annotations

import asyncio
import hashlib
import time
from typing import Final

from aiohttp import web

from pipeline.service.api.keys import Caller, Keyring
from pipeline.service.api.rates import Rate, Rates
from pipeline.service.gateway.refused import Refused
from schemas.api import Scope

REMEMBER_SECONDS: Final = 1.0
"""So late, at most, a revoked key is noticed."""

MOST_REMEMBERED: Final = 4096

RATE: Final = web.RequestKey("rate", Rate)
"""What is left to the key of a request."""

_SCHEME: Final = "bearer "


class Access:
    """Lets keys of the service in. Used by one event loop.

    Args:
        keyring: tells whose a key is.
        rates: how often keys may ask.
    """

    def __init__(self, keyring: Keyring, rates: Rates | None = None) -> None:
        self._keyring = keyring
        self._rates = rates or Rates()
        self._known: dict[bytes, tuple[float, Caller | None]] = {}

    async def caller(self, request: web.Request, scope: Scope) -> Caller:
        """Return whose key a request has; what is left to the key is told by the answer's headers.

        Raises:
            Refused: 401 without a key that is known, 403 where the key may not do this, 429 where it asked too often.
        """
        authorization = request.headers.get("Authorization")
        if authorization is None or authorization[: len(_SCHEME)].lower() != _SCHEME:
            raise _unknown("You didn't provide an API key")
        found = await self._find(authorization[len(_SCHEME) :].strip())
        if found is None:
            raise _unknown("Incorrect API key provided")
        if not found.may(scope):
            raise Refused(403, f"This key may not do this: it needs the scope {scope}", code="missing_scope")
        rate = self._rates.take(found)
        if rate is not None:
            request[RATE] = rate
            if rate.wait:
                raise Refused(429, rate.message, code="rate_limit_exceeded")
        return found

    async def _find(self, key: str) -> Caller | None:
        digest = hashlib.sha256(key.encode(errors="surrogateescape")).digest()
        until, found = self._known.get(digest, (0.0, None))
        if until > time.monotonic():
            return found
        found = await asyncio.to_thread(self._keyring.caller, key)
        if len(self._known) >= MOST_REMEMBERED:
            self._known.clear()
        self._known[digest] = (time.monotonic() + REMEMBER_SECONDS, found)
        return found


async def tell_rate(request: web.Request, answer: web.StreamResponse) -> None:
    """Say in an answer's headers how often its key may still ask."""
    rate = request.get(RATE)
    if rate is not None:
        answer.headers.update(rate.headers())


def _unknown(message: str) -> Refused:
    return Refused(401, message, code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})
