"""Which encoding a text file has, and how it is opened.

UTF-8 unless the bytes say otherwise; a single-byte encoding is only believed where the result reads as Western text,
because almost any bytes decode as one. Where nothing fits, the file is read as UTF-8 and the rows with invalid bytes
are bad rows.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Literal, TextIO

from pipeline.core.errors import DataError, SourceError

Encoding = Literal["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "cesu-8"]

_NOT_READ = ("cp1250", "cp1251", "koi8_r", "gb18030", "big5", "shift_jis", "euc_jp", "euc_kr")
_CHUNK = 1 << 20
_SAMPLE = 1 << 16
_NON_ASCII_LINE = re.compile(rb"[^\r\n]*[\x80-\xff][^\r\n]*")
_MULTIBYTE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_CUT_SEQUENCE = re.compile(rb"[\xe0-\xef][\x80-\xbf](?![\x80-\xbf])|[\xf0-\xf4][\x80-\xbf]{1,2}(?![\x80-\xbf])")
_NON_ASCII_RUN = re.compile(rb"[\x80-\xff]+")
_UNLIKELY = re.compile(r"[ÿþ]{2}|(?<!\w)ÿ|ÿ(?!\w)|(?<!\w)[ÃÂþÞ](?!\w)")
_SURROGATES = re.compile("[\ud800-\udfff]")
_INVALID_BYTE = re.compile("[\udc80-\udcff]")


@dataclass(frozen=True)
class Detected:
    """An encoding, the number of lines, and the likely encoding where it is none that is read."""

    name: Encoding
    lines: int
    suspected: str | None = None


def detect_encoding(path: Path) -> Detected:
    """Return the encoding of a text file, which is read once.

    Raises:
        SourceError: the file cannot be read.
        DataError: the file is empty, or holds no text.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(_SAMPLE)
            if not head:
                raise DataError("the file is empty", where=str(path), fix="give a file with rows")
            stream.seek(0)
            lines = sum(chunk.count(b"\n") for chunk in iter(lambda: stream.read(_CHUNK), b""))
            stream.seek(0)
            marked = _by_mark(head) or _by_zeros(head, path)
            if marked is not None:
                return Detected(marked, lines)
            if _is_utf8(stream.read):
                return Detected("utf-8", lines)
            stream.seek(0)
            return _not_utf8(stream.read(), lines)
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> SourceError:
    """Return the error for a file that the system does not let us read."""
    return SourceError(
        f"cannot be read: {error.strerror or error}", where=str(path), fix="check the path and its permissions"
    )


def open_text(path: Path, encoding: Encoding) -> TextIO:
    """Open a text file. Bytes that are invalid UTF-8 come out as lone surrogates (see `invalid_text`)."""
    if encoding == "cesu-8":
        text = path.read_bytes().decode("utf-8", "surrogatepass")
        return StringIO(text.encode("utf-16", "surrogatepass").decode("utf-16"), newline="")
    errors = "surrogateescape" if encoding in ("utf-8", "utf-8-sig") else "strict"
    return path.open("r", encoding=encoding, errors=errors, newline="")


def invalid_text(text: str) -> str | None:
    """Return why ``text`` cannot be written as UTF-8, or None where it can."""
    if text.isascii():
        return None
    if match := _INVALID_BYTE.search(text):
        return f"not valid UTF-8: byte 0x{ord(match[0]) - 0xDC00:02x} at character {match.start() + 1}"
    if match := _SURROGATES.search(text):
        return f"half of a surrogate pair at character {match.start() + 1}"
    return None


def _by_mark(head: bytes) -> Encoding | None:
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    return None


def _by_zeros(head: bytes, path: Path) -> Encoding | None:
    """UTF-16 without a mark has a zero in every second byte of its ASCII characters."""
    if b"\0" not in head:
        return None
    even, odd = head[0::2].count(0), head[1::2].count(0)
    half = len(head) // 2
    if odd > 0.3 * half and even < 0.05 * half:
        return "utf-16-le"
    if even > 0.3 * half and odd < 0.05 * half:
        return "utf-16-be"
    raise DataError("this is not a text file", where=str(path), fix="give JSONL, JSON, CSV, TSV or Parquet")


def _is_utf8(read: Callable[[int], bytes]) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        while chunk := read(_CHUNK):
            decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _not_utf8(content: bytes, count: int) -> Detected:
    try:
        passed = content.decode("utf-8", "surrogatepass")
        passed.encode("utf-16", "surrogatepass").decode("utf-16")
        return Detected("cesu-8", count)
    except UnicodeDecodeError:
        pass
    lines = b"\n".join(_NON_ASCII_LINE.findall(content))
    whole = len(_MULTIBYTE.findall(lines))
    broken = len(_NON_ASCII_RUN.findall(_MULTIBYTE.sub(b"", lines)))
    sample = lines[:_SAMPLE]
    if whole < broken and _reads_as_western(sample):
        return Detected("cp1252", count)
    return Detected("utf-8", count, None if whole >= broken else _suspect(sample))


def _reads_as_western(sample: bytes) -> bool:
    from charset_normalizer import from_bytes

    cut = len(_CUT_SEQUENCE.findall(sample))
    if 2 * cut > len(_NON_ASCII_RUN.findall(sample)):
        return False
    if from_bytes(sample, cp_isolation=["cp1252"]).best() is None:
        return False
    return not _UNLIKELY.search(sample.decode("cp1252", "replace"))


def _suspect(sample: bytes) -> str | None:
    from charset_normalizer import from_bytes

    found = from_bytes(sample, cp_isolation=list(_NOT_READ)).best()
    return found.encoding if found is not None and found.coherence > 0 else None
