"""`/v1/models`, `/v1/chat/completions`, `/v1/completions` and `/v1/embeddings`."""

from __future__ import annotations

from typing import Any, Final

import httpx
from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, Response

from pipeline.core.errors import HoneError, RegistryError
from pipeline.service.api.access import Door, needs
from pipeline.service.api.described import answers
from pipeline.service.api.errors import Refusal
from pipeline.service.models.engines import Engines, Lent
from pipeline.service.models.names import target_of, unknown_model
from pipeline.service.models.relay import relay
from pipeline.service.store.records import Records
from schemas.api import Asked, ChatRequest, CompletionRequest, EmbeddingRequest, ModelList, ModelObject

MOST_WAITING: Final = 64
"""Requests that may wait for engines at once; they have threads of their own, so that other routes go on answering."""

_EMBEDDED: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The engine's answer; `x-hone-version` names who answered.",
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
}
_STREAMED: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The engine's answer; with `stream` as server-sent events. `x-hone-version` names who answered.",
        "content": {
            "application/json": {"schema": {"type": "object"}},
            "text/event-stream": {"schema": {"type": "string"}},
        },
    }
}


def model_routes(
    records: Records, engines: Engines, door: Door, organization: str, client: httpx.AsyncClient
) -> APIRouter:
    """Return the routes. ``client`` reaches engines."""
    routes = APIRouter(prefix="/v1", tags=["models"], dependencies=[Depends(needs("infer", door))])

    waiting = CapacityLimiter(MOST_WAITING)

    async def answer(request: Asked, path: str) -> Response:
        lent = await to_thread.run_sync(_lend, records, engines, request.model, limiter=waiting)
        return await relay(client, engines, lent, path, request.model_dump(mode="json", exclude_unset=True))

    @routes.get("/models", operation_id="listModels", responses=answers())
    def list_models() -> ModelList:
        """List what can be asked: models of jobs, registered versions, and names of champions."""
        return ModelList(data=tuple(_models(records, engines, organization)))

    @routes.get("/models/{model:path}", operation_id="retrieveModel", responses=answers(404))
    def retrieve(model: str) -> ModelObject:
        """Return what is known of a model."""
        target = target_of(model, records)
        for found in _models(records, engines, organization):
            if found.id in (model, target.version):
                return found.model_copy(update={"id": model})
        raise unknown_model(model)

    @routes.post(
        "/chat/completions",
        operation_id="createChatCompletion",
        responses={**answers(400, 404, 503), **_STREAMED},
        response_model=None,
    )
    async def chat(request: ChatRequest) -> Response:
        """Answer a conversation; what the engine knows of the request (tools, response_format, ...) is passed on."""
        return await answer(request, "chat/completions")

    @routes.post(
        "/completions",
        operation_id="createCompletion",
        responses={**answers(400, 404, 503), **_STREAMED},
        response_model=None,
    )
    async def complete(request: CompletionRequest) -> Response:
        """Continue a text, where the engine can."""
        return await answer(request, "completions")

    @routes.post(
        "/embeddings",
        operation_id="createEmbedding",
        responses={**answers(400, 404, 503), **_EMBEDDED},
        response_model=None,
    )
    async def embed(request: EmbeddingRequest) -> Response:
        """Return the embeddings of texts, where the engine has them."""
        return await answer(request, "embeddings")

    return routes


def _lend(records: Records, engines: Engines, model: str) -> Lent:
    target = target_of(model, records)
    try:
        return engines.lend(target)
    except RegistryError:
        raise unknown_model(model) from None
    except HoneError as error:
        raise Refusal(503, error.message, param="model", code=error.code, headers={"Retry-After": "5"}) from error


def _models(records: Records, engines: Engines, organization: str) -> list[ModelObject]:
    """Return every name: of a job's model, of a version, and of a champion without its number."""
    found = [
        ModelObject(id=job.fine_tuned_model, created=job.finished_at or job.created_at, owned_by=organization)
        for job in records.jobs.tuned()
        if job.fine_tuned_model is not None
    ]
    for one in engines.registered():
        name = one.version.partition("@")[0]
        names = [
            one.version,
            *(f"{name}@{alias}" for alias in one.aliases),
            *([name] if "champion" in one.aliases else []),
        ]
        found += [ModelObject(id=known, created=one.created, owned_by=organization) for known in names]
    return found
