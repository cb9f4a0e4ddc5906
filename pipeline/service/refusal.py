"""Refusals of the service: one exception, its status, and the JSON that it becomes."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi.responses import JSONResponse

from schemas.webhook import WebhookError, WebhookErrorAnswer, WebhookErrorCode

STATUS: Mapping[WebhookErrorCode, int] = {
    "malformed": 400,
    "stale": 400,
    "unsigned": 401,
    "not_found": 404,
    "method": 405,
    "repeated": 409,
    "too_large": 413,
    "invalid": 422,
    "too_soon": 429,
    "over_budget": 429,
    "unavailable": 503,
}

HEADERS: Mapping[WebhookErrorCode, Mapping[str, str]] = {
    "unavailable": {"Retry-After": "60"},
    "too_large": {"Connection": "close"},  # or the server goes on reading what the sender goes on sending
}


class Refused(Exception):
    """A request is not carried out; what it holds is told to the sender. ``retry_after``: in so many seconds it may."""

    def __init__(
        self,
        code: WebhookErrorCode,
        message: str,
        *,
        where: str | None = None,
        fix: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.error = WebhookError(code=code, message=message, where=where, fix=fix)
        self.retry_after = retry_after

    def answer(self) -> JSONResponse:
        """Return the answer."""
        code = self.error.code
        headers = dict(HEADERS.get(code, {}))
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        return JSONResponse(WebhookErrorAnswer(error=self.error).model_dump(mode="json"), STATUS[code], headers)
