"""Rows of JSONL and JSON files: a row that cannot be read is a `BadRow`, and reading goes on behind it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from pipeline.core import json_text
from pipeline.core.errors import DataError
from pipeline.data.backends import Encoding, invalid_text, open_text
from pipeline.data.rows import BadRow, SourceRow

MAX_LINE = 10_000_000
"""Characters from which a line (a cell, in CSV) is a bad row: it is a wrong file or a missing line break."""

EXCERPT = 500
"""Characters of a bad row's text that are set aside."""


def read_json(path: Path, encoding: Encoding) -> Iterator[SourceRow | BadRow]:
    """Yield the rows of a JSON file, whether it holds an array or one object per line.

    An object that spans the whole file and holds one list is the list's wrapper: ``{"data": [...]}``.

    Raises:
        DataError: the file is one JSON value that is no list of rows.
    """
    with open_text(path, encoding) as stream:
        by_line = _is_by_line(stream, by_default=path.suffix.lower() != ".json")
        stream.seek(0)
        yield from _read_lines(stream) if by_line else _read_array(stream, path)


def _is_by_line(stream: TextIO, *, by_default: bool) -> bool:
    """Whether one of the first two lines with text is an object by itself; in a ``.json`` file not a list's wrapper."""
    lines = (text for line in iter(lambda: stream.readline(MAX_LINE), "") if (text := line.strip()))
    first, second = next(lines, ""), next(lines, "")
    if first.startswith("["):
        return False
    if not by_default and first and not second and _wrapped_list(_value_or_none(first)) is not None:
        return False
    return by_default or any(isinstance(_value_or_none(text), dict) for text in (first, second))


def _value_or_none(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _wrapped_list(value: object) -> list[Any] | None:
    """Return the list in ``{"data": [...]}``; a list of turns is no list of rows."""
    if isinstance(value, dict) and len(value) == 1:
        (only,) = value.values()
        if isinstance(only, list) and all(
            isinstance(item, dict) and not {"role", "from"} & item.keys() for item in only
        ):
            return only
    return None


def _read_lines(stream: TextIO) -> Iterator[SourceRow | BadRow]:
    number = 0
    while line := stream.readline(MAX_LINE + 1):
        number += 1
        if len(line) > MAX_LINE:
            excerpt = line[:EXCERPT]
            while line and not line.endswith(("\n", "\r")):
                line = stream.readline(MAX_LINE)
            yield BadRow(number, f"the line is longer than {MAX_LINE // 1_000_000} MB", excerpt)
        elif text := line.strip():
            yield _parse_line(number, text)


def _parse_line(number: int, text: str) -> SourceRow | BadRow:
    if reason := invalid_text(text):
        return BadRow(number, reason, text[:EXCERPT])
    try:
        value = json_text.read_json(text)
    except ValueError as error:
        return BadRow(number, f"not JSON: {_complaint(error)}", text[:EXCERPT])
    return _json_row(number, value, escapes="\\u" in text)


def _read_array(stream: TextIO, path: Path) -> Iterator[SourceRow | BadRow]:
    text = stream.read()
    try:
        value = json_text.read_json(text)
    except ValueError as error:
        raise DataError(
            f"not JSON: {_complaint(error, with_line=True)}",
            where=str(path),
            fix="correct the file, or give one object per line",
        ) from error
    rows = value if isinstance(value, list) else _wrapped_list(value)
    if rows is None:
        raise DataError(
            f"the file holds {json_type(value)}, not a list of rows",
            where=str(path),
            fix="give an array of objects, or one object per line",
        )
    for number, item in enumerate(rows, start=1):
        yield _json_row(number, item, escapes=True)


def _json_row(number: int, value: Any, *, escapes: bool) -> SourceRow | BadRow:
    if not isinstance(value, dict):
        return BadRow(number, f"a row is an object with named values, not {json_type(value)}", value)
    if escapes and (reason := invalid_text(json.dumps(value, ensure_ascii=False))):
        return BadRow(number, reason, json.dumps(value)[:EXCERPT])
    return SourceRow(number, value)


def _complaint(error: Exception, *, with_line: bool = False) -> str:
    if not isinstance(error, json.JSONDecodeError):
        return str(error)
    place = f"line {error.lineno} column {error.colno}" if with_line else f"column {error.colno}"
    return f"{error.msg[0].lower()}{error.msg[1:]} at {place}"


def json_type(value: object) -> str:
    """Return what JSON calls the type of ``value``, for messages."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, (list, tuple)):
        return "a list"
    return "an object" if isinstance(value, dict) else type(value).__name__
