"""Who may ask what: a dependency of every route, by scope."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from pipeline.service.api.errors import Refusal
from pipeline.service.api.keys import Caller, Keyring
from pipeline.service.api.rates import Rates
from schemas.api import Scope

_bearer = HTTPBearer(auto_error=False, description="An API key: `hone key create`.")

Credentials = Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]


@dataclass(frozen=True)
class Door:
    """Who may come in, and how often."""

    keyring: Keyring
    rates: Rates = field(default_factory=Rates)


def needs(scope: Scope, door: Door) -> Callable[[Request, Credentials], Caller]:
    """Return the dependency that lets only keys of ``scope`` pass, and no oftener than they may.

    It raises a Refusal: 401 without a key that is known, 403 where the key may not do this, 429 where it asked too
    often. How often it may still ask is in ``request.state.rate``.
    """

    def check(request: Request, credentials: Credentials) -> Caller:
        found = door.keyring.caller(credentials.credentials) if credentials is not None else None
        if found is None:
            raise Refusal(
                401,
                "Incorrect API key provided" if credentials is not None else "You didn't provide an API key",
                code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )
        if not found.may(scope):
            raise Refusal(403, f"This key may not do this: it needs the scope {scope}", code="missing_scope")
        request.state.caller = found
        request.state.rate = rate = door.rates.take(found)
        if rate is not None and rate.wait:
            raise Refusal(429, rate.message, code="rate_limit_exceeded")
        return found

    return check
