"""Multipart bodies: fields into memory, the one file to disk as it comes.

Werkzeug's decoder parses (RFC 7578); what arrives is never held whole, and every part but the file has a small limit.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Final

from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder, NeedData

from pipeline.service.api.errors import Refusal
from pipeline.service.files.shelf import Incoming

MAX_FIELD_BYTES: Final = 64 << 10
"""Bytes of all fields together."""

_MAX_BUFFER = 256 << 10
_SLICE = 64 << 10
"""Bytes that the decoder holds at most, and is given at once: the headers of a part have to fit."""

_AROUND_A_BOUNDARY = len(b"\r\n----\r\n")
_LINE_END = re.compile(rb"[\r\n]")

_MAX_PARTS = 20
_MAX_BOUNDARY = 70
"""RFC 2046, 5.1.1."""


@dataclass
class Form:
    """A form that was read: its fields, and the file with the name that its sender gave it."""

    fields: dict[str, str] = field(default_factory=dict)
    filename: str | None = None
    file: Incoming | None = None

    def discard(self) -> None:
        """Remove the file."""
        if self.file is not None:
            self.file.discard()


def boundary_of(content_type: str) -> bytes:
    """Return what parts the body. Raises a Refusal where it is no multipart form."""
    kind, options = parse_options_header(content_type)
    boundary = options.get("boundary", "")
    if kind != "multipart/form-data" or not 0 < len(boundary) <= _MAX_BOUNDARY or not boundary.isascii():
        raise Refusal(400, "The body has to be multipart/form-data with a boundary", param="content-type")
    return boundary.encode("ascii")


async def read_form(
    body: AsyncIterator[bytes], boundary: bytes, begin: Callable[[], Incoming], max_file_bytes: int
) -> Form:
    """Read a form, writing the part ``file`` to what ``begin`` returns.

    Raises:
        Refusal: the body is no such form, or larger than may be; what was written is removed.
    """
    reader = _Reader(boundary, begin, max_file_bytes)
    try:
        async for chunk in body:
            reader.take(chunk)
        reader.end()
    except (ValueError, HTTPException) as error:
        reader.form.discard()
        raise _unreadable(error) from None
    except BaseException:
        reader.form.discard()
        raise
    return reader.form


def _unreadable(error: Exception) -> Refusal:
    if isinstance(error, RequestEntityTooLarge):
        return Refusal(413, f"The form's fields have more than {MAX_FIELD_BYTES} bytes", code="too_large")
    return Refusal(400, "The body is not a multipart form, or ends early")


class _Reader:
    """Feeds the decoder. What may be the beginning of a boundary is held back until it is whole: where one is cut in
    its last two bytes, Werkzeug 3.1.9 adds a carriage return to the part before it.
    """

    def __init__(self, boundary: bytes, begin: Callable[[], Incoming], max_file_bytes: int) -> None:
        self._decoder = MultipartDecoder(boundary, _MAX_BUFFER, max_parts=_MAX_PARTS)
        self._margin = len(boundary) + _AROUND_A_BOUNDARY
        self._held = b""
        self._begin, self._max = begin, max_file_bytes
        self._name: str | None = None
        self._read: dict[str, bytearray] = {}
        self._ended = False
        self.form = Form()

    def take(self, chunk: bytes) -> None:
        for start in range(0, len(chunk), _SLICE):
            data = self._held + chunk[start : start + _SLICE]
            held = _LINE_END.search(data, max(0, len(data) - self._margin))
            self._held = b"" if held is None else data[held.start() :]
            self._decoder.receive_data(data[: len(data) - len(self._held)])
            self._drain()

    def end(self) -> None:
        self._decoder.receive_data(self._held)
        self._drain()
        self._decoder.receive_data(None)
        self._drain()
        if not self._ended:
            raise ValueError("the form has no end")
        self.form.fields = {name: bytes(value).decode("utf-8") for name, value in self._read.items()}

    def _drain(self) -> None:
        while not self._ended:
            event = self._decoder.next_event()
            if isinstance(event, Field):
                self._open_field(event)
            elif isinstance(event, File):
                self._open(event)
            elif isinstance(event, Data):
                self._write(event.data)
            elif isinstance(event, Epilogue):
                self._ended = True
            elif isinstance(event, NeedData):
                return

    def _open_field(self, event: Field) -> None:
        if not event.name or event.name in self._read:
            raise ValueError("a field has no name, or is given twice")
        self._name, self._read[event.name] = event.name, bytearray()

    def _open(self, event: File) -> None:
        if event.name != "file" or self.form.file is not None:
            raise ValueError("only one file is expected")
        self._name = None
        self.form.filename, self.form.file = event.filename, self._begin()

    def _write(self, data: bytes) -> None:
        if self._name is not None:
            self._read[self._name] += data
            if sum(map(len, self._read.values())) > MAX_FIELD_BYTES:
                raise RequestEntityTooLarge
            return
        assert self.form.file is not None
        if self.form.file.size + len(data) > self._max:
            raise Refusal(413, f"A file has at most {self._max} bytes", param="file", code="too_large")
        self.form.file.write(data)
