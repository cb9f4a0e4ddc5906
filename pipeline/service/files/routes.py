"""`/v1/files`: upload, list, retrieve, content, delete."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Annotated, Any, Final, get_args

from fastapi import APIRouter, Depends, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse
from starlette.requests import ClientDisconnect

from pipeline.service.api.access import Door, needs
from pipeline.service.api.described import answers, links
from pipeline.service.api.errors import Refusal, not_found
from pipeline.service.api.lists import After, known_cursor, page
from pipeline.service.files.multipart import Form, boundary_of, read_form
from pipeline.service.files.shelf import Shelf
from pipeline.service.store.database import Order, new_id
from pipeline.service.store.files import KnownFile
from pipeline.service.store.records import Records
from schemas.api import FileDeleted, FileObject, Page, Purpose, UploadPurpose

JSON_LINES: Final = ".jsonl"
READABLE: Final = (JSON_LINES, ".json", ".csv", ".tsv", ".parquet", ".arrow")
"""Endings of files that a run reads rows from. A name without one of them says nothing: then it is JSON lines, as
OpenAI has it (its package calls bytes ``upload``).
"""

_LASTS: Final = (3600, 2_592_000)
"""Seconds that a file may be told to last: an hour to thirty days, as OpenAI has it."""

_MOST_LISTED = 10_000
_DIGITS = re.compile(r"[0-9]{1,9}")

_LINKS: Final = links("file_id", "retrieveFile", "downloadFile", "deleteFile")

_UPLOAD: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "purpose"],
                    "additionalProperties": False,
                    "dependentRequired": {
                        "expires_after[anchor]": ["expires_after[seconds]"],
                        "expires_after[seconds]": ["expires_after[anchor]"],
                    },
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "purpose": {"type": "string", "enum": list(get_args(UploadPurpose))},
                        "expires_after[anchor]": {"type": "string", "enum": ["created_at"]},
                        "expires_after[seconds]": {"type": "integer", "minimum": _LASTS[0], "maximum": _LASTS[1]},
                    },
                }
            }
        },
    }
}


def file_object(file: KnownFile) -> FileObject:
    """Return what is told of a file."""
    return FileObject(
        id=file.id,
        bytes=file.size,
        created_at=file.created_at,
        expires_at=file.expires_at,
        filename=file.filename,
        purpose=file.purpose,
    )


def file_routes(records: Records, shelf: Shelf, door: Door, max_file_bytes: int) -> APIRouter:
    """Return the routes. ``max_file_bytes`` is the most that an upload may have."""
    routes = APIRouter(
        prefix="/v1/files", tags=["files"], dependencies=[Depends(needs("train", door))], responses=answers(400)
    )

    @routes.post("", operation_id="createFile", openapi_extra=_UPLOAD, responses={**answers(400, 413), **_LINKS})
    async def create(request: Request) -> FileObject:
        """Upload a file; its bytes go to disk as they come."""
        boundary = boundary_of(request.headers.get("content-type", ""))
        draft = new_id("upload")
        try:
            form = await read_form(request.stream(), boundary, lambda: shelf.begin(draft), max_file_bytes)
        except ClientDisconnect:
            raise Refusal(400, "The body ended early") from None
        try:
            return file_object(await run_in_threadpool(_keep, records, shelf, form))
        finally:
            form.discard()

    @routes.get("", operation_id="listFiles", responses=answers(404))
    def list_files(
        after: After = None,
        limit: Annotated[int, Query(ge=1, le=_MOST_LISTED)] = _MOST_LISTED,
        order: Order = "desc",
        purpose: Annotated[str | None, Query(max_length=32)] = None,
    ) -> Page[FileObject]:
        """List files, the newest first unless asked otherwise."""
        with known_cursor():
            found, more = records.files.page(after=after, limit=limit, order=order, purpose=purpose)
        return page([file_object(file) for file in found], more)

    @routes.get("/{file_id}", operation_id="retrieveFile", responses=answers(404))
    def retrieve(file_id: str) -> FileObject:
        """Return what is known of a file."""
        return file_object(_known(records, file_id))

    @routes.get(
        "/{file_id}/content",
        operation_id="downloadFile",
        response_class=FileResponse,
        responses={**answers(404), 200: {"content": {"application/octet-stream": {}}}},
    )
    def content(file_id: str) -> FileResponse:
        """Return a file's bytes."""
        file = _known(records, file_id)
        path = shelf.path(file.stored_as)
        if not path.is_file():
            raise not_found("File object", file_id, "file_id")
        return FileResponse(path, media_type="application/octet-stream", filename=file.filename)

    @routes.delete("/{file_id}", operation_id="deleteFile", responses=answers(404))
    def delete(file_id: str) -> FileDeleted:
        """Delete a file, unless a job that has not ended reads it."""
        file = _known(records, file_id)
        reader = records.jobs.reads(file.id)
        if reader is not None:
            raise Refusal(400, f"{reader.id} reads this file; wait for its end, or cancel it", param="file_id")
        records.files.remove(file.id)
        shelf.remove(file.stored_as)
        return FileDeleted(id=file.id)

    return routes


def expire(records: Records, shelf: Shelf) -> None:
    """Remove the files whose time is over."""
    for stored_as in records.files.expire():
        shelf.remove(stored_as)


def _known(records: Records, file_id: str) -> KnownFile:
    file = records.files.get(file_id)
    if file is None:
        raise not_found("File object", file_id, "file_id")
    return file


def _keep(records: Records, shelf: Shelf, form: Form) -> KnownFile:
    """Check a form, put its file on the shelf, and note it: in this order, so that every known file is there."""
    if form.file is None:
        raise Refusal(400, "'file' is a required property: a part with a filename", param="file")
    if form.file.size == 0:
        raise Refusal(400, "The file is empty", param="file")
    purpose = _purpose(form.fields.get("purpose"))
    unknown = set(form.fields) - {"purpose", "expires_after[anchor]", "expires_after[seconds]"}
    if unknown:
        name = min(unknown)[:64]
        raise Refusal(400, f"{name}: Unrecognized request argument", param=name)
    filename = _filename(form.filename or "")
    suffix = PurePath(filename).suffix.lower()
    if purpose == "batch" or suffix not in READABLE:
        suffix = JSON_LINES
    expire(records, shelf)
    file = KnownFile.new(filename, purpose, form.file.size, form.file.sha256, suffix, _lasts(form.fields))
    shelf.keep(form.file, file.stored_as)
    records.files.add(file)
    return file


def _purpose(given: str | None) -> Purpose:
    for known in get_args(UploadPurpose):
        if given == known:
            purpose: Purpose = known
            return purpose
    raise Refusal(400, f"purpose: one of {', '.join(get_args(UploadPurpose))}", param="purpose")


def _filename(given: str) -> str:
    """Return the last part of the sender's name for the file, without what is no text."""
    name = PurePath(given.replace("\\", "/")).name
    kept = "".join(character for character in name if character.isprintable())
    return kept[-255:] or "upload"


def _lasts(fields: dict[str, str]) -> int | None:
    anchor, seconds = fields.get("expires_after[anchor]"), fields.get("expires_after[seconds]")
    if anchor is None and seconds is None:
        return None
    low, high = _LASTS
    if anchor != "created_at" or seconds is None or not _DIGITS.fullmatch(seconds) or not low <= int(seconds) <= high:
        message = f"expires_after: anchor created_at, and {low} to {high} seconds"
        raise Refusal(400, message, param="expires_after")
    return int(seconds)
