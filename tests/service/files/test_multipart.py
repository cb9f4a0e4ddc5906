"""The reader of forms does not care how the network cut them."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.service.files.multipart import read_form
from pipeline.service.files.shelf import Shelf

BOUNDARY = b"bound"


def form(content: bytes) -> bytes:
    head = b'--bound\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n'
    field = b'--bound\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nfine-tune\r\n'
    return field + head + content + b"\r\n--bound--\r\n"


async def pieces(body: bytes, cuts: list[int]) -> AsyncIterator[bytes]:
    places = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    for start, end in pairwise(places):
        yield body[start:end]


contents = st.lists(st.sampled_from([b"\r\n", b"--", b"--boun", b"\r\n--bound", b"x", b"\n", b"\xff"]), max_size=12)


@settings(max_examples=150)
@given(parts=contents, cuts=st.lists(st.integers(0, 400), max_size=8))
def test_a_form_is_the_same_however_it_is_cut(parts: list[bytes], cuts: list[int]) -> None:
    content = b"".join(parts)
    if b"\r\n--bound" in b"\r\n" + content or b"\n--bound" in b"\n" + content:
        content = content.replace(b"--bound", b"")  # what a sender chooses its boundary for
    with tempfile.TemporaryDirectory() as folder:
        shelf = Shelf(Path(folder)).open()
        read = asyncio.run(read_form(pieces(form(content), cuts), BOUNDARY, lambda: shelf.begin("f"), 10_000))
        assert read.fields == {"purpose": "fine-tune"}
        assert read.file is not None and read.file.size == len(content)
        read.file.finish()
        assert read.file.path.read_bytes() == content
