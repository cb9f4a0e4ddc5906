"""A request that is not carried out, in OpenAI's shape: what the SDK raises by its status."""

from __future__ import annotations

import json
from collections.abc import Mapping

from aiohttp import web

from schemas.api import ApiError, ErrorAnswer

HEADERS = {"x-content-type-options": "nosniff", "cache-control": "no-store"}
"""What every answer has."""

_SHOWN = 300


class Refused(Exception):
    """What a request holds that cannot be; it is told to the sender.

    Args:
        status: the HTTP status.
        message: what is wrong and what to do.
        code, param: OpenAI's word for it, and the field that is wrong.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        kind = "server_error" if status >= 500 else "requests" if status == 429 else "invalid_request_error"
        self.status = status
        self.error = ApiError(message=message, type=kind, param=param, code=code)
        self.headers = {**HEADERS, **(headers or {})}

    def answer(self) -> web.Response:
        """Return the answer."""
        body = ErrorAnswer(error=self.error).model_dump(mode="json")
        return web.json_response(body, status=self.status, headers=self.headers)


def unknown_model(name: str) -> Refused:
    """Return the refusal of a name that means nothing."""
    return Refused(404, f"The model '{name[:_SHOWN]}' does not exist", code="model_not_found", param="model")


def unavailable(message: str) -> Refused:
    """Return the refusal of what may work in a moment."""
    return Refused(503, message, code="engine", headers={"Retry-After": "5"})


def as_error(content: bytes, status: int) -> bytes:
    """Return an engine's error in OpenAI's shape; some have it, others another."""
    try:
        told = json.loads(content)
    except ValueError:
        told = None
    if isinstance(told, dict) and isinstance(told.get("error"), dict) and "message" in told["error"]:
        return content
    detail = (told.get("message") or told.get("detail")) if isinstance(told, dict) else None
    kind = "server_error" if status >= 500 else "invalid_request_error"
    error = ApiError(message=str(detail or "The engine refused the request")[:_SHOWN], type=kind, code="engine")
    return ErrorAnswer(error=error).model_dump_json().encode()
