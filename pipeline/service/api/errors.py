"""Errors in OpenAI's shape: what the SDK raises by their status, and the handlers that answer with nothing else."""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Mapping
from typing import Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from pipeline.core.errors import HoneError
from schemas.api import ApiError, ErrorAnswer

_log = logging.getLogger(__name__)

INVALID: Final = "invalid_request_error"

_SHOWN_CHARACTERS = 500


class Refusal(HTTPException):
    """A request is not carried out; what it holds is told to the sender.

    It is one of Starlette's exceptions, because FastAPI turns any other that is raised while it reads a body into its
    own.

    Args:
        status: the HTTP status.
        message: what is wrong and what to do.
        param: the field that is wrong.
        code: OpenAI's word for it.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, message, headers)
        kind = "server_error" if status >= 500 else "requests" if status == 429 else INVALID
        self.error = ApiError(message=message, type=kind, param=param, code=code)

    @classmethod
    def of(cls, error: HoneError, param: str | None = None) -> Refusal:
        """Return the refusal that an error of what was asked means."""
        message = f"{error.message}; {error.fix}" if error.fix else error.message
        return cls(400, message, param=param or error.where, code=error.code)

    def answer(self) -> JSONResponse:
        """Return the answer."""
        body = ErrorAnswer(error=self.error).model_dump(mode="json")
        return JSONResponse(body, self.status_code, dict(self.headers) if self.headers else None)


def not_found(what: str, name: str, param: str | None = None) -> Refusal:
    """Return the refusal for something that is not there."""
    return Refusal(404, f"No such {what}: {name[:_SHOWN_CHARACTERS]}", param=param, code="not_found")


def add_handlers(app: FastAPI) -> None:
    """Have every error of ``app`` answered in the one shape, and none with a traceback."""
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _unrouted)


def unforeseen(error: Exception) -> Refusal:
    """Note a failure that nothing foresaw, by its kind and place: its message may hold anything."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    _log.error("a request failed: %s%s", type(error).__name__, place)
    return Refusal(500, "The request could not be carried out. Try again; the service's log has more.")


async def _refused(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refusal)
    return error.answer()


async def _invalid(_request: Request, error: Exception) -> JSONResponse:
    """Name the first thing that does not fit, by its path in the body or query."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path", "header"))
    message = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = "Unrecognized request argument"
    if first["type"] == "json_invalid":
        place, message = "", "The body is not JSON"
    told = f"{place}: {message}" if place else message
    return Refusal(400, told[:_SHOWN_CHARACTERS], param=place[:_SHOWN_CHARACTERS] or None).answer()


async def _unrouted(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        message = f"Invalid method for URL ({request.method} {request.url.path[:_SHOWN_CHARACTERS]})"
        return Refusal(405, message, headers={"Allow": ", ".join(_allowed(request))}).answer()
    if error.status_code == 404:
        return Refusal(404, f"Invalid URL ({request.method} {request.url.path[:_SHOWN_CHARACTERS]})").answer()
    return Refusal(error.status_code, "The request cannot be read").answer()


def _allowed(request: Request) -> list[str]:
    """Return every method that the path takes: each is a route of its own, and the router names the first one's."""
    described = request.app.openapi()["paths"]
    here = [path for path in described if re.fullmatch(re.sub(r"\{[^}]*\}", "[^/]+", path), request.url.path)]
    return sorted({method.upper() for path in here for method in described[path]})
