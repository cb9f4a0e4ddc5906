"""Who may ask what: a dependency of every route, by scope."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from pipeline.service.api.errors import Refusal
from pipeline.service.api.keys import Caller, Keyring
from schemas.api import Scope

_bearer = HTTPBearer(auto_error=False, description="An API key: `hone key create`.")

Credentials = Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]


def needs(scope: Scope, keyring: Keyring) -> Callable[[Request, Credentials], Caller]:
    """Return the dependency that lets only keys of ``scope`` pass.

    It raises a Refusal: 401 without a key that is known, 403 where the key may not do this.
    """

    def check(request: Request, credentials: Credentials) -> Caller:
        found = keyring.caller(credentials.credentials) if credentials is not None else None
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
        return found

    return check
