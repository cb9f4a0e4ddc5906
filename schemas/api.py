"""The HTTP API in OpenAI's shapes: what every route shares, and files."""

from __future__ import annotations

from typing import Annotated, Generic, Literal, TypeVar

from pydantic import ConfigDict, Field, JsonValue, StringConstraints

from schemas.base import Schema

T = TypeVar("T")

Purpose = Literal["fine-tune", "batch", "fine-tune-results"]
"""What a file is for; ``fine-tune-results`` are written by the service."""

UploadPurpose = Literal["fine-tune", "batch"]

Scope = Literal["infer", "train", "admin"]
"""What a key may do: ask models; files and jobs; everything."""


class ApiError(Schema):
    """Why a request was not carried out. ``param`` names the field that is wrong; ``message`` says what to do."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorAnswer(Schema):
    """The body of every answer that is no success."""

    error: ApiError


class Health(Schema):
    """Whether the service is up; ``ready`` also means that its store answers."""

    status: Literal["ok", "ready"]


class Page(Schema, Generic[T]):
    """A part of a list; the next one is asked for with ``after=<last_id>``."""

    object: Literal["list"] = "list"
    data: tuple[T, ...]
    has_more: bool
    first_id: str | None = None
    last_id: str | None = None


class FileObject(Schema):
    """An uploaded file. Times are Unix seconds."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    expires_at: int | None = None
    filename: str
    purpose: Purpose
    status: Literal["uploaded", "processed", "error"] = "processed"
    status_details: str | None = None


class FileDeleted(Schema):
    """The answer to a deletion."""

    id: str
    object: Literal["file"] = "file"
    deleted: bool = True


class ModelObject(Schema):
    """A model that can be asked."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str


class ModelList(Schema):
    """All of them."""

    object: Literal["list"] = "list"
    data: tuple[ModelObject, ...]


class Asked(Schema):
    """What every request to a model has; the engine reads the rest."""

    model_config = ConfigDict(extra="allow")

    model: Annotated[str, StringConstraints(min_length=1, max_length=512)]
    stream: bool | None = None


class ChatRequest(Asked):
    """The body of ``POST /v1/chat/completions``."""

    messages: Annotated[tuple[dict[str, JsonValue], ...], Field(min_length=1)]


class CompletionRequest(Asked):
    """The body of ``POST /v1/completions``."""

    prompt: JsonValue


class EmbeddingRequest(Asked):
    """The body of ``POST /v1/embeddings``."""

    input: JsonValue
