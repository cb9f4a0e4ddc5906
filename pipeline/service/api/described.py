"""What OpenAPI says of an operation besides its types: how it refuses, and where its answer's id leads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.api import ErrorAnswer

_MEANINGS: Mapping[int, str] = {
    400: "The request says something that cannot be done; `param` names the field.",
    401: "The key is missing or not known.",
    403: "The key may not do this.",
    404: "There is no such thing.",
    413: "The body is larger than may be.",
    429: "The key has asked too often; `Retry-After` says when it may again.",
    503: "Not now; try again later.",
}


def answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what an OpenAPI operation says of its refusals."""
    return {status: {"model": ErrorAnswer, "description": _MEANINGS[status]} for status in (401, 403, 429, *statuses)}


def links(parameter: str, *operations: str) -> dict[int | str, dict[str, Any]]:
    """Return what an OpenAPI operation says of its answer's id: which operations take it, and as what."""
    given = {parameter: "$response.body#/id"}
    return {200: {"links": {name: {"operationId": name, "parameters": given} for name in operations}}}
