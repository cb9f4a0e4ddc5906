"""The reader of forms does not care how the network cut them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.service.files.multipart import read_form

BOUNDARY = b"bound"


def form(content: bytes) -> bytes:
    head = b'--bound\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n'
    field = b'--bound\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nfine-tune\r\n'
    return field + head + content + b"\r\n--bound--\r\n"


async def pieces(body: bytes, cuts: list[int]) -> AsyncIterator[bytes]:
    places = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    for start, end in pairwise(places):
        yield body[start:end]


class Memory:
    """Takes what a file on the shelf would."""

    def __init__(self) -> None:
        self.content = bytearray()

    @property
    def size(self) -> int:
        return len(self.content)

    def write(self, data: bytes) -> None:
        self.content += data

    def discard(self) -> None: ...


def read_in_pieces(content: bytes, cuts: list[int]) -> bytes:
    """Return what a form's file is read as when its bytes come in the pieces that end at ``cuts``."""
    read = asyncio.run(read_form(pieces(form(content), cuts), BOUNDARY, Memory, 10_000))  # type: ignore[arg-type]
    assert read.fields == {"purpose": "fine-tune"}
    return bytes(read.file.content)  # type: ignore[union-attr]


contents = st.lists(
    st.sampled_from([b"\r\n", b"--", b"--boun", b"\r\n--boun", b"x", b"\n", b"\xff", b"-d"]), max_size=12
)


@settings(max_examples=150)
@given(parts=contents, cuts=st.lists(st.integers(0, 400), max_size=8))
def test_a_form_is_the_same_however_it_is_cut(parts: list[bytes], cuts: list[int]) -> None:
    content = b"".join(parts).replace(b"--bound", b"")  # a sender chooses a boundary that its file does not hold
    assert read_in_pieces(content, cuts) == content


@pytest.mark.parametrize("content", [b"", b"\r\n\r\n", b"a\r", b"--", b"x\n--boun"])
def test_a_form_may_be_cut_anywhere(content: bytes) -> None:
    for cut in range(len(form(content))):
        assert read_in_pieces(content, [cut]) == content, cut
